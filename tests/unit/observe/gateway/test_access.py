"""Which secret a gateway is told, and that no stranger on its port is told any."""

from __future__ import annotations

import json
import os
import socket

import pytest

from tailflip.base.errors import NoPermission, Unavailable
from tailflip.flow.observed import Gateway
from tailflip.observe.gateway.access import find_access
from tailflip.observe.installation import locate

TOKEN, PASSWORD = "t-CANARY", "p-CANARY"
BY_ENV = {"OPENCLAW_GATEWAY_TOKEN": TOKEN, "OPENCLAW_GATEWAY_PASSWORD": PASSWORD}


@pytest.fixture
def port():
    """A port where this very process listens, and so passes for the gateway."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def find(tmp_path, port, auth=None, *, env=None, pid=None, tls=None):
    config = {"gateway": {"port": port, "auth": auth or {}, "tls": {"enabled": bool(tls)}}}
    (tmp_path / "openclaw.json").write_text(json.dumps(config))
    env = {"HOME": str(tmp_path), **(env or {})}
    installation = locate(env, state_dir=tmp_path)
    return find_access(installation, Gateway(True, pid or os.getpid(), 1, "it lives"), env)


@pytest.mark.parametrize(
    ("auth", "env", "secret"),
    [
        ({"mode": "none", "token": TOKEN}, BY_ENV, {}),
        ({"mode": "token", "token": TOKEN}, {}, {"token": TOKEN}),
        ({"token": TOKEN}, {}, {"token": TOKEN}),
        ({"mode": "password", "password": PASSWORD}, {}, {"password": PASSWORD}),
        ({"password": PASSWORD, "token": TOKEN}, {}, {"password": PASSWORD}),
        ({"mode": "token", "password": PASSWORD, "token": TOKEN}, {}, {"token": TOKEN}),
        ({"mode": "token"}, BY_ENV, {"token": TOKEN}),
        ({"mode": "token", "token": "${OPENCLAW_GATEWAY_TOKEN}"}, BY_ENV, {"token": TOKEN}),
        ({"mode": "token", "token": "${ELSEWHERE}"}, BY_ENV, {"token": TOKEN}),
        ({}, {"OPENCLAW_GATEWAY_TOKEN": TOKEN}, {"token": TOKEN}),
    ],
)
def test_the_secret_is_what_the_gateway_asks_for(tmp_path, port, auth, env, secret):
    access = find(tmp_path, port, auth, env=env)
    assert (access.port, dict(access.secret)) == (port, secret)
    assert "CANARY" not in repr(access)


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"mode": "token"},
        {"mode": "token", "token": {"source": "env", "id": "X"}},
        {"mode": "token", "token": "${NOT_SET}"},
        {"mode": "password", "token": TOKEN},
        {"mode": "trusted-proxy", "token": TOKEN},
    ],
)
def test_a_secret_that_cannot_be_had_is_said_and_not_guessed(tmp_path, port, auth):
    with pytest.raises(NoPermission) as caught:
        find(tmp_path, port, auth)
    assert "CANARY" not in caught.value.message


def test_a_stranger_on_the_port_is_told_nothing(tmp_path, port):
    with pytest.raises(Unavailable, match=f"pid {os.getpid()} listens on port"):
        find(tmp_path, port, {"token": TOKEN}, pid=1)


def test_a_port_where_nobody_listens_is_said(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(Unavailable, match="nobody listens"):
        find(tmp_path, free, {"token": TOKEN})


def test_tls_is_spoken_where_the_gateway_does(tmp_path, port):
    assert find(tmp_path, port, {"token": TOKEN}).make_tls() is None
    context = find(tmp_path, port, {"token": TOKEN}, tls=True).make_tls()
    assert context is not None
    assert not context.check_hostname
