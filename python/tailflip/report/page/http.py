"""Requests and answers of HTTP, as far as a page needs them: no bodies, one request a connection.

What is not plainly right is refused: two readers of one request must not differ about it.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_HEAD_BYTES = 8192
END_OF_HEAD = b"\r\n\r\n"
REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_START = re.compile(rb"([!#-'*+.0-9A-Z^-z|~-]{1,20}) (/[!-~]*) HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#-'*+.0-9A-Za-z^-z|~-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
# Which a request may have once: two of them would be two requests.
_ONCE = frozenset({"host", "authorization", "cookie", "sec-fetch-site"})


class Refused(Exception):
    """The request is refused, with this status."""

    def __init__(self, status: int) -> None:
        """Keep the status."""
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request; names of `headers` are in small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; of two with one name the first counts."""
        found: dict[str, str] = {}
        for pair in self.headers.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            found.setdefault(name, value)
        return found


@dataclass(frozen=True)
class Answer:
    """An answer; the server adds length and the headers that each answer has."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_status(cls, status: int, text: str = "", **headers: str) -> Answer:
        """Answer with a line of text; `_` in a header's name stands for `-`."""
        told = f"{status} {REASONS[status]}{': ' if text else ''}{text}\n"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, told.encode(), headers=named)

    def write(self, always: Mapping[str, str], *, is_head: bool = False) -> bytes:
        """Write the answer; `is_head`: without its body, whose length is told all the same."""
        headers = {
            **always,
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {REASONS[self.status]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return head if is_head else head + self.body


def parse_head(data: bytes) -> Request:
    """Parse a request's head, with the empty line at its end.

    Raises:
        Refused: it is not plainly one.
    """
    start, *lines = data.removesuffix(END_OF_HEAD).split(b"\r\n")
    found = _START.fullmatch(start)
    if found is None:
        raise Refused(400)
    headers: dict[str, str] = {}
    for line in lines:
        pair = _FIELD.fullmatch(line)
        if pair is None:
            raise Refused(400)
        name = pair[1].decode("ascii").lower()
        if name in headers and name in _ONCE:
            raise Refused(400)
        headers[name] = pair[2].decode("latin-1")
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    if has_body and found[1] in (b"GET", b"HEAD"):  # of others none is read: they are refused
        raise Refused(400)
    try:
        parts = urlsplit(found[2].decode("ascii"))
        query = dict(parse_qsl(parts.query, max_num_fields=20))
    except ValueError:
        raise Refused(400) from None
    if not parts.path.startswith("/") or parts.netloc:
        raise Refused(400)
    return Request(found[1].decode("ascii"), unquote(parts.path), query, headers)
