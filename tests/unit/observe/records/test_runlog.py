"""Lines without a session key are matched by job and time, each to one run at most."""

from __future__ import annotations

import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailflip.observe.records.runlog import RunLine
from tailflip.stores.listing import list_entries
from tailflip.stores.proof.ledgers import gather_lines, list_ends


def entry(session, updated_ms, job="j", kind="cron run"):
    key = f"agent:main:cron:{job}" + (f":run:{session}" if kind == "cron run" else "")
    return key, {"sessionId": session, "updatedAt": updated_ms, "status": "running"}


def line(started_ms, ended_ms, session=None, job="j", status="timeout"):
    key = None if session is None else f"agent:main:cron:{job}:run:{session}"
    return RunLine(job, key, session, status, started_ms, ended_ms)


def look(lines, entries, tasks=()):
    with tempfile.TemporaryFile() as store:
        store.write(json.dumps(dict(entries)).encode())
        store.flush()
        joined = gather_lines(lines, tasks).look_ahead(store.fileno())
        return list(list_entries(store.fileno(), joined))


def match(lines, entries):
    found = {}
    for each in look(lines, entries):
        end, _ = list_ends(each)
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
    assert all(list_ends(each)[0] is not None for each in look([line(100, 200)], entries))


def test_a_base_entry_names_the_run_that_is_current():
    entries = [entry("a", 5), entry("b", 6), entry("b", 6, kind="cron base"), entry("c", 1, "k")]
    assert [each.is_current for each in look([], entries)] == [False, True, None, None]


@pytest.mark.parametrize("is_keyed", [True, False])
def test_no_line_is_forgotten_however_many_there_are(is_keyed):
    """A table of 65,536 forgot the oldest: their runs were told killed, and then removed."""
    count = 100_000
    lines = [line(n * 10, n * 10 + 5, f"s{n}" if is_keyed else None) for n in range(count)]
    entries = [entry(f"s{n}", n * 10 + 1) for n in range(0, count, 97)]
    how = "by its session key" if is_keyed else "by job and time"
    assert match(lines, entries) == {
        f"s{n}": ("timeout", n * 10 + 5, how) for n in range(0, count, 97)
    }


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
