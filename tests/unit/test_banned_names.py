"""What a docstring says that one module alone does, the linter keeps from all others."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
BANNED = SETTINGS["flake8-tidy-imports"]["banned-api"]
ALLOWED = sorted(
    name
    for name, rules in SETTINGS["per-file-ignores"].items()
    if "TID251" in rules and name.startswith("python/")
)
RUFF = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--output-format", "json"]


def check(*arguments, text=None):
    done = subprocess.run(
        [*RUFF, *arguments], cwd=ROOT, input=text, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)


def find(where, text):
    return {
        each["message"].split("`")[1] for each in check("--stdin-filename", where, "-", text=text)
    }


def test_every_banned_name_is_found_in_a_module_that_may_not_use_it():
    uses = []
    for name in BANNED:
        module, _, last = name.rpartition(".")
        top = module.partition(".")[0]
        uses += [f"import {top}\n{name}()\n" if module else f"import {last}\n"]
    assert find("python/tailflip/report/any.py", "".join(uses)) >= set(BANNED)


@pytest.mark.parametrize("path", ALLOWED)
def test_who_may_use_a_banned_name_is_there_and_does(path):
    """An exception that nobody needs any more would let the next one in."""
    assert (ROOT / path).is_file()
    module = (ROOT / path).read_text()
    assert find("python/tailflip/report/any.py", module)


def test_an_exception_is_a_file_and_no_folder():
    assert ALLOWED
    assert not [path for path in ALLOWED if "*" in path]
