"""Makes the sockets that the page is asked on, or takes one that was made before."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import CannotCreate, NoPermission, TryLater, Usage

if TYPE_CHECKING:
    from tailflip.base.durable import Disk
    from tailflip.base.listening import Address

_BACKLOG = 128
_PRIVATE = 0o177  # what a socket's file lacks: it is its owner's alone


def listen(address: Address, disk: Disk) -> socket.socket:
    """Listen on an address.

    Raises:
        TryLater: another process listens there.
        CannotCreate: this host has no such address, or the socket's folder is missing.
        NoPermission: the port, or the folder, is not ours.
    """
    try:
        return _listen_at(address.path, disk) if address.path else _listen_on(address)
    except OSError as e:
        where = address.path or f"{address.host}, port {address.port}"
        message = f"cannot listen on {where}: {e.strerror}"
        if isinstance(e, PermissionError):
            raise NoPermission(message, hint="take a port above 1023: serve.listen") from e
        if e.errno == errno.EADDRINUSE:
            raise TryLater(
                message, hint="another tailflip may: `tailflip page`; or set serve.listen"
            ) from e
        raise CannotCreate(message, hint="set serve.listen to an address of this host") from e


def adopt(fd: int) -> socket.socket:
    """Take a socket that listens already, by its number.

    Raises:
        Usage: it is none.
    """
    try:
        taken = socket.socket(fileno=fd)
        listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as e:
        raise Usage(f"--fd {fd} is no socket: {e.strerror}") from e
    if not listens:
        taken.detach()
        raise Usage(f"--fd {fd} is a socket that does not listen")
    os.set_inheritable(fd, False)
    return taken


def _listen_on(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)


def _listen_at(path: str, disk: Disk) -> socket.socket:
    """Listen on a unix socket; one that nobody listens on any more is replaced."""
    _remove_dead(path, disk)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_PRIVATE)
    try:
        made.bind(path)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def _remove_dead(path: str, disk: Disk) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            disk.unlink(Path(path))
        except OSError:
            return
