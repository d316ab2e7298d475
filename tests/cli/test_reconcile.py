"""`tailflip reconcile` on whole installations: what is ended, what goes, and what stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tailflip.base import clock
from tailflip.observe.gateway.process import start_ticks

MIN_MS = 60_000
HOUR_MS = 60 * MIN_MS
DAY_MS = 24 * HOUR_MS
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
BASE = f"agent:main:cron:{JOB}"


class Ledgers:
    """A state directory with a store, run logs, jobs and a registry."""

    def __init__(self, place):
        self.place = place
        self.now = clock.now_ms()
        self.entries = {"agent:main:main": {"sessionId": "chat", "updatedAt": self.now - DAY_MS}}
        self.lines = []
        self.jobs = []

    def run(
        self, name, age_ms, *, status="running", log=None, log_key=True, took_ms=60_000, **more
    ):
        """Add a run that began `age_ms` ago; `log` is its line's status."""
        began = self.now - age_ms
        key = f"{BASE}:run:{name}"
        entry = {"sessionId": name, "updatedAt": began, **more}
        if status is not None:
            entry |= {"status": status, "startedAt": began - 30 * DAY_MS}
        self.entries[key] = entry
        if log is not None:
            line = {"ts": began + took_ms, "jobId": JOB, "action": "finished", "status": log}
            line |= {"runAtMs": began, "durationMs": took_ms}
            if log == "error":
                line["error"] = "cron: job execution timed out" if not log_key else "HTTP 500"
            if log_key:
                line |= {"sessionId": name, "sessionKey": key}
            self.lines.append(line)
        return key

    def write(self):
        self.place.put(json.dumps(self.entries, indent=2).encode())
        folder = self.place.state / "cron" / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (folder / f"{JOB}.jsonl").write_text(text)
        jobs = json.dumps({"version": 1, "jobs": self.jobs}, indent=2)
        (self.place.state / "cron" / "jobs.json").write_text(jobs)

    def read(self):
        return json.loads(self.place.store.read_bytes())

    def reconcile(self, *argv):
        code, out, err = self.place.run("reconcile", "--json", *argv)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def ledgers(place):
    return Ledgers(place)


def counts(answer, kind):
    return next(step["counts"] for step in answer["steps"] if step["kind"] == kind)


def test_a_month_of_zombies(ledgers):
    """One run every 15 minutes for 30 days, each over by its log, none ever told so."""
    for n in range(2880):
        ledgers.run(f"run-{n:04}", (n + 1) * 15 * MIN_MS - 5 * MIN_MS, log="ok")
    ledgers.write()
    before = ledgers.place.store.read_bytes()

    planned = ledgers.reconcile("zombies")
    assert counts(planned, "zombies") == {"retire": 2880}
    assert ledgers.place.store.read_bytes() == before, "a dry run changes nothing"

    done = ledgers.reconcile("zombies", "--apply")
    assert counts(done, "zombies") == {"retire": 2880}
    entries = ledgers.read()
    assert len(entries) == 2881
    for line in ledgers.lines:
        entry = entries[line["sessionKey"]]
        assert entry["status"] == "done"
        assert entry["endedAt"] == line["runAtMs"] + 60_000
        assert entry["runtimeMs"] == 60_000
    assert counts(ledgers.reconcile("zombies", "--apply"), "zombies") == {}

    # What began and ended more than 24 h ago: 96 runs a day stay.
    swept = ledgers.reconcile("retention", "--apply")
    assert counts(swept, "retention") == {"expire": 2784}
    assert len(ledgers.read()) == 2881 - 2784
    again = ledgers.reconcile("--apply")
    assert [step["counts"] for step in again["steps"]] == [{}] * len(again["steps"])

    for step in (swept["steps"][0], done["steps"][0]):
        code, _, err = ledgers.place.run("restore", step["action_id"], "--apply")
        assert code == 0, err
    assert ledgers.place.store.read_bytes() == before, "undone byte for byte"


def test_a_store_that_grew_is_told_by_its_runs_and_not_by_its_size(ledgers):
    """`compact 185.0 MB -> 185.2 MB` stood where only the ends of runs had been written."""
    for n in range(1_200):
        ledgers.run(f"run-{n}", n * MIN_MS + 10 * MIN_MS, log="ok")
    ledgers.write()
    before_bytes = ledgers.place.store.stat().st_size
    (step,) = ledgers.reconcile("zombies", "--apply")["steps"]
    assert ledgers.place.store.stat().st_size > before_bytes
    for verb in (("status",), ("archive", "list")):
        _, out, _ = ledgers.place.run(*verb)
        lines = out.splitlines()
        (at,) = [n for n, line in enumerate(lines) if step["action_id"] in line]
        told = "".join(lines[max(0, at - 1) : at + 1])
        assert "reconcile: 1,200 runs ended" in told
        assert " -> " not in told
    shown = ledgers.place.run("archive", "show", step["action_id"])[1].splitlines()
    assert shown[0].endswith(": 1,200 runs ended")
    assert len(shown) == 1_201


def test_one_call_ends_and_sweeps(ledgers):
    for n in range(40):
        ledgers.run(f"run-{n}", n * HOUR_MS + 10 * MIN_MS, log="ok")
    ledgers.write()
    code, out, err = ledgers.place.run("reconcile", "--apply")
    assert code == 0, err
    assert '40 entries saying "running": 40 over' in out
    assert " ".join(out.split()).count("retire 40 entries") == 1
    assert "the run log says it ended done at" in out
    assert out.count("done; undo: tailflip restore ") == 2
    assert sum(":run:" in key for key in ledgers.read()) == 24
    code, out, _ = ledgers.place.run("reconcile", "--apply")
    assert code == 0
    assert "nothing to do" in out.splitlines()[-1]


def test_every_kind_of_end(ledgers):
    ok = ledgers.run("ok", 10 * MIN_MS, log="ok")
    error = ledgers.run("error", 20 * MIN_MS, log="error")
    timed_out = ledgers.run("slow", 40 * MIN_MS, log="error", log_key=False)
    killed = ledgers.run("killed", 50 * MIN_MS)
    silent = ledgers.run("healthy", 55 * MIN_MS, status=None)
    failed = ledgers.run("failed", 56 * MIN_MS, status="failed")
    ledgers.write()
    answer = ledgers.reconcile("zombies", "--apply")
    assert counts(answer, "zombies") == {"retire": 4}
    entries = ledgers.read()
    assert {
        k: entries[k].get("status") for k in (ok, error, timed_out, killed, silent, failed)
    } == {
        ok: "done",
        error: "failed",
        timed_out: "timeout",
        killed: "killed",
        silent: None,
        failed: "failed",
    }
    words = "\n".join(answer["steps"][0]["reasons"])
    assert "(by job and time)" in words
    assert "no gateway is running" in words


def test_terminal_states_expire_alike(ledgers):
    for status in ("done", "failed", "killed", "timeout", None, "running"):
        ledgers.run(f"old-{status}", 30 * HOUR_MS, status=status, log="ok")
        ledgers.run(f"new-{status}", 20 * HOUR_MS, status=status, log="ok")
    ledgers.write()
    answer = ledgers.reconcile("retention", "--apply")
    assert counts(answer, "retention") == {"expire": 6}
    assert not any("old-" in key for key in ledgers.read())


def test_orphaned_runs_of_issue_12588(ledgers):
    """156 orphaned runs: exactly those past retention go, whatever it is; nothing else does."""
    ages = [n * 20 * MIN_MS + MIN_MS for n in range(156)]  # from 1 min to 51 h 41 min
    for n, age in enumerate(ages):
        ledgers.run(f"run-{n:03}", age, status=None)
    ledgers.entries[BASE] = {"sessionId": "run-155", "updatedAt": ledgers.now - 3 * DAY_MS}
    keep = [
        BASE,
        "agent:main:main",
        "agent:main:custom:run:thing",
        f"{BASE}:run:x:more",
        "agent:main:telegram:group:-100:run:9",
        "cron:old:run:1",
    ]
    for key in keep[2:]:
        ledgers.entries[key] = {"sessionId": "chat", "updatedAt": ledgers.now - 90 * DAY_MS}
    ledgers.write()
    config = ledgers.place.state / "openclaw.json"

    config.write_text("{cron: {sessionRetention: false}}")
    before = ledgers.place.store.read_bytes()
    assert ledgers.reconcile("retention", "--apply")["steps"] == []
    assert ledgers.place.store.read_bytes() == before

    config.write_text('{cron: {sessionRetention: "24h"}}')
    past = sum(age > DAY_MS for age in ages)
    assert counts(ledgers.reconcile("retention", "--apply"), "retention") == {"expire": past}
    left = ledgers.read()
    assert sum(key.startswith(f"{BASE}:run:run-") for key in left) == 156 - past
    assert set(keep) <= left.keys()

    config.write_text('{cron: {sessionRetention: "2m"}}')
    rest = sum(2 * MIN_MS < age <= DAY_MS for age in ages)
    assert counts(ledgers.reconcile("retention", "--apply"), "retention") == {"expire": rest}
    left = ledgers.read()
    assert [key for key in left if key.startswith(f"{BASE}:run:run-")] == [f"{BASE}:run:run-000"]
    assert set(keep) <= left.keys()


def test_base_entry_is_ended_so_that_it_hands_nothing_on(ledgers):
    ledgers.run("last", 20 * MIN_MS, log="ok")
    stale = {"status": "running", "startedAt": ledgers.now - 30 * DAY_MS}
    ledgers.entries[BASE] = {"sessionId": "last", "updatedAt": ledgers.now - 20 * MIN_MS, **stale}
    ledgers.write()
    assert counts(ledgers.reconcile("zombies", "--apply"), "zombies") == {"retire": 2}
    assert ledgers.read()[BASE]["status"] == "done"


def test_sub_agents_and_session_targets(ledgers):
    """The registry's end is written; what may be resumed and what only chats stays."""
    now = ledgers.now
    seen = {"updatedAt": now - 30 * MIN_MS, "startedAt": now - 30 * MIN_MS, "status": "running"}
    names = ("ended", "open", "forgotten")
    for name in names:
        ledgers.entries[f"agent:main:subagent:{name}"] = {"sessionId": name, **seen}
    ledgers.entries["agent:main:daily"] = {"sessionId": "daily", **seen}
    ledgers.entries["agent:main:direct:peer"] = {"sessionId": "peer", **seen}
    line = {"jobId": JOB, "action": "finished", "status": "ok", "sessionId": "daily"}
    line |= {"sessionKey": "agent:main:daily", "runAtMs": now - 30 * MIN_MS, "durationMs": 9_000}
    ledgers.lines.append(line)
    ledgers.write()
    run = {"childSessionKey": "agent:main:subagent:open", "startedAt": now - 30 * MIN_MS}
    ended = {
        "childSessionKey": "agent:main:subagent:ended",
        "startedAt": now - 30 * MIN_MS,
        "endedAt": now - 29 * MIN_MS,
        "outcome": {"status": "error"},
    }
    folder = ledgers.place.state / "subagents"
    folder.mkdir()
    (folder / "runs.json").write_text(json.dumps({"version": 2, "runs": {"a": run, "b": ended}}))
    assert counts(ledgers.reconcile("zombies", "--apply"), "zombies") == {"retire": 3}
    entries = ledgers.read()
    status = {key.removeprefix("agent:main:"): e.get("status") for key, e in entries.items()}
    assert status == {
        "main": None,
        "subagent:ended": "failed",
        "subagent:open": "running",
        "subagent:forgotten": "killed",
        "daily": "done",
        "direct:peer": "running",
    }


def test_chats_that_are_left_are_told_apart_from_what_is_ended(ledgers):
    """They were listed under what is retired, and stayed: 5.x resumes by that mark."""
    seen = {"updatedAt": ledgers.now - 30 * HOUR_MS, "status": "running"}
    chats = {f"agent:main:slack:channel:c{n}": {"sessionId": f"c{n}", **seen} for n in range(29)}
    ended = {f"agent:main:subagent:{n}": {"sessionId": f"s{n}", **seen} for n in range(3)}
    ledgers.entries |= chats | ended
    ledgers.write()
    answer = ledgers.reconcile("zombies")
    [step] = [step for step in answer["steps"] if step["kind"] == "zombies"]
    assert (step["counts"], step["entries_left"]) == ({"retire": 3}, 29)
    assert [word.split(": ")[0] for word in step["reasons"][:3]] == list(ended)
    _, out, _ = ledgers.place.run("reconcile", "zombies")
    assert "29 of them are chats, and left to the gateway" in out
    assert "more; --json" not in out, "3 are ended, and 3 reasons are told"


@pytest.mark.parametrize(("version", "left"), [("2026.4.14", 0), ("2026.5.28", 29)])
def test_chats_of_a_release_that_does_not_resume_them_are_ended(ledgers, version, left):
    """28 agents were stuck in "running" after EMFILE, for ever: openclaw/openclaw #84968."""
    ledgers.place.put_openclaw(version)
    seen = {"updatedAt": ledgers.now - 30 * HOUR_MS, "status": "running"}
    keys = ["agent:main:main", *(f"agent:main:slack:channel:c{n}" for n in range(28))]
    ledgers.entries |= {key: {"sessionId": f"s{n}", **seen} for n, key in enumerate(keys)}
    ledgers.write()
    before = ledgers.read()
    answer = ledgers.reconcile("zombies", "--apply")
    [step] = [step for step in answer["steps"] if step["kind"] == "zombies"]
    assert (sum(step["counts"].values()), step["entries_left"]) == (29 - left, left)
    statuses = [entry["status"] for entry in ledgers.read().values()]
    assert statuses == ["running" if left else "killed"] * 29
    if not left:
        assert ledgers.place.run(*step["undo"].split()[1:])[0] == 0
        assert ledgers.read() == before


def test_a_run_in_flight_is_left_alone(ledgers):
    key = ledgers.run("live", 3 * HOUR_MS)
    ledgers.run("dead", 3 * HOUR_MS)
    ledgers.write()
    me = {"pid": os.getpid(), "starttime": start_ticks(os.getpid())}
    (ledgers.place.store.parent / "live.jsonl.lock").write_text(json.dumps(me))
    before = ledgers.read()[key]
    answer = ledgers.reconcile("--apply", "--max-lifetime", "1s", "--retention", "1s")
    assert ledgers.read()[key] == before
    assert answer["steps"][0]["running_by_fate"] == {"alive": 1, "dead": 1}


def test_entry_with_a_persons_choice_is_told_its_end_too(ledgers):
    key = ledgers.run("chosen", 20 * MIN_MS, log="ok", thinkingLevel="high")
    ledgers.write()
    ledgers.reconcile("zombies", "--apply")
    assert ledgers.read()[key]["status"] == "done"
    assert ledgers.read()[key]["thinkingLevel"] == "high"


def test_unknown_kind_is_named(place):
    place.put(b"{}")
    code, _, err = place.run("reconcile", "ghosts")
    assert code == 64
    assert "no such kind: ghosts" in err
    assert "zombies" in err


def test_broken_store_is_an_error_and_the_others_are_done(ledgers):
    ledgers.run("a", 20 * MIN_MS, log="ok")
    ledgers.write()
    other = ledgers.place.state / "agents" / "work" / "sessions"
    other.mkdir(parents=True)
    Path(other / "sessions.json").write_text('{"torn')
    code, out, err = ledgers.place.run("reconcile", "zombies", "--apply")
    assert code == 65
    assert "agents/work/sessions/sessions.json" in err
    assert "done; undo: tailflip restore" in out
    assert Path(other / "sessions.json").read_text() == '{"torn'
