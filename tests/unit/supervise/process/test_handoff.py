"""Whether a gateway asked for its successor: its own command tells, once."""

from __future__ import annotations

import json
import sys
import time

import pytest

from tailflip.observe.gateway.release import Release
from tailflip.supervise.process import handoff
from tailflip.supervise.process.handoff import consume_handoff, is_accepted

ANSWER = {
    "protocol": "openclaw.gateway.restart-handoff",
    "protocolVersion": 1,
    "status": "accepted",
}


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        (ANSWER, True),
        ({**ANSWER, "more": 1}, True),
        ({**ANSWER, "status": "none"}, False),
        ({**ANSWER, "status": None}, False),
        ({**ANSWER, "protocolVersion": 2}, False),
        ({**ANSWER, "protocol": "other"}, False),
        ({}, False),
        ([], False),
        ("accepted", False),
        (None, False),
    ],
)
def test_only_an_accepted_hand_off_of_a_known_protocol_counts(answer, accepted):
    assert is_accepted(json.dumps(answer).encode()) is accepted


def make_release(tmp_path, code, **changed):
    """A release whose command line is this Python."""
    entry = tmp_path / "openclaw.mjs"
    entry.write_text(code)
    fields = {
        "version": (2026, 9, 6),
        "text": "2026.9.6",
        "node": sys.executable,
        "entry": entry,
        "profile": None,
        "port": None,
        "evidence": "test",
        "env": {"OWN": "1"},
    }
    return Release(**fields | changed)


def test_the_question_names_the_process_and_the_mode(tmp_path):
    code = f"""
import json, os, sys
assert sys.argv[1:] == "gateway restart-handoff consume --expected-pid 77 --json".split()
assert os.environ["OPENCLAW_SUPERVISOR_MODE"] == "external" and os.environ["OWN"] == "1"
assert sys.stdin.read() == ""
print("noise", file=sys.stderr)
print(json.dumps({ANSWER!r}))
"""
    assert consume_handoff(make_release(tmp_path, code), 77)


@pytest.mark.parametrize("code", ["print('no json')", "raise SystemExit(1)", "", "print('[]')"])
def test_no_clear_answer_is_no_hand_off(tmp_path, code):
    assert not consume_handoff(make_release(tmp_path, code), 1)


def test_an_answer_that_fails_does_not_count(tmp_path):
    code = f"import json; print(json.dumps({ANSWER!r})); raise SystemExit(1)"
    assert not consume_handoff(make_release(tmp_path, code), 1)


def test_an_answer_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(handoff, "_TIMEOUT_S", 0.2)
    began = time.monotonic()
    assert not consume_handoff(make_release(tmp_path, "import time; time.sleep(60)"), 1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("missing", [{"node": None}, {"entry": None}, {"node": "/nonexistent"}])
def test_a_command_that_cannot_be_followed_is_not_asked(tmp_path, missing):
    assert not consume_handoff(make_release(tmp_path, "", **missing), 1)
