"""When an undelivered message is tried again, cell by cell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.alert_scenes import HOUR, MINUTE, SECOND
from tailflip.alerts.rules.retry import GIVE_UP_MS, begin_try, end_try, is_due
from tailflip.flow.alerts import Delivery, MessageKind, Notice, Urgency

NOTICE = Notice(
    7, "phone", MessageKind.OPENED, Urgency.CRITICAL, (1,), "s", "b", made_ms=0, next_ms=0
)
REFUSED = Delivery(False, "refused")


def test_the_tries_of_a_day():
    notice, tries = NOTICE, []
    while notice.next_ms is not None:
        now_ms = notice.next_ms
        tries.append(now_ms)
        notice = end_try(begin_try(notice, now_ms), REFUSED, now_ms)
    soon = [0, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE]
    assert tries[:5] == soon
    assert tries[5:8] == [30 * MINUTE + each * HOUR for each in (1, 2, 3)]
    assert tries[-1] == 24 * HOUR + 30 * MINUTE
    assert notice.given_up_ms == tries[-1]
    assert notice.error == "refused"
    assert notice.tries == len(tries)


@pytest.mark.parametrize(
    ("delivery", "now_ms", "delivered", "given_up", "waits"),
    [
        (Delivery(True), 5, 5, None, False),
        (REFUSED, 5, None, None, True),
        (REFUSED, GIVE_UP_MS - 1, None, None, True),
        (REFUSED, GIVE_UP_MS, None, GIVE_UP_MS, False),
        (Delivery(False, "no such topic", is_final=True), 5, None, 5, False),
    ],
)
def test_what_follows_from_a_try(delivery, now_ms, delivered, given_up, waits):
    ended = end_try(begin_try(NOTICE, now_ms), delivery, now_ms)
    assert (ended.delivered_ms, ended.given_up_ms) == (delivered, given_up)
    assert (ended.next_ms is not None) is waits
    assert ended.error == delivery.error


@pytest.mark.parametrize(
    ("next_ms", "due"),
    [
        (None, False),
        (HOUR, True),
        (HOUR + 1, False),
        (3 * HOUR, False),
        (3 * HOUR + 1, True),  # the clock was set back: no try is put off for so long
    ],
)
def test_what_is_due(next_ms, due):
    assert is_due(replace(NOTICE, next_ms=next_ms), HOUR) is due


def test_after_a_host_was_off_there_is_one_try_and_a_rest_before_the_next():
    late = begin_try(NOTICE, 5 * HOUR)
    assert late.next_ms == 5 * HOUR + 30 * SECOND
