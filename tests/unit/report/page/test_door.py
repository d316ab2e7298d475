"""Who may ask: a table of requests, as browsers, other sites and programs send them."""

from __future__ import annotations

import pytest

from support.stores import NOW_MS
from tailflip.base import clock
from tailflip.report.page.door import Door, read_host
from tailflip.report.page.http import Request
from tailflip.report.page.token import COOKIE_MS, LINK_MS, sign_cookie, sign_link

TOKEN = b"t" * 64
BEARER = {"authorization": f"Bearer {TOKEN.decode()}"}


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)


@pytest.fixture
def door():
    return Door(TOKEN, frozenset({"claw.example"}))


def ask(door, path="/", method="GET", query=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(method, path, query or {}, {"host": "localhost:9309"} | named)
    refused = door.refuse(request)
    return 200 if refused is None else refused.status


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
)
def test_no_method_that_could_change_anything(door, method):
    request = Request(method, "/", {}, {"host": "localhost"} | BEARER)
    refused = door.refuse(request)
    assert refused.status == 405
    assert refused.headers == {"Allow": "GET, HEAD"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:9309", 200), ("127.0.0.1:9309", 200), ("[::1]:9309", 200),
        ("localhost.", 200), ("claw.example", 200), ("Claw.Example:1", 200),
        ("evil.example", 421), ("evil.example:9309", 421), ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421), ("127.0.0.2", 421), ("0", 421), ("x@localhost", 421),
        ("", 400), (":9309", 400), ("[::1", 400), ("[]:1", 400), ("localhost:x", 400),
        ("localhost:1:2", 400), ("[::1]x", 400),
    ],
)  # fmt: skip
def test_only_names_of_this_host(door, host, status):
    """A name of somebody else's that points here is rebinding."""
    assert ask(door, host=host, **BEARER) == status
    assert ask(door, "/healthz", host=host) == status


def test_a_request_without_a_host_is_refused(door):
    assert door.refuse(Request("GET", "/", {}, BEARER)).status == 400
    assert read_host(" ") is None


@pytest.mark.parametrize(
    ("site", "dest", "status"),
    [
        ("none", "document", 200), ("same-origin", "document", 200), ("same-origin", "empty", 200),
        ("same-site", "document", 200), ("same-site", "iframe", 403), ("same-site", "script", 403),
        ("same-site", None, 403), ("cross-site", "document", 403), ("cross-site", "image", 403),
        ("Cross-Site", "document", 403), ("anything", "document", 403),
    ],
)  # fmt: skip
def test_only_from_this_page_or_from_a_person(door, site, dest, status):
    headers = {"sec_fetch_site": site} | ({"sec_fetch_dest": dest} if dest else {})
    assert ask(door, **headers, **BEARER) == status
    assert ask(door, "/healthz", **headers) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (BEARER, 200),
        ({"authorization": f"bearer  {TOKEN.decode()} "}, 200),
        ({"authorization": f"Basic {TOKEN.decode()}"}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"cookie": f"tailflip={TOKEN.decode()}"}, 401),
        ({"cookie": f"x=1; tailflip={sign_cookie(TOKEN, NOW_MS)}"}, 200),
        ({"cookie": f"tailflip={sign_cookie(TOKEN, NOW_MS - COOKIE_MS)}"}, 401),
        ({"cookie": f"other={sign_cookie(TOKEN, NOW_MS)}"}, 401),
        ({"cookie": f"tailflip={sign_link(TOKEN, NOW_MS)}"}, 401),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/status.json", "/incidents/1", "/nothing"])
def test_only_with_the_token_or_its_cookie(door, path, headers, status):
    assert ask(door, path, **headers) == status


def test_health_wants_no_token(door):
    assert ask(door, "/healthz") == 200


def test_a_link_gives_a_cookie_once(door):
    link = {"t": sign_link(TOKEN, NOW_MS)}
    assert ask(door, method="HEAD", query=link) == 401, "looking ahead does not use it up"
    request = Request("GET", "/", link, {"host": "localhost"})
    answer = door.refuse(request)
    assert answer.status == 303
    assert answer.headers["Location"] == "/"
    cookie, *words = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(words)
    assert TOKEN.decode() not in cookie
    assert ask(door, cookie=cookie) == 200
    assert door.refuse(request).status == 403
    assert ask(door, query={"t": sign_link(TOKEN, NOW_MS - LINK_MS)}) == 403
    assert ask(door, "/metrics", query={"t": sign_link(TOKEN, NOW_MS)}) == 401


def test_a_link_from_another_site_is_not_followed(door):
    assert ask(door, query={"t": sign_link(TOKEN, NOW_MS)}, sec_fetch_site="cross-site") == 403


def test_the_links_that_were_used_are_remembered_within_bounds(door):
    for _ in range(1_005):
        assert ask(door, query={"t": sign_link(TOKEN, NOW_MS)}) == 303
    assert len(door._used) == 1_000


def test_behind_a_unix_socket_its_mode_is_the_token():
    door = Door(None, frozenset())
    assert ask(door) == ask(door, "/metrics") == 200
    assert ask(door, host="evil.example") == 421
    assert ask(door, method="POST") == 405
