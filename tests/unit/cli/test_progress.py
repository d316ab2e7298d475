"""Slow work is shown to people at a terminal, and to nobody else."""

from __future__ import annotations

import io
import sys

import pytest

from tailflip.base import clock
from tailflip.base.progress import be_quiet
from tailflip.cli.progress import show_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def open_terminal(monkeypatch):
    """Put a terminal in the place of stderr; not in a fixture, after which pytest puts its own."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.fixture
def now_s(monkeypatch):
    """Whoever asks for the time gets the last of these."""
    seconds = [0.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: seconds[-1])
    return seconds


def test_a_program_that_reads_our_stderr_sees_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with show_progress() as report:
        assert report is be_quiet
        report("survey", 1, 2)
    assert sys.stderr.getvalue() == ""


def test_work_of_less_than_a_second_shows_nothing(monkeypatch, now_s):
    terminal = open_terminal(monkeypatch)
    with show_progress() as report:
        now_s.append(0.9)
        report("survey", 1, 2)
        assert report is not be_quiet
    assert "survey" not in terminal.getvalue()


def test_slow_work_shows_its_stages_and_how_far_they_are(monkeypatch, now_s):
    terminal = open_terminal(monkeypatch)
    with show_progress() as report:
        now_s.append(1.1)
        report("survey", 1_000_000, 4_000_000)
        report("rewrite", 3_000_000, 4_000_000)
        report("rewrite", 4_000_000, 4_000_000)
    shown = terminal.getvalue()
    assert "survey" in shown
    assert "1.0/4.0 MB" in shown
    assert "4.0/4.0 MB" in shown
