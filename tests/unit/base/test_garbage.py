"""Garbage is collected between a verb's imports and its end, and at no other time."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code):
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return ran.stdout.split()


def test_what_was_imported_is_not_looked_through_again():
    code = (
        "import gc; gc.disable(); import decimal; from tailflip.base import garbage\n"
        "garbage.collect_from_now(); print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
        "garbage.collect_no_more(); print(gc.isenabled())"
    )
    assert run(code) == ["True", "True", "False"]


@pytest.mark.parametrize(
    "argv",
    [["status", "--help"], ["inspect", "--state-dir", "/nowhere"], ["preflight", "--", "/nowhere"]],
)
def test_a_verb_begins_with_it_and_ends_without(argv):
    code = (
        "import contextlib, gc, io, sys; gc.disable()\n"
        "from tailflip.base import garbage; began = garbage.collect_from_now\n"
        "garbage.collect_from_now = lambda: (began(), told.append(gc.isenabled()))\n"
        f"told = []; sys.argv = ['tailflip', *{argv}]\n"
        "from tailflip.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()),"
        " contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "print(told, gc.isenabled())"
    )
    assert run(code) == ["[True]", "False"]
