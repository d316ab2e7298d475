"""A message, and the ways to send it: at once, or by the child that really sends."""

from __future__ import annotations

import os

import pytest

from support.messages import MESSAGE
from support.receivers import HAS_OPENSSL, make_certificate
from tailflip.alerts.sending.addressee import Address
from tailflip.alerts.sending.child import obey
from tailflip.flow.values import to_plain

# In every address of these tests; it may be in nothing that is said.
CANARY = "s3cret"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def send():
    """Send in this process, as the child does; returns the delivery."""

    def send(url="", message=MESSAGE, *, program="", env=None, beat=None):
        order = {"url": url, "program": str(program), "to": "phone", "message": to_plain(message)}
        if beat is not None:
            order["beat"] = to_plain(beat)
        done = obey(order, {"PATH": os.environ["PATH"]} if env is None else env)
        assert CANARY not in done.error
        assert "\n" not in done.error
        return done

    assert Address(CANARY).url == CANARY
    assert CANARY not in repr(Address(CANARY)), "an address is in no traceback"
    return send


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if not HAS_OPENSSL:
        pytest.skip("needs openssl to make a certificate")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate, monkeypatch):
    """The certificate, with its authority trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate
