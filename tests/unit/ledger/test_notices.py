"""The outbox: what waits, what was delivered, and what is written together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.alert_rows import make_alert, make_notice
from support.ledger_rows import DAY_MS, commits
from support.stores import BROKEN, NOW_MS, FaultyDisk
from tailflip.base.errors import IoFailed
from tailflip.base.workspace import Workspace
from tailflip.flow.alerts import MessageKind, Urgency
from tailflip.ledger.history import History

FULL = make_notice(
    kind=MessageKind.DIGEST, urgency=Urgency.NOTICE, alerts=(), tries=3, next_ms=7,
    delivered_ms=8, given_up_ms=9, error="refused",
)  # fmt: skip


def test_a_notice_is_read_as_it_was_written(history):
    (made,) = history.notices.write([FULL])
    assert made == replace(FULL, number=1)
    assert history.notices.read(0) == (made,)


def test_who_asks_gets_what_waits_and_what_was_made_since(history):
    history.notices.write(
        [make_notice(1), make_notice(1, next_ms=5), make_notice(9), make_notice(9, next_ms=5)]
    )
    assert [each.number for each in history.notices.read(9)] == [2, 3, 4]
    assert [each.number for each in history.notices.read_last(2)] == [4, 3]
    assert History(history.workspace, "/other").notices.read(0) == ()


def test_new_and_replaced_notices_and_facts_are_one_write(counted):
    counted.notices.write([make_notice(next_ms=5)])
    before = commits(counted)
    counted.notices.write([make_notice()], replaced=[1], facts={"digests": {"phone": 5}})
    assert commits(counted) == before + 1
    assert [each.next_ms for each in counted.notices.read(0)] == [None, None]
    assert counted.facts.get("digests") == {"phone": 5}
    counted.notices.write([])
    assert commits(counted) == before + 1


def test_a_write_that_fails_leaves_nothing_of_it(history, home):
    history.notices.write([make_notice(next_ms=5)])
    broken = History(Workspace(home, FaultyDisk(1, error=BROKEN)), history.guard)
    with pytest.raises(IoFailed):
        broken.notices.write([make_notice()], replaced=[1], facts={"digests": 1})
    assert [each.next_ms for each in history.notices.read(0)] == [5]
    assert history.facts.get("digests") is None


def test_what_waits_for_a_receiver_waits_as_long_as_its_last_try(history):
    first, *_ = history.notices.write(
        [
            make_notice(next_ms=5),
            make_notice(next_ms=6),
            make_notice(next_ms=99),
            make_notice(next_ms=7, destination="mail"),
            make_notice(),
        ]
    )
    history.notices.note(replace(first, tries=1, next_ms=30, error="refused"))
    assert [each.next_ms for each in history.notices.read(0)] == [30, 30, 99, 7, None]
    assert [each.tries for each in history.notices.read(0)] == [1, 0, 0, 0, 0]


def test_a_delivery_leaves_the_others_as_they_are(history):
    first, *_ = history.notices.write([make_notice(next_ms=5), make_notice(next_ms=6)])
    history.notices.note(replace(first, next_ms=None, delivered_ms=5))
    assert [each.next_ms for each in history.notices.read(0)] == [None, 6]


def test_all_that_waits_can_be_tried_now(history):
    history.notices.write([make_notice(next_ms=5), make_notice(next_ms=6), make_notice()])
    assert history.notices.hasten(3) == 2
    assert [each.next_ms for each in history.notices.read(0)] == [3, 3, None]


def test_old_rows_go_but_not_what_an_open_alert_has_told(history):
    """It would be told again."""
    old = NOW_MS - 100 * DAY_MS
    history.alerts.put(
        [
            make_alert(0, old, closed_ms=old),
            make_alert(0, old + 5 * DAY_MS, code="job-stuck"),
            make_alert(0, closed_ms=NOW_MS, code="job-rapid"),
        ]
    )
    history.notices.write(
        [
            make_notice(old),
            make_notice(old, next_ms=NOW_MS),
            make_notice(old + 5 * DAY_MS, alerts=(2,)),
            make_notice(NOW_MS),
        ]
    )
    assert history.expire(NOW_MS, 90)
    assert [each.number for each in history.alerts.read(0)] == [2, 3]
    assert [each.number for each in history.notices.read(0)] == [2, 3, 4]
    history.alerts.put([replace(history.alerts.find("2"), closed_ms=NOW_MS)])
