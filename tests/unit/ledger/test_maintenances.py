"""Maintenances end: at their time, whatever the clocks do, and never later than in a day."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.ledger_rows import DAY_MS, DISK, commits, count_rows
from support.stores import HOUR_MS, NOW_MS
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Moment
from tailflip.flow.maintenance import MOST_MS, MaintenanceEnd
from tailflip.ledger.history import History

MINUTE_MS = 60_000


def at(later_ms: int = 0, *, boot: str = "a", wall_ms: int | None = None) -> Moment:
    """A moment so much later by the kernel's clock; `wall_ms` is what the wall clock says then."""
    return Moment(
        at_ms=NOW_MS + (later_ms if wall_ms is None else wall_ms), mono_ms=later_ms, boot=boot
    )


def test_a_maintenance_is_on_record_with_its_end(history):
    begun = history.maintenances.begin(HOUR_MS, at(), reason="update", by="ana", command="openclaw")
    assert begun.until_ms == NOW_MS + HOUR_MS
    assert history.maintenances.read_active(at()) == begun
    assert (begun.reason, begun.by, begun.command, begun.is_hands_off) == (
        "update",
        "ana",
        "openclaw",
        True,
    )


def test_no_maintenance_is_none_and_makes_no_ledger(history, home):
    table = history.maintenances
    assert table.read_active(at()) is None
    assert table.end(at()) is None
    assert table.settle(at()) is None
    assert table.note_rest(at()) is None
    assert table.read() == ()
    assert not home.ledger.exists()


LASTS, OVER = True, False
CLOCKS = [
    ("a minute before its end", at(HOUR_MS - MINUTE_MS), LASTS),
    ("at its end", at(HOUR_MS), OVER),
    ("the wall clock was set a week forward", at(MINUTE_MS, wall_ms=7 * DAY_MS), LASTS),
    ("the wall clock was set a week back", at(MINUTE_MS, wall_ms=-7 * DAY_MS), LASTS),
    ("over, and the wall clock was set back", at(HOUR_MS, wall_ms=-7 * DAY_MS), OVER),
    ("another boot, a minute later", at(MINUTE_MS, boot="b"), LASTS),
    ("another boot, after its end", at(HOUR_MS, boot="b"), OVER),
    ("another boot, whose clock lost its time", at(5, boot="b", wall_ms=-NOW_MS), OVER),
    ("the kernel's clock runs backwards", at(-1), OVER),
]


@pytest.mark.parametrize(("now", "lasts"), [row[1:] for row in CLOCKS], ids=[c[0] for c in CLOCKS])
def test_no_clock_makes_it_longer(history, now, lasts):
    """A guard that keeps its hands off for ever is worse than none: nobody watches then."""
    history.maintenances.begin(HOUR_MS, at())
    active = history.maintenances.read_active(now)
    assert (active is not None) == lasts
    assert (history.maintenances.settle(now) is None) == lasts
    if active is not None:
        assert 0 < active.until_ms - now.at_ms <= HOUR_MS


def test_a_day_is_the_most(history):
    assert MOST_MS == DAY_MS
    begun = history.maintenances.begin(5 * DAY_MS, at())
    assert begun.until_ms == NOW_MS + DAY_MS
    assert history.maintenances.read_active(at(DAY_MS)) is None


def test_boots_that_lose_their_time_do_not_add_up_to_more_than_was_asked(history):
    """A board without a clock of its own wakes where it last was: each boot gave an hour again."""
    table, step_ms, passed_ms = history.maintenances, 10 * MINUTE_MS, 0
    table.begin(HOUR_MS, at())
    for boot in range(20):
        if table.read_active(at(5, boot=str(boot), wall_ms=passed_ms)) is None:
            break
        table.note_rest(at(5, boot=str(boot), wall_ms=passed_ms))
        passed_ms += step_ms
        table.note_rest(at(5 + step_ms, boot=str(boot), wall_ms=passed_ms))
    assert boot == HOUR_MS // step_ms


def test_a_rest_that_was_noted_does_not_grow(history):
    table = history.maintenances
    table.begin(HOUR_MS, at())
    noted = table.note_rest(at(HOUR_MS - MINUTE_MS))
    assert (noted.left_ms, noted.until_ms) == (MINUTE_MS, NOW_MS + HOUR_MS)
    back = at(1, boot="b", wall_ms=0)
    assert table.read_active(back) is None


def test_its_length_again_counts_from_now_on(history, home):
    table = history.maintenances
    begun = table.begin(HOUR_MS, at(), reason="update", by="ana")
    longer = table.begin(2 * HOUR_MS, at(MINUTE_MS), quiet_only=True)
    assert (longer.id, longer.began_ms) == (begun.id, begun.began_ms)
    assert longer.until_ms == NOW_MS + MINUTE_MS + 2 * HOUR_MS
    assert (longer.reason, longer.by, longer.quiet_only) == ("update", "ana", True)
    assert table.read_active(at(HOUR_MS + MINUTE_MS)) == longer
    assert count_rows(home, "maintenances") == 1


def test_one_that_is_over_is_closed_before_the_next_begins(history):
    table = history.maintenances
    first = table.begin(HOUR_MS, at())
    second = table.begin(HOUR_MS, at(3 * HOUR_MS))
    assert second.id != first.id
    newest, oldest = table.read()
    assert (newest.ended_ms, oldest.ended_ms, oldest.end) == (
        None,
        NOW_MS + HOUR_MS,
        MaintenanceEnd.TIME,
    )


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_person_or_a_command_ends_it_once(history, is_wrapped):
    table = history.maintenances
    begun = table.begin(HOUR_MS, at(), command="openclaw" if is_wrapped else None)
    wrapped = begun if is_wrapped else None
    ended = table.end(at(MINUTE_MS), wrapped=wrapped)
    how = MaintenanceEnd.COMMAND if is_wrapped else MaintenanceEnd.OFF
    assert (ended.ended_ms, ended.end) == (NOW_MS + MINUTE_MS, how)
    assert table.end(at(MINUTE_MS), wrapped=wrapped) is None
    assert table.read_active(at(MINUTE_MS)) is None
    assert table.read() == (ended,)


def test_a_command_ends_its_own_and_no_other(history):
    table = history.maintenances
    mine = table.begin(MINUTE_MS, at(), command="openclaw")
    other = table.begin(HOUR_MS, at(MINUTE_MS), command="npm")
    assert table.end(at(2 * MINUTE_MS), wrapped=mine) is None
    assert table.read_active(at(2 * MINUTE_MS)).id == other.id


def test_one_that_a_person_made_longer_outlives_its_command(history):
    table = history.maintenances
    wrapped = table.begin(MINUTE_MS, at(), command="openclaw")
    assert table.begin(HOUR_MS, at()).command is None
    assert table.end(at(1), wrapped=wrapped) is None
    assert table.read_active(at(1)) is not None


def test_one_whose_time_is_over_was_ended_by_its_time_whoever_looks(history):
    table = history.maintenances
    table.begin(HOUR_MS, at())
    assert table.end(at(5 * HOUR_MS)) is None
    (ended,) = table.read()
    assert (ended.ended_ms, ended.end) == (NOW_MS + HOUR_MS, MaintenanceEnd.TIME)
    assert table.settle(at(6 * HOUR_MS)) is None


def test_the_end_is_told_once(counted):
    table = counted.maintenances
    table.begin(HOUR_MS, at())
    before = commits(counted)
    assert table.settle(at(MINUTE_MS)) is None
    assert commits(counted) == before
    assert table.settle(at(HOUR_MS)).end is MaintenanceEnd.TIME
    assert table.settle(at(HOUR_MS)) is None
    assert commits(counted) == before + 1


def test_gateways_have_their_own(history, home):
    other = History(Workspace(home, DISK), "/srv/other")
    history.maintenances.begin(HOUR_MS, at())
    assert other.maintenances.read_active(at()) is None
    other.maintenances.begin(MINUTE_MS, at())
    assert history.maintenances.end(at()) is not None
    assert other.maintenances.read_active(at()) is not None


def test_old_ones_expire_and_one_that_lasts_stays(history, home):
    table = history.maintenances
    table.begin(HOUR_MS, at())
    table.end(at(MINUTE_MS))
    table.begin(HOUR_MS, at(2 * MINUTE_MS))
    history.expire(NOW_MS + 100 * DAY_MS, 30)
    with closing(sqlite3.connect(home.ledger)) as db:
        assert db.execute("SELECT ended_ms FROM maintenances").fetchall() == [(None,)]
