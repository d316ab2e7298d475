"""How long a gateway was up, and what its deaths were, from lives on record."""

from __future__ import annotations

import pytest

from support.incident_history import make_death, make_life
from tailflip.flow.lives import Cause, LifeMode, Moment
from tailflip.flow.maintenance import Maintenance
from tailflip.report.period import measure_period

BEGAN, NOW = 10_000, 110_000


def life(started, ended=None, *, ready=None, cause=Cause.V8_HEAP, **known):
    death = make_death(cause) if ended is not None and cause is not None else None
    ready = started if ready is None else ready
    return make_life(
        str(started), started, ended and ended - started, death=death, ready_ms=ready
    ).model_copy(update=known)


def measure(*lives, maintenances=(), seen=NOW):
    return measure_period(lives, maintenances, BEGAN, NOW, seen_ms=seen)


def maintenance(began, ended, *, quiet_only=False):
    return Maintenance(
        id="1",
        began_ms=began,
        until_ms=ended,
        anchor=Moment(at_ms=began),
        left_ms=0,
        quiet_only=quiet_only,
        ended_ms=ended,
    )


def test_nothing_on_record_is_no_hundred_percent():
    found = measure()
    assert (found.availability, found.known_ms, found.deaths, found.repair_ms) == (
        None,
        0,
        (),
        None,
    )


UPS = [
    ("it lives through all of it", [life(0)], 100_000, 100_000),
    ("it began in the middle: nothing is known before", [life(60_000)], 50_000, 50_000),
    ("it was up to the end of its only life", [life(0, 60_000)], 50_000, 100_000),
    ("it took a while to answer", [life(10_000, ready=30_000)], 80_000, 100_000),
    ("two lives with a gap", [life(0, 40_000), life(60_000)], 80_000, 100_000),
    ("two that overlap count once", [life(0, 60_000), life(50_000)], 100_000, 100_000),
    ("it ended before this time", [life(0, 5_000)], 0, 100_000),
]


@pytest.mark.parametrize(
    ("lives", "up", "known"), [row[1:] for row in UPS], ids=[r[0] for r in UPS]
)
def test_it_was_up_for_so_long(lives, up, known):
    found = measure(*lives)
    assert (found.up_ms, found.known_ms, found.down_ms) == (up, known, known - up)
    assert found.availability == up / known


def test_a_life_that_never_answered_was_not_up_but_behind_a_gate_nobody_asks():
    silent = life(10_000).model_copy(update={"ready_ms": None})
    assert measure(silent).up_ms == 0
    assert measure(silent.model_copy(update={"mode": LifeMode.GATE})).up_ms == 100_000


def test_a_life_whose_end_nobody_saw_counts_until_it_was_last_seen():
    assert measure(life(0), seen=60_000).up_ms == 50_000


def test_deaths_are_counted_by_cause_with_how_sure_they_are():
    found = measure(
        life(0, 20_000),
        life(30_000, 40_000),
        life(50_000, 60_000, cause=Cause.HANG),
        life(70_000, 80_000, cause=Cause.ASKED_STOP),
        life(90_000),
    )
    assert [(each.cause, each.count, each.last_ms) for each in found.deaths] == [
        ("v8-heap-oom", 2, 40_000),
        ("hang", 1, 60_000),
    ]
    assert found.deaths[0].confidences == (("proven", 2),)
    assert (found.death_count, found.starts) == (3, 4)


def test_a_repair_lasts_from_the_death_to_the_next_answer():
    found = measure(life(0, 20_000), life(30_000, 50_000, ready=40_000), life(60_000))
    assert found.repair_ms == (20_000 + 10_000) / 2
    assert measure(life(0, 20_000)).repair_ms is None


def test_a_death_of_before_is_none_of_this_time():
    found = measure(life(0, 5_000), life(6_000))
    assert (found.deaths, found.repair_ms) == ((), None)


def test_downtime_in_a_maintenance_was_planned_and_quiet_hours_were_not():
    lives = (life(0, 40_000), life(80_000))
    assert measure(*lives, maintenances=[maintenance(50_000, 60_000)]).planned_ms == 10_000
    assert measure(*lives, maintenances=[maintenance(30_000, 90_000)]).planned_ms == 40_000
    quiet = maintenance(50_000, 60_000, quiet_only=True)
    assert measure(*lives, maintenances=[quiet]).planned_ms == 0
    twice = [maintenance(50_000, 60_000), maintenance(55_000, 65_000)]
    assert measure(*lives, maintenances=twice).planned_ms == 15_000
