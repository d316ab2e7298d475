"""Addresses taken apart as Apprise spells them, each part decoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from tailflip.alerts.sending.failure import Failed
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Parts:
    """An address taken apart; `user` and `password` are None where there is none."""

    scheme: str
    host: str
    port: int | None
    user: str | None
    password: str | None
    path: tuple[str, ...]
    query: Mapping[str, str]


def take_apart(url: str) -> Parts:
    """Take an address apart.

    Raises:
        Failed: it is none.
    """
    try:
        split = urlsplit(url)
        return Parts(
            split.scheme.lower(),
            split.hostname or "",
            split.port,
            None if split.username is None else unquote(split.username),
            None if split.password is None else unquote(split.password),
            tuple(unquote(part) for part in split.path.split("/") if part),
            {name.lower(): value for name, value in parse_qsl(split.query)},
        )
    except ValueError:
        raise Failed("its address cannot be read") from None


def base(scheme: str, parts: Parts) -> str:
    """Write scheme, host and port of another address on the same host."""
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    return f"{scheme}://{host}" if parts.port is None else f"{scheme}://{host}:{parts.port}"


def drop_login(url: str) -> str:
    """Take the login out of an address; whoever sends puts it into a header."""
    split = urlsplit(url)
    bare = SplitResult(
        split.scheme, split.netloc.rpartition("@")[2], split.path, split.query, split.fragment
    )
    return bare._replace(fragment="").geturl()


def write_path(parts: tuple[str, ...]) -> str:
    """Write a path of decoded parts."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)
