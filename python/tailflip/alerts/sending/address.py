"""The address of a destination: where it is read from, and why it is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.alerts.sending.addressee import Address
from tailflip.base.regular import NotRegular, open_to_read
from tailflip.config.addresses import find_credential, find_reader
from tailflip.config.telling import HEARTBEAT, check_address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.config.telling import DestinationSettings, HeartbeatSettings

_MOST_BYTES = 8 << 10
_WRITABLE_BY_ALL = 0o002


class NoAddress(Exception):
    """There is no address that may be used; the message says why, without the address."""


def read_address(name: str, settings: DestinationSettings, env: Mapping[str, str]) -> Address:
    """Read the address of a destination: a credential of systemd, a file, or the settings.

    Raises:
        NoAddress: it cannot be read, or others could read it.
    """
    if settings.exec is not None:
        return Address(program=_check_program(settings.exec))
    if settings.url is not None:
        return Address(settings.url)
    return Address(_read_url(name, settings.url_file, env))


def read_heartbeat(settings: HeartbeatSettings, env: Mapping[str, str]) -> Address:
    """Read the address of the heartbeat.

    Raises:
        NoAddress: it cannot be read, or others could read it.
    """
    return Address(_read_url(HEARTBEAT, settings.url_file, env))


def _read_url(name: str, path: Path | None, env: Mapping[str, str]) -> str:
    credential = find_credential(name, env)
    if credential is not None:
        # systemd keeps it from others, by modes and access lists that a mode alone does not tell.
        data = _read(credential)
        # One that holds a comment alone stands for a file that is gone.
        if _find_line(data) or path is None:
            return _parse(credential, data)
    if path is None:
        raise NoAddress("no address is set")
    return _parse(path, _read(path, is_ours=True))


def _read(path: Path, *, is_ours: bool = False) -> bytes:
    try:
        fd = open_to_read(path)
    except NotRegular as e:
        raise NoAddress(f"{path} is no regular file") from e
    except (OSError, ValueError) as e:
        reason = (e.strerror if isinstance(e, OSError) else None) or "no path"
        raise NoAddress(f"cannot read {path}: {reason.lower()}") from e
    with os.fdopen(fd, "rb") as file:
        # Of the open file: the name may lead to another one meanwhile.
        reader = find_reader(file.fileno()) if is_ours else None
        if reader is not None:
            raise NoAddress(f"{path} is not yours alone: {reader}")
        return file.read(_MOST_BYTES + 1)


def _parse(path: Path, data: bytes) -> str:
    try:
        return check_address(_find_line(data))
    except ValueError:
        raise NoAddress(f"{path} holds no address, such as ntfy://…") from None


def _find_line(data: bytes) -> str:
    """Find the first line that is no comment; "" where there is none."""
    text = data.decode("ascii", "replace") if len(data) <= _MOST_BYTES else ""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def _check_program(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as e:
        raise NoAddress(f"cannot run {path}: {(e.strerror or 'unknown').lower()}") from e
    if not path.is_file() or not os.access(path, os.X_OK):
        raise NoAddress(f"cannot run {path}: it is no program")
    if mode & _WRITABLE_BY_ALL:
        raise NoAddress(f"{path} is not run: everybody can write to it")
    return str(path)
