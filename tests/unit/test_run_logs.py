"""Lines without a session key are matched by job and time, each to one run at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailflip.flow import ListedEntry
from tailflip.observe.runlog import RunLine
from tailflip.reconcile import ledgers
from tailflip.reconcile.ledgers import index_lines


def entry(session, updated_ms, job="j", kind="cron run"):
    key = f"agent:main:cron:{job}" + (f":run:{session}" if kind == "cron run" else "")
    return ListedEntry(
        key=key,
        kind=kind,
        agent="main",
        job=job,
        session=session,
        file="",
        updated_ms=updated_ms,
        started_ms=None,
        ended_ms=None,
        status="running",
        bytes=10,
    )


def line(started_ms, ended_ms, session=None, job="j", status="timeout"):
    key = None if session is None else f"agent:main:cron:{job}:run:{session}"
    return RunLine(job, key, session, status, started_ms, ended_ms)


def match(lines, entries):
    logs = index_lines(lines)
    for each in entries:
        logs.match_by_time(each)
    found = {}
    for each in entries:
        end = logs.find_end(each)
        if end is not None:
            found[each.session] = (end.status, end.ended_ms, end.how)
    return found


@pytest.mark.parametrize(
    ("updated_ms", "matches"), [(99, False), (100, True), (150, True), (200, True), (201, False)]
)
def test_a_run_began_within_the_span_of_its_line(updated_ms, matches):
    found = match([line(100, 200)], [entry("a", updated_ms)])
    assert found == ({"a": ("timeout", 200, "by job and time")} if matches else {})


def test_of_two_runs_within_a_span_the_nearer_to_its_start_is_it():
    found = match([line(100, 200)], [entry("b", 150), entry("a", 102), entry("c", 160)])
    assert list(found) == ["a"]


def test_a_line_with_a_key_is_that_runs_and_leaves_the_window_to_another():
    lines = [line(100, 200), line(101, 180, "a", status="done")]
    found = match(lines, [entry("a", 101), entry("b", 120)])
    assert found == {
        "a": ("done", 180, "by its session key"),
        "b": ("timeout", 200, "by job and time"),
    }


def test_another_jobs_line_proves_nothing():
    assert match([line(100, 200, job="k")], [entry("a", 150)]) == {}


def test_a_base_entry_shares_the_end_of_its_newest_run():
    entries = [entry("a", 150), entry("a", 150, kind="cron base")]
    logs = index_lines([line(100, 200)])
    for each in entries:
        logs.match_by_time(each)
    assert all(logs.find_end(each) is not None for each in entries)


def test_only_the_newest_lines_are_held(monkeypatch):
    monkeypatch.setattr(ledgers, "MAX_LINES", 10)
    logs = index_lines(
        [line(n, n + 1, f"s{n}") for n in range(95)] + [line(n, n) for n in range(95)]
    )
    assert len(logs.keyed) <= 20
    assert ("agent:main:cron:j:run:s94", "s94") in logs.keyed
    assert sum(map(len, logs.windows.values())) <= 20


@given(
    spans=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), max_size=8, unique=True),
    starts=st.lists(st.integers(0, 1100), max_size=12, unique=True),
)
def test_no_line_ends_two_runs_and_none_outside_it(spans, starts):
    lines = [line(start, start + length) for start, length in spans]
    entries = [entry(f"s{at}", at) for at in starts]
    found = match(lines, entries)
    assert len(found) <= len(lines)
    for session, (_, ended_ms, _) in found.items():
        began = int(session[1:])
        assert any(x.started_ms <= began <= x.ended_ms == ended_ms for x in lines)
