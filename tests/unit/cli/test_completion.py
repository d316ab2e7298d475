"""A shell is offered what is on record, and never told an error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.alert_rows import make_alert
from support.incident_history import ACTION, record_night
from support.stores import list_tree
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.demo.incident import write_incident
from tailflip.ledger.history import History


@pytest.fixture
def ask(tmp_path):
    """Ask as bash does after Tab: the words so far, the last one perhaps unfinished."""
    state = tmp_path / "openclaw"
    write_incident(state, size_bytes=10_000, now_ms=clock.now_ms())
    history = History(Workspace(Home(tmp_path / "tailflip"), RealDisk()), str(state))
    store = state / "agents" / "main" / "sessions" / "sessions.json"
    record_night(history, store=str(store))
    history.alerts.put([make_alert(0)])
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OPENCLAW_STATE_DIR": str(state),
        "TAILFLIP_STATE_DIR": str(tmp_path / "tailflip"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "_TAILFLIP_COMPLETE": "complete_bash",
    }

    def complete(line: str, **changed: str) -> list[str]:
        words = line.split(" ")
        asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
        before = list_tree(tmp_path)
        ran = subprocess.run(
            [sys.executable, "-m", "tailflip"],
            env={**env, **asked, **changed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stderr == ""
        assert list_tree(tmp_path) == before, "looking changes nothing"
        return ran.stdout.split("\n")

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tailflip restore ", ACTION),
        ("tailflip archive show 2026", ACTION),
        ("tailflip archive verify ", ACTION),
        ("tailflip archive expire ", ACTION),
        ("tailflip incidents why ", "1"),
        ("tailflip incidents ack ", "1"),
        ("tailflip alerts ack ", "1"),
        ("tailflip restore --job morn", "morning-sleep-report"),
        ("tailflip compact --agent ", "main"),
        ("tailflip reconcile --agent m", "main"),
        ("tailflip gate --heap", "--heap-limit"),
        ("tailflip run --st", "--state-dir"),
        ("tailflip hel", "help"),
    ],
)
def test_what_is_on_record_is_offered(ask, line, offered):
    """It knew verbs and options; ids of 22 characters had to be copied by hand."""
    assert offered in ask(line)


@pytest.mark.parametrize(
    "line",
    ["tailflip restore x", "tailflip incidents why 9", "tailflip compact --agent z"],
)
def test_what_does_not_fit_is_not_offered(ask, line):
    assert "".join(ask(line)) == ""


def test_a_record_that_cannot_be_read_offers_nothing_and_says_nothing(ask, tmp_path):
    (tmp_path / "tailflip" / "ledger.sqlite").write_bytes(b"rotten" * 999)
    assert "".join(ask("tailflip restore ")) == ""
    assert "".join(ask("tailflip incidents why ")) == ""
    assert "".join(ask("tailflip restore --job ", OPENCLAW_STATE_DIR="/nonexistent")) == ""
