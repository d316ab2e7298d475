"""Templates of service files: what is filled in, and what an older systemd does not get."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from tailflip.base.errors import CannotCreate
from tailflip.install import templates
from tailflip.install.templates import encode, fill, read_template

UNITS = resources.files("tailflip.install") / "units"
NAMES = sorted(file.name.removesuffix(".in") for file in UNITS.iterdir())
PLACES = {name: set(re.findall(r"@([A-Z][A-Z_]*)@", read_template(name))) for name in NAMES}


@pytest.fixture
def template(monkeypatch):
    """Put a template in the place of every one."""

    def put(text):
        texts = {"supervised": "A=1\n@254@B=2\n", "hardened": "C=3\n", "x": text}
        monkeypatch.setattr(templates, "read_template", texts.__getitem__)

    return put


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("[Unit]\nWants=@NAME@\n", "[Unit]\nWants=v\n"),
        ("@NAME@\n@NAME@=@NAME@\n", "v\nv=v\n"),
        ("@EMPTY@\nz\n", "z\n"),  # the line goes with its only value
        ("a\n\nz\n", "a\n\nz\n"),  # an empty line of the template stays
        ("A=@EMPTY@\n", "A=\n"),
        ("@253@old=1\n@254@new=1\n", "old=1\n"),
        ("@SUPERVISED@\n", "A=1\n"),
        ("@HARDENED@\n", "C=3\n"),
        ("user@host\n", "user@host\n"),
    ],
)
def test_what_becomes_of_a_template(template, text, filled):
    template(text)
    assert fill("x", {"NAME": "v", "EMPTY": ""}, 253) == filled


def test_a_newer_systemd_gets_more(template):
    template("@SUPERVISED@\n")
    assert fill("x", {}, 254) == "A=1\nB=2\n"


def test_a_value_that_is_missing_is_a_bug(template):
    template("@OTHER@\n")
    with pytest.raises(KeyError):
        fill("x", {}, 254)


def test_a_value_is_not_filled_in_itself(template):
    template("A=@NAME@\n")
    assert fill("x", {"NAME": "@HARDENED@"}, 254) == "A=@HARDENED@\n"


@pytest.mark.parametrize("version", [249, 257])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_template_is_left_over(name, version):
    made = fill(name, dict.fromkeys(PLACES[name], "value"), version)
    assert not re.search(r"@[A-Z0-9_]+@", made)
    whole = read_template(name) + read_template("supervised") * ("SUPERVISED" in PLACES[name])
    assert ("RestartSteps" in made) is (version >= 254 and "RestartSteps" in whole)


def test_a_path_that_is_no_utf8_is_refused():
    assert encode("grüß", Path("/x")) == "grüß".encode()
    with pytest.raises(CannotCreate, match="nothing was changed"):
        encode("/opt/\udcff", Path("/x"))
