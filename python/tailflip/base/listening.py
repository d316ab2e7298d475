"""Addresses on which the page listens: of this host alone, unless a setting says otherwise."""

from __future__ import annotations

import re
from pathlib import Path

from tailflip.flow.late import dataclass

RULE = 'must be an address with its port, such as "127.0.0.1:9309", or "unix:/a/path"'
_TCP = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)|(localhost)):([0-9]{1,5})")
_MOST_PORT = 65_535
_MOST_PATH = 100  # sun_path holds 108 bytes, of macOS 104


@dataclass(frozen=True)
class Address:
    """An address and port, or the `path` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_loopback(self) -> bool:
        """Say whether nobody outside this host can reach it."""
        return bool(self.path) or self.host == "::1" or self.host.startswith("127.")

    @property
    def file(self) -> Path:
        """The file of a unix socket."""
        return Path(self.path)

    @property
    def url(self) -> str:
        """The address as a browser takes it; empty for a unix socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return "" if self.path else f"http://{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse the text of a setting.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if text.startswith("unix:/"):
        path = text.removeprefix("unix:")
        if len(path.encode()) > _MOST_PATH or "\0" in path:
            raise ValueError(f"{RULE} of at most {_MOST_PATH} bytes")
        return Address(path=path)
    found = _TCP.fullmatch(text)
    if found is None or int(found[4]) > _MOST_PORT or not _is_ip(found[1], found[2]):
        raise ValueError(RULE)
    host = found[1] or found[2] or "127.0.0.1"
    return Address(host.lower(), int(found[4]))


def _is_ip(v6: str | None, v4: str | None) -> bool:
    """Say whether an address is well formed, as far as this goes; the system says the rest."""
    if v4 is not None:
        parts = v4.split(".")
        return len(parts) == 4 and all(part and int(part) <= 255 for part in parts)  # noqa: PLR2004
    return v6 is None or v6.count(":") >= 2  # noqa: PLR2004
