"""The map of the code names what is there: each path, each room, each step of "how to add"."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
[LAYERS] = [each["layers"] for each in SETTINGS["contracts"] if each["name"] == "rooms"]


def test_every_path_that_the_page_names_is_there():
    paths = set(re.findall(r"`((?:python|rust|tests|docs)/[\w./-]+)`", PAGE))
    assert len(paths) > 30
    assert not {path for path in paths if not (ROOT / path).exists()}


def test_the_layers_are_drawn_as_they_are_checked():
    drawn = [
        line
        for line in PAGE.split("## Rooms")[1].split("| room |")[0].splitlines()
        if line.startswith("    ")
    ]
    assert len(drawn) == len(LAYERS) <= 10
    for line, layer in zip(drawn, LAYERS, strict=True):
        assert line.split("  ")[2].strip() == layer


@pytest.mark.parametrize("room", sorted({room for layer in LAYERS for room in layer.split(" | ")}))
def test_every_room_has_its_line(room):
    assert re.search(
        rf"^\| `{room}` \| `python/tailflip/{room}/[\w/]+\.py` \| .", PAGE, re.MULTILINE
    )
