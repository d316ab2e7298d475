"""One line an event, whatever is in it; nobody reading it stops nothing."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from tailflip.base import log


@pytest.fixture
def lines(capfd, monkeypatch):
    """Start the log on the captured stream; return what reads it."""
    logger = logging.getLogger("tailflip")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    level = logger.level
    log.start("info")

    def read() -> list[str]:
        log.flush()
        text: str = capfd.readouterr().err
        return text.splitlines()

    yield read
    logger.setLevel(level)


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
    assert process.stderr.readline() == b"tailflip: info: first\n"
    process.stderr.close()
    assert process.wait(10) == 7
