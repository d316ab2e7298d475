"""The story is short, in order, and loses no death; the history forgets none it must keep."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from support.incident_history import (
    FIRST_MS,
    PERIOD_MS,
    make_archived,
    make_death,
    make_incident,
    make_life,
)
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Cause
from tailflip.flow.observed import Sample
from tailflip.ledger.findings import NotedFinding, plan_changes
from tailflip.report.narrative import tell
from tailflip.report.status import measure_growth

INCIDENT = make_incident()
CAUSES = [Cause.V8_HEAP, Cause.HANG]


@given(
    st.lists(st.sampled_from(CAUSES), max_size=60),
    st.lists(st.integers(0, 60 * PERIOD_MS), max_size=3),
)
def test_every_death_is_told_or_counted(causes, actions_ms):
    lives = [
        make_life(f"d{n}", FIRST_MS + n * PERIOD_MS, 42_000, death=make_death(cause))
        for n, cause in enumerate(causes)
    ]
    actions = [make_archived(FIRST_MS + at_ms) for at_ms in actions_ms]
    lines = tell(INCIDENT, lives, (), actions, ())
    assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)
    told = sum(line.text.startswith("the gateway died") for line in lines)
    for line in lines:
        match = re.match(r"the same (?:once more|([\d,]+) times more)", line.text)
        if match:
            told += int((match[1] or "1").replace(",", ""))
    assert told == len(causes)
    assert sum(line.text.startswith("compacted") for line in lines) == len(actions)
    rows = 1 + sum(a is not b for a, b in pairwise(causes)) + len(actions)
    assert len(lines) <= 7 * rows + len(actions)


CODES = ["a", "b", "c"]
FINDINGS = st.lists(
    st.builds(
        Finding,
        st.sampled_from(CODES),
        st.just("error"),
        st.sampled_from("xy"),
        st.text(),
        st.text(),
    )
)


@given(FINDINGS, st.sets(st.sampled_from(CODES)), FINDINGS)
def test_looking_twice_at_the_same_writes_once(first, judged, second):
    """No write when nothing changes: a guard that looks every minute would wear the disk out."""
    standing: dict[tuple[str, str], NotedFinding] = {}
    for found in (first, second):
        changes = plan_changes("g", tuple(standing.values()), found, judged, 1)
        now = {(each.code, each.subject): each for each in found}
        kept = {key: old for key, old in standing.items() if key[0] not in judged or key in now}
        opened = {key: NotedFinding(now[key], 1, 1, None) for key in now.keys() - kept.keys()}
        assert len(changes) == len(opened) + len(standing.keys() - kept.keys())
        standing = kept | opened
        assert plan_changes("g", tuple(standing.values()), found, judged, 2) == []


@given(st.lists(st.integers(0, 10**12), min_size=2))
def test_growth_does_not_depend_on_the_pace_of_looking(sizes):
    """Twice the time for the same growth is half the growth a day."""
    step_ms = 600_000
    samples = [Sample(n * step_ms, None, size) for n, size in enumerate(sizes)]
    slow = [Sample(each.at_ms * 2, None, each.stores_bytes) for each in samples]
    fast_pace, slow_pace = measure_growth(samples), measure_growth(slow)
    assert (fast_pace is None) == (slow_pace is None)
    if fast_pace is not None and slow_pace is not None:
        assert abs(fast_pace - 2 * slow_pace) <= 1e-6 * abs(fast_pace)
