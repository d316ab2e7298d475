"""A webhook gets one JSON object."""

from __future__ import annotations

import base64

import pytest

from support.receivers import Web


@pytest.mark.parametrize("scheme", ["http", "json"])
def test_the_message_is_one_object_with_its_number(send, scheme):
    with Web() as web:
        assert send(f"{scheme}://user:pa%3Ass@127.0.0.1:{web.port}/hook/s3cret?a=b%20c").delivered
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", "/hook/s3cret?a=b%20c")
    assert request.json == {
        "version": 1,
        "number": 345,
        "kind": "opened",
        "urgency": "critical",
        "subject": "attic: gateway down; 3 deaths",
        "body": "Since 02:37 the gateway does not answer.\nWhat to do: tailflip incidents why\n"
        "Übung ✓",
        "alerts": ["tf-attic-12", "tf-attic-13"],
        "made_ms": 1_800_000_000_000,
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "tailflip-tf-attic-12-345"
    assert request.headers["user-agent"] == "tailflip"
    login = request.headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(login) == b"user:pa:ss"


def test_by_tls(send, trusted):
    with Web(certificate=trusted) as web:
        assert send(f"jsons://localhost:{web.port}/s3cret").delivered
    assert web.requests[0].path == "/s3cret"
