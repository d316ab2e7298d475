"""Where the page listens: this host alone, unless a person says otherwise in two settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tailflip.base.listening import Address, parse_address
from tailflip.config.serving import ServeSettings


@pytest.mark.parametrize(
    ("text", "address", "is_loopback"),
    [
        ("127.0.0.1:9309", Address("127.0.0.1", 9309), True),
        (" 127.1.2.3:0 ", Address("127.1.2.3", 0), True),
        ("localhost:80", Address("127.0.0.1", 80), True),
        ("[::1]:9309", Address("::1", 9309), True),
        ("unix:/run/tailflip.sock", Address(path="/run/tailflip.sock"), True),
        ("0.0.0.0:9309", Address("0.0.0.0", 9309), False),  # noqa: S104
        ("10.0.0.5:9309", Address("10.0.0.5", 9309), False),
        ("[::]:9309", Address("::", 9309), False),
        ("[2001:DB8::1]:9309", Address("2001:db8::1", 9309), False),
    ],
)
def test_an_address_is_read(text, address, is_loopback):
    assert parse_address(text) == address
    assert parse_address(text).is_loopback == is_loopback
    if is_loopback:
        assert ServeSettings(listen=text)
    else:
        with pytest.raises(ValidationError, match="beyond this host"):
            ServeSettings(listen=text)
        assert ServeSettings(listen=text, beyond_loopback=True)


@pytest.mark.parametrize(
    "text",
    ["", "9309", ":9309", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "1.2.3:1", "1.2.3.999:1",
     "evil.example:80", "[]:1", "[1]:1", "::1:80", "unix:", "unix:relative", "unix:/" + "x" * 100,
     "http://127.0.0.1:9309", "127.0.0.1:9309/"],
)  # fmt: skip
def test_anything_else_is_none(text):
    with pytest.raises(ValueError, match="must be an address"):
        parse_address(text)


def test_an_address_is_shown_as_a_browser_takes_it():
    assert parse_address("127.0.0.1:9309").url == "http://127.0.0.1:9309"
    assert parse_address("[::1]:1").url == "http://[::1]:1"
    assert parse_address("unix:/a").url == ""


def test_names_are_split_and_made_small():
    assert ServeSettings(hosts=" Claw.Example,10.0.0.5 ,").host_names == {
        "claw.example",
        "10.0.0.5",
    }
