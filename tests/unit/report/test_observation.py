"""What `status` finds within moments is what `check` finds, as far as it has what that needs."""

from __future__ import annotations

import json
import os

import pytest

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.findings import Code, Finding
from tailflip.flow.lives import Cause, Confidence, Death
from tailflip.flow.observed import Gateway
from tailflip.flow.outcomes import HeapLimit
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.ledger.history import History
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.installation import locate
from tailflip.report.observation import observe_quickly

NOBODY = Gateway(False, None, None, "test")
# What only a survey of the stores, the run log or a guard tells; or settings and environment.
SLOW = {
    "reaper-stopped", "event-unreadable", "database-bloat",
    "entry-unreadable", "entry-unproven", "entry-contradicts",
    "crash-loop", "restart-loop", "memory-elsewhere", "memory-trend", "start-refused",
    "store-invalid", "store-unreadable", "retained-source-changed", "import-waits",
    "owner-unknown", "store-on-record", "folder-litter", "kind-fills-store", "entries-pushed-out",
    "entries-resurrected", "heap-forecast", "heap-close", "store-growing", "disk-ahead",
    "runs-stuck",
    "starts-stopped", "start-waits", "gateway-down", "incident-open", "job-held",
    "session-held", "work-kills", "safe-start",
    "chats-running", "job-rapid", "job-storm", "job-stuck", "job-overdue",
    "program-gone", "archives-beyond", "ledgers-disagree", "settings-wrong",
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    state = tmp_path / "state"
    sessions = state / "agents" / "main" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "sessions.json").write_text("{}")
    (state / "openclaw.json").write_text("{}")
    home = Home.locate({"TAILFLIP_STATE_DIR": str(tmp_path / "ours"), "HOME": str(tmp_path)})
    home.create(RealDisk())
    return state, History(Workspace(home, RealDisk()), os.path.realpath(state))


def observe(place):
    state, history = place
    return observe_quickly(
        locate({"HOME": "/nowhere"}, state_dir=state),
        NOBODY,
        history,
        clock.now_ms(),
        capabilities=find_capabilities((2026, 4, 14)),
        heap_limit=HeapLimit(1 << 30, "test"),
    )


def codes(observation):
    return [each.code for each in observation.looked.findings]


def note(history, *found, at_ms=1):
    history.findings.note(found, at_ms, {each.code for each in found})


def test_a_quick_look_looks_for_all_that_needs_no_survey(place):
    seen = observe(place)
    assert codes(seen) == []
    assert set(seen.looked.not_looked_for) == SLOW


def test_what_lies_there_is_found_without_reading_a_store(place):
    state, _ = place
    store = state / "agents" / "main" / "sessions" / "sessions.json"
    left = store.with_name("sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp")
    left.write_text("12345")
    os.utime(left, (1, 1))
    (state / "cron").mkdir()
    (state / "cron" / "jobs.json").write_text("no JSON")
    os.truncate(store, 600_000_000)  # a survey of it would find that it is no store
    assert codes(observe(place)) == ["store-too-big", "cron-store-invalid", "leftovers"]


def test_transcripts_are_looked_at_without_reading_more_than_their_heads(place):
    sessions = place[0] / "agents" / "main" / "sessions"
    (sessions / "a.jsonl").write_bytes(b'gone\n{"type":"message","id":"1","parentId":null}\n')
    for name, size in (("b.jsonl", STRING_LIMIT_CHARS + 1), ("c.jsonl", (1 << 30) // 5)):
        (sessions / name).write_bytes(b'{"type":"session","id":"b"}\n')
        os.truncate(sessions / name, size)
    seen = observe(place)
    assert codes(seen) == ["transcript-headless", "transcript-too-long", "transcript-huge"]
    assert [each.subject for each in seen.looked.findings] == [
        str(sessions), str(sessions / "b.jsonl"), str(sessions / "c.jsonl")
    ]  # fmt: skip


def test_what_was_looked_for_and_not_found_is_over_whatever_is_on_record(place):
    note(place[1], Finding(Code.LEFTOVERS, "warning", "/gone", "m", "h"))
    note(place[1], Finding(Code.RUNS_STUCK, "warning", "/s", "m", "h"))
    assert codes(observe(place)) == ["runs-stuck"]


def test_a_finding_has_the_time_since_which_it_stands(place):
    state, history = place
    recalled = Finding(Code.RUNS_STUCK, "warning", "/s", "m", "h")
    (state / "openclaw.json").write_text(json.dumps({"cron": {"sessionRetention": "soon"}}))
    seen = observe(place)
    (found,) = seen.looked.findings
    note(history, found, recalled, at_ms=5)
    dated = observe(place).date_findings(9)
    assert {(each.finding.code, each.first_ms, each.last_ms) for each in dated} == {
        ("retention-invalid", 5, 9),  # seen again just now
        ("runs-stuck", 5, 5),  # on record only
    }


def test_what_filled_the_heap_is_told_while_its_incident_is_open(place):
    history = place[1]
    note(history, Finding(Code.MEMORY_ELSEWHERE, "error", "/g", "m", "h"))
    assert codes(observe(place)) == []
    death = Death(
        cause=Cause.V8_HEAP, signature="v8", confidence=Confidence.PROVEN, evidence=("x",)
    )
    history.incidents.open(death, 1)
    assert codes(observe(place)) == ["memory-elsewhere"]


def test_without_an_installation_only_the_record_speaks(place):
    history = place[1]
    note(history, Finding(Code.STORE_TOO_BIG, "error", "/s", "m", "h"))
    seen = observe_quickly(None, None, history, 1)
    assert codes(seen) == ["store-too-big"]
    assert set(seen.looked.not_looked_for) == set(Code)
