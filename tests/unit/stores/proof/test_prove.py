"""Proof of life and death is gathered from logs, locks and the registry; `status` is none."""

from __future__ import annotations

import json
import os

import pytest

from tailflip.flow.observed import Gateway, Store
from tailflip.observe.gateway import lock_owner
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.installation import locate
from tailflip.observe.records import runlog
from tailflip.stores.proof.judge import judge_store
from tailflip.stores.proof.prove import End, Facts, Fate, prove

NOW = 1_800_000_000_000
STOPPED = Gateway(False, None, None, "test")
LIVING = Gateway(True, 1, None, "test")
UNKNOWN = Gateway(None, None, None, "test")
HALF_HOUR_MS = 30 * 60_000


def key(run):
    return f"agent:main:cron:j:run:{run}"


class State:
    def __init__(self, root):
        self.root = root
        self.sessions = root / "agents/main/sessions"
        self.sessions.mkdir(parents=True)
        (self.sessions / "sessions.json").write_text("{}")
        (root / "cron/runs").mkdir(parents=True)
        (root / "subagents").mkdir()

    def log(self, job, *lines):
        text = b"".join(
            (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n"
            for line in lines
        )
        (self.root / "cron/runs" / f"{job}.jsonl").write_bytes(text)

    def lock(self, stem, payload, age_ms=0):
        path = self.sessions / f"{stem}.jsonl.lock"
        path.write_text(payload if isinstance(payload, str) else json.dumps(payload))
        os.utime(path, ns=((NOW - age_ms) * 1_000_000,) * 2)

    def read(self, gateway=LIVING, runs="ab"):
        """Read the evidence about a store that holds an entry for each of some runs."""
        entries = {key(run): {"sessionId": run, "updatedAt": 1_000} for run in runs}
        path = self.sessions / "sessions.json"
        path.write_text(json.dumps(entries))
        found = locate({"OPENCLAW_STATE_DIR": str(self.root)})
        return judge_store(found, Store(path, "main"), gateway, NOW).evidence


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "state")


def line(run, agent="main", **more):
    return {
        "ts": 2_000,
        "jobId": "j",
        "action": "finished",
        "status": "ok",
        "sessionId": run,
        "sessionKey": f"agent:{agent}:cron:j:run:{run}",
        "runAtMs": 1_000,
        "durationMs": 500,
        **more,
    }


def test_nothing_there_is_no_evidence(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/x.json").write_text("{}")
    found = locate({"OPENCLAW_STATE_DIR": str(tmp_path / "s")})
    got = judge_store(found, Store(tmp_path / "s/x.json", None), STOPPED, NOW).evidence
    assert (got.live_sessions, got.protected_keys, got.notes) == (
        frozenset(),
        frozenset(),
        (),
    )
    assert got.gateway is STOPPED


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ("done", 1_500, 500)),
        ({"status": "error", "error": "HTTP 500"}, ("failed", 1_500, 500)),
        ({"status": "error", "error": "job timed out"}, ("timeout", 1_500, 500)),
        ({"durationMs": None}, ("done", 2_000, 1_000)),
        ({"status": "skipped"}, None),
        ({"status": 7}, None),
        ({"action": "started"}, None),
        ({"sessionKey": None}, ("done", 1_500, 500)),  # by job and time
        ({"sessionKey": "agent:main:main"}, None),
        ({"sessionKey": "agent:main:cron:j"}, None),
        ({"runAtMs": "1000"}, None),
        ({"runAtMs": True}, None),
        ({"runAtMs": 1e300}, None),
        ({"durationMs": None, "ts": None}, None),
    ],
)
def test_a_line_proves_the_end_of_a_run_or_nothing(state, more, expected):
    state.log("j", line("a", **more))
    got = state.read()
    assert got.over.find(key("a")) == expected
    assert got.notes == ()


def test_broken_lines_are_skipped_and_counted(state):
    deep = b"[" * 200_000
    state.log("j", b"{torn", line("a"), b"\xff\xfe", b"[]", b"", deep, line("b"))
    got = state.read()
    assert all(got.over.find(key(run)) for run in "ab")
    assert got.notes == ("4 broken lines in run logs were skipped",)


def test_a_line_without_end_is_skipped_in_bounded_memory(state, monkeypatch):
    monkeypatch.setattr(runlog, "MAX_LINE_BYTES", 512)
    state.log("j", b"x" * 5_000, line("a"), line("b"))
    got = state.read()
    assert all(got.over.find(key(run)) for run in "ab")
    assert got.notes == ("1 broken line in run logs was skipped",)


def test_a_text_cut_in_the_middle_of_an_emoji_takes_no_proof_away(state):
    state.log("j", line("a", summary="cut \ud83d"))
    got = state.read()
    assert got.over.find(key("a")) == ("done", 1_500, 500)
    assert got.notes == ()


def test_no_run_is_forgotten_however_many_there_are(state):
    """Beyond 65,536 the oldest were forgotten, and dropped as if nothing proved their end."""
    state.log("j", *(line(f"r{i}", runAtMs=i) for i in range(70_000)))
    over = state.read(runs=[f"r{i}" for i in range(70_000)]).over
    assert all(over.find(key(f"r{i}")) == ("done", i + 500, 500) for i in range(70_000))


def test_of_two_lines_about_a_run_the_later_end_holds(state):
    state.log("j", line("a", status="error", durationMs=900), line("a", durationMs=100))
    assert state.read().over.find(key("a")) == ("failed", 1_900, 900)


def test_of_two_lines_that_end_alike_the_later_written_holds(state):
    state.log("j", line("a", status="error"), line("a"))
    assert state.read().over.find(key("a")) == ("done", 1_500, 500)


def test_a_lock_with_a_living_owner_is_proof_of_life(state):
    me = {"pid": os.getpid(), "starttime": start_ticks(os.getpid())}
    state.lock("plain", me, age_ms=10 * HALF_HOUR_MS)
    state.lock("abc-topic-7%2F", me)
    state.lock("2026-01-01T00-00-00-000Z_fork", me)
    state.lock("dead", {"pid": 2**22 + 5, "starttime": 1})
    live = state.read().live_sessions
    assert {"plain", "abc", "abc-topic-7%2F", "fork"} <= live
    assert "dead" not in live


def test_a_mere_number_from_before_the_boot_is_no_proof_of_life(state, monkeypatch):
    """After a boot another process may have it; a start time tells them apart."""
    monkeypatch.setattr(lock_owner, "booted_ms", lambda: NOW - HALF_HOUR_MS)
    state.lock("before", {"pid": os.getpid()}, age_ms=2 * HALF_HOUR_MS)
    state.lock("since", {"pid": os.getpid()}, age_ms=HALF_HOUR_MS // 2)
    me = {"pid": os.getpid(), "starttime": start_ticks(os.getpid())}
    state.lock("surely", me, age_ms=2 * HALF_HOUR_MS)
    assert state.read().live_sessions == {"since", "surely"}


def test_a_lock_without_payload_counts_while_it_is_young(state):
    state.lock("young", "", age_ms=1_000)
    state.lock("old", "", age_ms=HALF_HOUR_MS + 1)
    state.lock("nopid", {"createdAt": "x"}, age_ms=HALF_HOUR_MS + 1)
    assert state.read().live_sessions == {"young"}


def test_foreign_pids_are_believed_while_the_gateway_is_unknown(state):
    """A gateway in a container writes pids of its own namespace, which look dead from here."""
    state.lock("s", {"pid": 2**22 + 5}, age_ms=1_000)
    state.lock("t", {"pid": 2**22 + 5}, age_ms=HALF_HOUR_MS + 1)
    assert state.read(UNKNOWN).live_sessions == {"s"}
    assert state.read(STOPPED).live_sessions == frozenset()


def test_locks_of_a_store_elsewhere_are_found_below_the_state_directory(state, tmp_path):
    """Cron writes transcripts there even when session.store points elsewhere."""
    state.lock("cron-run", {"pid": os.getpid()})
    found = locate({"OPENCLAW_STATE_DIR": str(state.root)})
    (tmp_path / "x").mkdir()
    (tmp_path / "x/sessions.json").write_text("{}")
    got = judge_store(found, Store(tmp_path / "x/sessions.json", None), STOPPED, NOW).evidence
    assert "cron-run" in got.live_sessions


def test_keys_of_unfinished_sub_agent_runs_are_protected(state):
    runs = {
        "1": {"childSessionKey": "c1", "requesterSessionKey": "r1", "controllerSessionKey": "k1"},
        "2": {"childSessionKey": "c2", "requesterSessionKey": "r2", "endedAt": 5},
        "3": {"childSessionKey": 7, "requesterSessionKey": ""},
        "4": None,
    }
    (state.root / "subagents/runs.json").write_text(json.dumps({"version": 2, "runs": runs}))
    assert state.read().protected_keys == {"c1", "r1", "k1"}


@pytest.mark.parametrize("text", ['{"version": 2, "ru', "", "[" * 200_000])
def test_a_truncated_registry_is_noted(state, text):
    (state.root / "subagents/runs.json").write_text(text)
    got = state.read()
    assert got.protected_keys == frozenset()
    assert "not valid JSON" in got.notes[0]


def test_fifos_do_not_hang(state):
    os.mkfifo(state.root / "cron/runs/j.jsonl")
    os.mkfifo(state.root / "subagents/runs.json")
    got = state.read()
    assert got.over.find(key("a")) is None
    (note,) = got.notes
    assert "runs.json: not a regular file; runs that it may know more about are kept" in note


@pytest.mark.parametrize(
    ("died_ms", "ended_ms", "runtime_ms"),
    [(None, 9_000, 8_000), (3_000, 3_000, 2_000), (9_500, 9_000, 8_000)],
)
def test_a_killed_run_ended_with_its_gateway_and_not_at_the_repair(died_ms, ended_ms, runtime_ms):
    """From 2026.4.25 on the next start writes its own time down as the end of such a run."""
    end = End("killed", 9_000, 8_000, "run log", "by job and start")
    proof = prove(
        Facts(now_ms=NOW, gateway=STOPPED, updated_ms=1_000, ends=(end,), died_ms=died_ms)
    )
    assert (proof.fate, proof.status) == (Fate.OVER, "killed")
    assert (proof.ended_ms, proof.runtime_ms) == (ended_ms, runtime_ms)
    assert "or before (by job and start)" in proof.words[0]
