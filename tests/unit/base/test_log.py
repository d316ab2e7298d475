"""One line an event, whatever is in it; nobody reading it stops nothing."""

from __future__ import annotations

import ast
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tailflip
from support.stores import NOW_MS
from tailflip.base import clock, log

PACKAGE = Path(tailflip.__file__).parent
LEVELS = frozenset({"debug", "info", "warning", "error", "write"})
WHEN = "2026-02-02 03:40:00+01:00"


@pytest.fixture
def lines(capfd, monkeypatch):
    """Start the log on the captured stream; return what reads it."""
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    logger = logging.getLogger("tailflip")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    level = logger.level
    log.start("info")

    def read() -> list[str]:
        log.flush()
        text: str = capfd.readouterr().err
        assert all(line.startswith(f"tailflip: {WHEN} ") for line in text.splitlines())
        return text.replace(f"{WHEN} ", "").splitlines()

    yield read
    logger.setLevel(level)
    monkeypatch.undo()
    time.tzset()


def test_fields_are_quoted_only_where_they_must_be(lines):
    log.info("gateway ended", pid=4, path="/a b", said='x="y"', took_s=0.5, cause="v8-heap-oom")
    [line] = lines()
    assert line.startswith("tailflip: info: gateway ended pid=4 ")
    assert line.endswith(' path="/a b" said="x=\'y\'" took_s=0.5 cause=v8-heap-oom')


def test_what_is_not_known_is_left_out(lines):
    log.warning("x", hint=None, reason="", count=0)
    assert lines() == ["tailflip: warning: x count=0"]


def test_hostile_values_make_no_line_of_their_own(lines):
    log.error("x", path="a\nREADY=1\x1b[2J")
    [line] = lines()
    assert "\x1b" not in line
    assert "READY=1" in line


def test_a_percent_sign_is_a_percent_sign(lines):
    log.info("100 % of %s", share="5 %")
    assert lines() == ['tailflip: info: 100 % of %s share="5 %"']


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", 3), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_the_level_chooses_what_is_written(lines, level, shown):
    log.set_level(level)
    log.info("a")
    log.warning("b")
    log.error("c")
    assert len(lines()) == shown


def test_to_start_twice_doubles_nothing(lines):
    log.start("info")
    log.info("once")
    assert len(lines()) == 1


def test_a_reader_that_is_gone_spoils_no_exit_code():
    code = (
        "from tailflip.base import log\n"
        "import time\n"
        "log.start('info')\n"
        "log.info('first')\n"
        "time.sleep(0.2)\n"
        "for n in range(3): log.info('nobody hears')\n"
        "raise SystemExit(7)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert process.stderr.readline().endswith(b" info: first\n")
    process.stderr.close()
    assert process.wait(10) == 7


def test_the_journal_dates_lines_itself(monkeypatch):
    """In `journalctl` each line had its time once, in a terminal not at all."""
    about = os.fstat(2)
    assert log._goes_to_journal({"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"})
    assert not log._goes_to_journal({"JOURNAL_STREAM": "1:2"}), "of the service, not of a terminal"
    assert not log._goes_to_journal({})


def find_log_calls() -> list[tuple[str, str, list[str]]]:
    """Every line that the package logs: where, its literal words, the names of its fields."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name, of = node.func.attr, node.func.value
            if name not in LEVELS or not (isinstance(of, ast.Name) and of.id == "log"):
                continue
            message = node.args[1 if name == "write" else 0]
            fields = [each.arg for each in node.keywords if each.arg is not None]
            found.append((f"{path.name}:{node.lineno}", ast.unparse(message), fields))
    return found


def test_each_line_is_a_sentence_and_then_fields_in_plain_words():
    """`note text="zombies: 1,330 retire"`, `verdict cause=…`, `decision kind=start reason=…`."""
    calls = find_log_calls()
    assert len(calls) > 40
    for where, message, fields in calls:
        literal = message.strip("f'\"")
        is_text = re.match(r"f?['\"]", message) is not None
        assert not is_text or " " in literal, f"{where}: {message} is no sentence"
        assert not is_text or not literal.endswith("."), where
        assert not {"text", "kind", "note", "period"} & set(fields), f"{where}: {fields}"


def test_a_message_is_made_safe_as_its_fields_are(lines):
    log.info("store is missing: /a\nREADY=1\x1b[2J")
    assert lines() == ["tailflip: info: store is missing: /a\\x0aREADY=1\\x1b[2J"]
