"""What tailflip itself does not know goes by Apprise, where that is installed."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from support.messages import MESSAGE
from support.receivers import Web

HAS_APPRISE = importlib.util.find_spec("apprise") is not None
needs_apprise = pytest.mark.skipif(not HAS_APPRISE, reason="needs Apprise")


def test_without_apprise_it_is_told_what_to_install(send, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    done = send("gotify://127.0.0.1/s3cret")
    assert done.error == (
        "gotify://: tailflip itself does not know gotify://; install Apprise, which may: "
        "`pip install tailflip[alerts]`"
    )
    assert not done.is_final


@pytest.fixture
def quiet_logging():
    import logging  # noqa: PLC0415

    yield
    logging.disable(logging.NOTSET)


@needs_apprise
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet_logging")
def test_apprise_delivers(send):
    with Web() as web:
        assert send(f"gotify://127.0.0.1:{web.port}/s3cretsecretaa").delivered
    said = web.requests[0].json
    assert said["title"] == MESSAGE.subject
    assert MESSAGE.body.splitlines()[0] in said["message"]


@needs_apprise
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet_logging")
@pytest.mark.parametrize(
    "address", ["gotify://127.0.0.1:{}/s3cretsecretaa", "nonesuch://s3cret/{}"]
)
def test_a_failure_of_apprise_names_the_scheme_alone(send, capfd, address):
    with Web(500) as web:
        done = send(address.format(web.port))
    assert not done.delivered
    scheme = address.partition("/")[0]
    assert done.error.startswith(f"{scheme}//: ")
    assert "Apprise" in done.error
    assert capfd.readouterr() == ("", ""), "what Apprise logs holds the address"
