"""Addresses of destinations: what may be shown of them, and who may read the file of one."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,19})://")
_ADDRESS = re.compile(rf"{_SCHEME.pattern}\S*")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def mask_address(address: object) -> str:
    """Show no more than an address's scheme: host, path and query may all be a token."""
    found = _SCHEME.match(str(address).strip())
    return "***" if found is None else f"{found[1].lower()}://***"


def mask_addresses(text: str) -> str:
    """Mask every address in a text."""
    return _ADDRESS.sub(lambda found: f"{found[1]}://***", text)


def find_reader(path: Path | int) -> str | None:
    """Find out why a file is no place for a secret; None if it is one.

    Args:
        path: the file, or an open descriptor of it.

    Raises:
        OSError: it cannot be looked at.
    """
    status = os.stat(path)  # noqa: PTH116 - a descriptor too
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    mode = stat.S_IMODE(status.st_mode)
    return f"others can read it: its mode is {mode:04o}, not 0600" if mode & _OTHERS else None


def find_credential(name: str, env: Mapping[str, str]) -> Path | None:
    """Find the file of a credential that systemd handed over; None if it did not."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path is not None and path.is_file() else None
