"""The token's file, and the links and cookies that are made of it."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.stores import NOW_MS, FaultyDisk
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, NoPermission, TailflipError
from tailflip.report.page.token import (
    COOKIE_MS,
    LINK_MS,
    is_cookie,
    is_token,
    make_token,
    read_link,
    read_token,
    sign_cookie,
    sign_link,
)

TOKEN, OTHER = b"a" * 64, b"b" * 64


def test_a_token_is_made_once_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "serve.token"
    token = make_token(path, RealDisk())
    assert len(token) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_token(path, RealDisk()) == read_token(path) == token
    assert list(tmp_path.iterdir()) == [path]


def test_no_half_of_a_token_stands_under_its_name(tmp_path):
    counted = FaultyDisk()
    make_token(tmp_path / "counted", counted)
    for n in range(1, len(counted.effects)):
        path = tmp_path / f"t{n}"
        with pytest.raises(TailflipError):
            make_token(path, FaultyDisk(n, error=errno.ENOSPC))
        assert len(make_token(path, RealDisk())) == 64


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602])
def test_a_token_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "token"
    path.write_bytes(TOKEN)
    path.chmod(mode)
    with pytest.raises(NoPermission, match="others may read") as refused:
        read_token(path)
    assert TOKEN.decode() not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"short", b"two words " * 8, b"x" * 600, b"\xff" * 40])
def test_what_is_no_token_is_refused_and_not_quoted(tmp_path, text):
    path = tmp_path / "token"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(CannotCreate, match="no token") as refused:
        read_token(path)
    assert "two words" not in str(refused.value)


def test_a_link_or_pipe_in_its_place_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(TailflipError):
        read_token(tmp_path / "pipe")


def test_a_token_is_compared_whole():
    assert is_token(TOKEN.decode(), TOKEN)
    for other in ("", TOKEN.decode()[:-1], OTHER.decode(), "é"):
        assert not is_token(other, TOKEN)


def test_a_link_is_good_for_two_minutes_and_for_this_token():
    link = sign_link(TOKEN, NOW_MS)
    assert TOKEN.decode() not in link
    name = read_link(TOKEN, link, NOW_MS)
    assert name == read_link(TOKEN, link, NOW_MS + LINK_MS - 1)
    assert name != read_link(TOKEN, sign_link(TOKEN, NOW_MS), NOW_MS)
    assert read_link(TOKEN, link, NOW_MS + LINK_MS) is None
    assert read_link(OTHER, link, NOW_MS) is None
    assert read_link(TOKEN, sign_cookie(TOKEN, NOW_MS), NOW_MS) is None
    # A clock that was set back makes no link good for longer.
    assert read_link(TOKEN, link, NOW_MS - 1) is None


def test_a_cookie_is_good_for_a_week_and_is_no_link():
    cookie = sign_cookie(TOKEN, NOW_MS)
    assert is_cookie(TOKEN, cookie, NOW_MS + COOKIE_MS - 1)
    assert not is_cookie(TOKEN, cookie, NOW_MS + COOKIE_MS)
    assert not is_cookie(OTHER, cookie, NOW_MS)
    assert not is_cookie(TOKEN, sign_link(TOKEN, NOW_MS), NOW_MS)
    until, name, digest = cookie.split("-")
    for forged in (
        f"{int(until) + 1}-{name}-{digest}", f"{until}-{'0' * 16}-{digest}", "", "-",
        f"{until}-{name}-{'0' * 64}", cookie + "0", f"9{until}-{name}-{digest}",
    ):  # fmt: skip
        assert not is_cookie(TOKEN, forged, NOW_MS)
