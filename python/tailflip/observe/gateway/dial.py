"""Connects to the gateway's port without taking that port for our own side.

A connection needs a port on our side too. If the target is in the kernel's range for such ports,
the kernel may take the target itself: our socket then holds the port that the gateway is about to
bind, and TCP connects the socket to itself (a simultaneous open). So this module chooses the port
on our side: another than the target, and one that a listener may bind meanwhile.
Source: Linux ip-sysctl, `ip_local_port_range`; tcp(7); RFC 9293, 3.5.
"""

from __future__ import annotations

import errno
import random
import socket
import struct
from contextlib import suppress

from tailflip.base import platform_calls

_ANY = range(1_024, 65_536)
_TRIES = 64
_NO_LINGER = struct.pack("ii", 1, 0)


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to a port of this machine; the caller closes the socket.

    Args:
        host: an address of this machine, as a number or a name.
        port: where something may listen, or nothing.
        timeout_s: bounds each address that the name has.

    Raises:
        ConnectionRefusedError: no process listens.
        OSError: no answer in time, or there is no such address.
    """
    refused: OSError | None = None
    # As bytes, an ordinary name does not load the tables of international ones.
    name = host.encode() if host.isascii() else host
    for family, kind, protocol, _, address in socket.getaddrinfo(
        name, port, type=socket.SOCK_STREAM
    ):
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(timeout_s)
            _take_source(link, port)
            link.connect(address)
            _refuse_itself(link)
        except OSError as error:
            link.close()
            refused = error
        else:
            return link
    raise refused if refused is not None else OSError(errno.EADDRNOTAVAIL, "no such address")


def _take_source(link: socket.socket, target: int) -> None:
    """Bind our side to a port other than the target, where the kernel might take the target.

    A listener that allows reuse, as all of node's do, may bind the port that our side has.
    """
    usual, reserved = platform_calls.here.read_own_ports()
    if target not in usual:
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    anywhere = ""
    if link.family == socket.AF_INET6:
        anywhere = "::"
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for number in range(2 * _TRIES):
        source = random.choice(usual if number < _TRIES else _ANY)  # noqa: S311 - not a secret
        if source == target or source in reserved:
            continue
        with suppress(OSError):
            link.bind((anywhere, source))
            return
    raise OSError(errno.EADDRNOTAVAIL, "no free port to ask from")


def _refuse_itself(link: socket.socket) -> None:
    """Refuse a connection of a socket with itself, and free its port at once."""
    if link.getsockname() == link.getpeername():
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")


def is_listening(host: str, port: int, timeout_s: float) -> bool | None:
    """Say whether a process listens; None when there is no answer."""
    try:
        connect(host, port, timeout_s).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return None
    return True
