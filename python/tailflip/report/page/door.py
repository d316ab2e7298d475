"""Who may ask: each request passes here before anything is read for it.

A page in any browser can send requests to this host: so the name that it asks for is checked
(rebinding), where the request comes from, and whether it has the token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.report.page.http import Answer
from tailflip.report.page.token import COOKIE_MS, is_cookie, is_token, read_link, sign_cookie

if TYPE_CHECKING:
    from tailflip.report.page.http import Request

_OWN_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})
COOKIE = "tailflip"
OPEN_PATHS = frozenset({"/healthz"})  # a word, for probes that have no token
_MOST_LINKS = 1000


class Door:
    """The rules; `token` None: whoever reaches the socket may ask, as its file's mode says."""

    def __init__(self, token: bytes | None, hosts: frozenset[str]) -> None:
        """Take the token and further names of this host, in small letters."""
        self._token = token
        self._hosts = _OWN_NAMES | hosts
        self._used: dict[str, None] = {}

    def refuse(self, request: Request) -> Answer | None:
        """Give the answer to a request that may not pass; None for one that may."""
        if request.method not in ("GET", "HEAD"):
            return Answer.of_status(405, "nothing here can be changed", Allow="GET, HEAD")
        name = read_host(request.headers.get("host", ""))
        if name is None:
            return Answer.of_status(400, "which host is asked?")
        if name not in self._hosts:
            return Answer.of_status(421, "no name of this host; the setting serve.hosts adds one")
        if not _comes_from_here(request):
            return Answer.of_status(403, "another site may not ask; open the address yourself")
        if self._token is None or request.path in OPEN_PATHS:
            return None
        return self._ask_for_token(request, self._token)

    def _ask_for_token(self, request: Request, token: bytes) -> Answer | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_token(given.strip(), token):
            return None
        now_ms = clock.now_ms()
        if request.method == "GET" and request.path == "/" and "t" in request.query:
            link = read_link(token, request.query["t"], now_ms)
            if link is None or link in self._used:
                return Answer.of_status(403, "this link was used, or is old: run `tailflip page`")
            self._remember(link)
            cookie = (
                f"{COOKIE}={sign_cookie(token, now_ms)}; Max-Age={COOKIE_MS // 1000}; Path=/; "
                "HttpOnly; SameSite=Strict"
            )
            return Answer.of_status(303, Location="/", Set_Cookie=cookie)
        if is_cookie(token, request.cookies.get(COOKIE, ""), now_ms):
            return None
        return Answer.of_status(
            401, "run `tailflip page` for a link, or send the token", WWW_Authenticate="Bearer"
        )

    def _remember(self, link: str) -> None:
        """Remember a link that was used; those that are forgotten are too old by far."""
        self._used[link] = None
        while len(self._used) > _MOST_LINKS:
            del self._used[next(iter(self._used))]


def read_host(text: str) -> str | None:
    """Read the name out of a Host header, without its port; None where there is none."""
    text = text.strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":") if port.startswith(":") or not port else "?"
        ok = bool(bracket)
    else:
        name, _, port = text.partition(":")
        ok = True
    if not ok or not name or (port and not port.isdecimal()):
        return None
    return name.removesuffix(".")


def _comes_from_here(request: Request) -> bool:
    """Say whether a request is of this page, or of a person; programs say nothing, and may.

    A page on another port of this host may link here, and may read nothing.
    """
    site = request.headers.get("sec-fetch-site", "none").lower()
    if site in ("none", "same-origin"):
        return True
    return site == "same-site" and request.headers.get("sec-fetch-dest") == "document"
