"""What is counted in a database, what is judged of it, and what a gateway loads of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from support.agent_database import NODES, WINDOWS, add_entry, add_window, connect, make_database
from support.state_rows import JSON_ONLY, StateRows
from support.stores import GONE, HOUR_MS, JOB, NOW_MS, make_entries, make_entry, run_key
from tailflip.base.errors import StoreChanged, StoreInvalid
from tailflip.flow.observed import Store
from tailflip.observe.installation import locate
from tailflip.plan.policy import Policy
from tailflip.stores.proof.judge import judge_store
from tailflip.stores.sqlite.engine import SQLITE
from tailflip.stores.sqlite.mark import read_mark
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.units import gather, read_units

BASE = f"agent:main:cron:{JOB}"
KEEP_RUNS = Policy(retention_ms=24 * HOUR_MS, single_flight=False, max_lifetime_ms=None)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries())
    return path


def change(path, *work):
    with closing(connect(path)) as db, db:
        for each in work:
            each(db)


def survey(path, policy=KEEP_RUNS, evidence=GONE):
    return SQLITE.survey(path, policy, evidence, NOW_MS).numbers


def tally(numbers, rule="expire"):
    return {each.name: each.entries for each in numbers.rules}.get(rule, 0)


def test_a_closed_window_of_a_job_is_a_finished_run(path):
    before = survey(path)
    old = NOW_MS - 60 * HOUR_MS
    change(path, lambda db: add_window(db, BASE, "closed-1", old, "done"))
    after = survey(path)
    assert after.entries == before.entries + 1
    assert tally(after) == tally(before) + 1
    assert [job.runs for job in after.jobs] == [before.jobs[0].runs + 1]


@pytest.mark.parametrize(
    "spare",
    [
        lambda db: add_window(db, "agent:main:main", "closed-1", NOW_MS - 60 * HOUR_MS, "done"),
        lambda db: add_window(db, BASE, "closed-1", NOW_MS - HOUR_MS, "done"),
        lambda db: (
            add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"),
            add_entry(db, "agent:main:x", make_entry("closed-1")),
        ),
        lambda db: (
            add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"),
            add_entry(db, "agent:main:x", make_entry("x", previousSessionId="closed-1")),
        ),
        lambda db: (
            add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"),
            add_entry(db, "agent:main:x", make_entry("x", family=[{"of": "closed-1"}])),
        ),
        lambda db: (
            add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"),
            db.execute(f"UPDATE {WINDOWS} SET acp_owned = 1 WHERE session_id = 'closed-1'"),
        ),
    ],
    ids=["of a chat", "young", "current elsewhere", "previous of another", "named", "of an editor"],
)
def test_a_window_that_may_be_needed_is_left(path, spare):
    before = tally(survey(path))
    change(path, spare)
    assert tally(survey(path)) == before


@pytest.mark.parametrize(
    "oddity",
    [
        f"UPDATE {NODES} SET entry_valid = 0 WHERE session_key = ?",
        f"UPDATE {NODES} SET pinned_at = 1 WHERE session_key = ?",
        f"UPDATE {NODES} SET status = 'failed' WHERE session_key = ?",
    ],
    ids=["not proven", "pinned", "column and entry differ"],
)
def test_a_node_that_is_odd_is_kept(path, oddity):
    before = tally(survey(path))
    change(path, lambda db: db.execute(oddity, (run_key("run-1"),)))
    assert tally(survey(path)) == before - 1


def test_a_run_waits_for_its_living_descendant_and_for_no_other(path):
    run = make_entry("waiting", 60 * HOUR_MS, status="done", cronRunContinuation={"n": 1})
    change(path, lambda db: add_entry(db, run_key("waiting"), run))
    alone = tally(survey(path))
    child = make_entry("child", HOUR_MS, status="running")

    def spawn(db):
        add_entry(db, "agent:main:subagent:child", child)
        db.execute(
            f"UPDATE {NODES} SET spawned_by = ? WHERE session_key = 'agent:main:subagent:child'",
            (run_key("waiting"),),
        )

    change(path, spawn)
    assert tally(survey(path)) == alone - 1
    change(
        path, lambda db: db.execute(f"UPDATE {NODES} SET status = 'done' WHERE spawned_by <> ''")
    )
    assert tally(survey(path)) == alone


def test_a_run_waits_for_a_descendant_that_the_registry_alone_knows(tmp_path, path):
    """A sub-agent without a node was not seen, and its run went with the answer's address."""
    run, child = run_key("waiting"), "agent:main:subagent:child"
    entry = make_entry("waiting", 60 * HOUR_MS, status="done", cronRunContinuation={"n": 1})
    change(path, lambda db: add_entry(db, run, entry))
    rows = StateRows(tmp_path, JSON_ONLY)
    rows.add_subagent(child, run, NOW_MS - HOUR_MS, NOW_MS - 1, outcome={"status": "ok"})
    evidence = read_evidence(tmp_path, path)
    alone = tally(survey(path, evidence=evidence))
    rows.add_subagent("agent:main:subagent:grandchild", child, NOW_MS - HOUR_MS)
    evidence = read_evidence(tmp_path, path)
    assert tally(survey(path, evidence=evidence)) == alone - 1


def read_evidence(state, path):
    installation = locate({"OPENCLAW_STATE_DIR": str(state)}, state_dir=state)
    return judge_store(installation, Store(path, "main"), GONE.gateway, NOW_MS).evidence


def test_an_override_is_told_from_the_entry(path):
    policy = Policy(retention_ms=None, single_flight=False, max_lifetime_ms=None, cap_per_job=1)
    plain = tally(survey(path, policy), "cap-per-job")
    own = make_entry("mine", 50 * HOUR_MS, status="done", modelOverride="m")
    change(path, lambda db: add_entry(db, run_key("mine"), own))
    assert tally(survey(path, policy), "cap-per-job") == plain


def test_what_a_gateway_loads_is_entries_and_the_events_of_runs(path):
    before = survey(path).row_bytes
    event = "x" * 100_000

    def talk(db):
        for session in ("main-1", "run-1"):
            db.execute(
                "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
                " VALUES (?, 1, ?, 0)",
                (session, event),
            )

    change(path, talk)
    now, after = survey(path).row_bytes
    assert now - before[0] == len(event), "the chat's stay on the disk"
    assert after == before[1], "the run goes"


def test_entries_carry_what_evidence_judges(path):
    change(path, lambda db: add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"))
    told = {entry.key: entry for entry in SQLITE.entries(path)}
    closed = told[f"{BASE}:run:closed-1"]
    assert (closed.session, closed.kind, closed.job, closed.status) == (
        "closed-1", "cron run", JOB, "done",
    )  # fmt: skip


def test_living_windows_are_protected_by_their_session(path):
    change(path, lambda db: add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"))
    alive = replace(GONE, live_sessions=frozenset({"closed-1"}))
    assert tally(survey(path, evidence=alive)) == tally(survey(path)) - 1


def test_a_database_that_changes_while_it_is_read_is_not_believed(path):
    def work(db, schema):
        change(path, lambda own: add_entry(own, "agent:main:new", make_entry("new")))

    with pytest.raises(StoreChanged):
        read(path, work)


def test_a_private_copy_is_of_one_moment_whoever_writes_meanwhile(path):
    """A gateway that wrote all the time left `reconcile` without a look: it ended with 75."""

    def count(db, _schema):
        return db.execute(f"SELECT count(*) FROM {NODES}").fetchone()[0]

    def work(db, schema):
        before = count(db, schema)
        change(path, lambda own: add_entry(own, "agent:main:new", make_entry("new")))
        assert count(db, schema) == before
        return before

    with closing(connect(path)) as gateway:  # while it lives, its log is not emptied
        gateway.execute("PRAGMA journal_mode = WAL")
        with gateway:
            add_entry(gateway, "agent:main:other", make_entry("other"))
        found, mark = read(path, work)
        assert read(path, lambda db, _: db.execute(f"SELECT count(*) FROM {NODES}").fetchone())[
            0
        ] == (found + 1,)
        assert mark != read_mark(path), "a draft of what was read is refused"


@pytest.mark.parametrize("statement", [f"DROP TABLE {NODES}", f"DROP TABLE {WINDOWS}"])
def test_a_database_without_sessions_is_no_store(path, statement):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)
    with pytest.raises(StoreInvalid, match="no sessions"):
        survey(path)


def test_an_unknown_version_is_read_and_not_written(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")
    surveyed = SQLITE.survey(path, Policy(), GONE, NOW_MS)
    assert surveyed.numbers.entries == len(make_entries())
    [refusal] = SQLITE.refuse(path, surveyed)
    assert "only reads" in refusal.message


def test_text_that_is_not_utf_8_is_counted_too(path):
    before = survey(path)
    change(
        path,
        lambda db: db.execute(
            "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
            " VALUES ('run-1', 1, CAST(x'7b2261223a22ff227d' AS TEXT), 0)"
        ),
    )
    after = survey(path)
    assert after.entries == before.entries
    assert after.row_bytes[0] == before.row_bytes[0] + 9


def test_packed_events_count_as_they_lie_in_the_file(path):
    before = survey(path)
    change(
        path,
        lambda db: db.execute(
            "INSERT INTO transcript_events (session_id, seq, event_zstd, created_at)"
            " VALUES ('run-1', 1, zeroblob(1000), 0)"
        ),
    )
    assert survey(path).row_bytes[0] == before.row_bytes[0] + 1000


def test_units_are_read_twice_and_gathered_once(path):
    """Each entry is parsed by `gather` alone: what is read again is what was gathered."""

    def work(db, schema):
        gather(db)
        asked = []
        db.set_trace_callback(asked.append)
        pages = [list(read_units(db)) for _ in range(2)]
        db.set_trace_callback(None)
        assert not any("json" in statement for statement in asked)
        return pages

    (first, second), _ = read(path, work)
    assert first == second
    assert sum(map(len, first)) == len(make_entries())


def test_what_the_gateway_rebuilds_names_no_window(path):
    """A report of a prompt says of which session it is; it is written anew at the next turn."""
    before = tally(survey(path))
    report = {"systemPromptReport": {"sessionId": "closed-1"}}
    change(
        path,
        lambda db: add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done"),
        lambda db: add_entry(db, "agent:main:x", make_entry("x", **report)),
    )
    assert tally(survey(path)) == before + 1
