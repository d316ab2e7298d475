"""The configuration file: its path, its bytes, and whether they changed."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.base.regular import NotRegular, open_to_read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader

_LIMIT_BYTES = 1 << 20


def find_path(env: Mapping[str, str]) -> Path | None:
    """Find the file's path, whether it exists or not; XDG wants relative paths ignored."""
    if own := env.get("TAILFLIP_CONFIG"):
        path = Path(expand(own, env))
        try:
            return path.absolute()
        except OSError:  # the current directory is gone, and so is this file
            return path
    shared = env.get("XDG_CONFIG_HOME", "")
    if shared and Path(shared).is_absolute():
        return Path(shared) / "tailflip" / "config.toml"
    try:
        home = Path(env.get("HOME") or Path.home())
    except RuntimeError:
        return None
    return home / ".config" / "tailflip" / "config.toml"


def fingerprint(path: Path) -> str:
    """Digest a file's bytes, so that a later look tells whether they changed.

    A touch, or a rewrite of the same bytes, keeps the fingerprint. A missing or unreadable file
    has a fingerprint too, so that its return is a change.
    """
    try:
        with _open(path) as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError) as e:
        return f"unreadable: {e.strerror if isinstance(e, OSError) else e}"


def _open(path: Path) -> BufferedReader:
    """Open a regular file, or /dev/null; opening a pipe would wait for ever."""
    if _is_null(path):
        return path.open("rb")
    try:
        return os.fdopen(open_to_read(path), "rb")
    except NotRegular as e:
        raise IsADirectoryError(None, "not a regular file") from e


def _is_null(path: Path) -> bool:
    try:
        status, null = path.stat(), os.stat(os.devnull)  # noqa: PTH116
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == null.st_rdev
    except OSError:
        return False


def read_config(path: Path) -> bytes | None:
    """Read the file; None if there is none.

    Raises:
        NoPermission: the file may not be read.
        ConfigInvalid: the path is not a file, or the file is larger than 1 MiB.
    """
    try:
        with _open(path) as file:
            data = file.read(_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as e:
        raise NoPermission(f"cannot read configuration: {path}: permission denied") from e
    except (OSError, ValueError) as e:
        reason = (e.strerror if isinstance(e, OSError) else None) or "not a path"
        raise ConfigInvalid(f"cannot read configuration: {path}: {reason.lower()}") from e
    if len(data) > _LIMIT_BYTES:
        raise ConfigInvalid(f"{path}: larger than {_LIMIT_BYTES >> 20} MiB")
    return data


def parse_config(path: Path, data: bytes) -> dict[str, Any]:
    """Parse the file's bytes; a byte order mark is ignored.

    Raises:
        ConfigInvalid: the bytes are not UTF-8 or not TOML; the message says where.
    """
    import tomllib  # noqa: PLC0415 - most machines have no file of settings

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigInvalid(f"{path}:{line}: not UTF-8 at byte {e.start}") from e
    except (ValueError, RecursionError) as e:
        from tailflip.config.lines import split_place  # noqa: PLC0415 - a mistake alone pays

        reason, at = split_place(str(e) if isinstance(e, ValueError) else "nested too deeply")
        place = path if at is None else f"{path}:{at}"
        raise ConfigInvalid(f"{place}: not valid TOML: {reason[:1].lower()}{reason[1:]}") from e


def expand(path: str, env: Mapping[str, str]) -> str:
    """Replace a leading `~` by the user's home."""
    if path == "~" or path.startswith("~/"):
        return (env.get("HOME") or os.path.expanduser("~")) + path[1:]  # noqa: PTH111
    return path
