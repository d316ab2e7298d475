"""The token of /metrics, and what is made of it for a browser: a link for once, and a cookie.

The token itself stands in no address and in no cookie: both go to logs and other ports.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

from tailflip.base.durable import naming
from tailflip.base.errors import CannotCreate, NoPermission
from tailflip.base.regular import open_to_read

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk

_PRIVATE = 0o600
_TOKEN = re.compile(rb"[!-~]{32,512}")
_MOST_BYTES = 1024
LINK_MS = 120_000
COOKIE_MS = 7 * 86_400_000
_SIGNED = re.compile(r"([0-9]{1,15})-([0-9a-f]{16})-([0-9a-f]{64})")


def read_token(path: Path) -> bytes:
    """Read the token.

    Raises:
        NoPermission: others may read it too, or we may not.
        CannotCreate: what is in the file is no token.
        StoreInvalid: there is no file.
    """
    with naming(path):
        fd = open_to_read(path)
        try:
            info = os.fstat(fd)
            # Kubernetes gives root's secrets to the group of a pod, and to nobody else.
            others = 0o037 if info.st_uid == 0 else 0o077
            if stat.S_IMODE(info.st_mode) & others or info.st_uid not in (os.geteuid(), 0):
                raise NoPermission(
                    f"others may read or change the token: {path}",
                    hint=f"chmod 600 {path}, and make it your own",
                )
            token = os.read(fd, _MOST_BYTES).strip()
        finally:
            os.close(fd)
    if _TOKEN.fullmatch(token) is None:
        raise CannotCreate(
            f"no token: {path}: it must be one word of at least 32 letters and digits",
            hint="delete the file, and tailflip makes one",
        )
    return token


def make_token(path: Path, disk: Disk) -> bytes:
    """Read the token, and make it first where there is none; who comes second takes the first's.

    Raises:
        TailflipError: as for `read_token`, or the file cannot be made.
    """
    if not os.path.lexists(path):
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with naming(path):
            fd = disk.open_new(beside, _PRIVATE)
            try:
                disk.write(fd, secrets.token_hex(32).encode() + b"\n")
                disk.fsync(fd)
            finally:
                os.close(fd)
            disk.rename(beside, path)
            disk.fsync_dir(path.parent)
    return read_token(path)


def is_token(given: str, token: bytes) -> bool:
    """Compare what was given with the token, in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token)


def sign_link(token: bytes, now_ms: int) -> str:
    """Make what a link holds: it is good for two minutes, and once."""
    return _sign(token, "link", now_ms + LINK_MS)


def sign_cookie(token: bytes, now_ms: int) -> str:
    """Make what a cookie holds: it is good for a week."""
    return _sign(token, "cookie", now_ms + COOKIE_MS)


def read_link(token: bytes, given: str, now_ms: int) -> str | None:
    """Read the name of a link that is good; it is good once, which the caller remembers."""
    return _read(token, "link", given, now_ms, LINK_MS)


def is_cookie(token: bytes, given: str, now_ms: int) -> bool:
    """Say whether a cookie is good."""
    return _read(token, "cookie", given, now_ms, COOKIE_MS) is not None


def _sign(token: bytes, what: str, until_ms: int) -> str:
    name = secrets.token_hex(8)
    return f"{until_ms}-{name}-{_digest(token, what, until_ms, name)}"


def _read(token: bytes, what: str, given: str, now_ms: int, most_ms: int) -> str | None:
    found = _SIGNED.fullmatch(given)
    if found is None:
        return None
    until_ms, name = int(found[1]), found[2]
    is_signed = hmac.compare_digest(found[3], _digest(token, what, until_ms, name))
    return name if is_signed and now_ms < until_ms <= now_ms + most_ms else None


def _digest(token: bytes, what: str, until_ms: int, name: str) -> str:
    return hmac.new(token, f"{what} {until_ms} {name}".encode(), hashlib.sha256).hexdigest()
