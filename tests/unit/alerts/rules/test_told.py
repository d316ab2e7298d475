"""Once, again, inhibited, seen: what one destination knows of an alert."""

from __future__ import annotations

import pytest

from support.alert_rows import make_alert, make_notice
from tailflip.alerts.rules.told import Told, is_inhibited, is_replaced, is_seen
from tailflip.flow.alerts import MessageKind, Urgency

NOW = 1_770_000_000_000
OPENED, REMINDER, ESCALATED, RECOVERED, WAS, DIGEST, TEST = MessageKind


def told(*notices):
    return Told(notices)


def notice(kind=OPENED, ago=5, urgency=Urgency.CRITICAL, alerts=(1,), number=1):
    known = {"kind": kind, "urgency": urgency, "alerts": alerts}
    return make_notice(NOW - ago, number, delivered_ms=NOW, **known)


@pytest.mark.parametrize(
    ("next_ms", "delivered_ms", "given_up_ms", "replaced"),
    [(1, None, None, False), (None, 1, None, False), (None, None, 1, False),
     (None, None, None, True)],
)  # fmt: skip
def test_a_notice_that_waits_for_nothing_and_was_not_sent_was_replaced(
    next_ms, delivered_ms, given_up_ms, replaced
):
    row = make_notice(next_ms=next_ms, delivered_ms=delivered_ms, given_up_ms=given_up_ms)
    assert is_replaced(row) is replaced


@pytest.mark.parametrize(
    ("notices", "times", "is_news"),
    [
        ([], 1, True),
        ([notice()], 1, False),
        ([notice(REMINDER)], 1, False),
        ([notice(ESCALATED)], 1, False),
        ([notice(DIGEST)], 1, True),
        ([notice(alerts=(2,))], 1, True),
        ([notice(alerts=(2, 1))], 1, False),  # an outage carried it
        ([notice(urgency=Urgency.WARNING)], 1, True),  # it has become critical since
        ([notice(ago=50)], 2, True),  # the 2nd time
        ([notice(ago=50)], 3, False),
        ([], 3, True),  # it was never told
        ([notice(ago=50)], 4, True),
        *[([notice(ago=50)], times, False) for times in (5, 6, 7)],
        ([notice(ago=50)], 8, True),
        ([notice(ago=50)], 16, True),
        ([notice(ago=50), notice()], 16, False),
    ],
)
def test_once_and_again(notices, times, is_news):
    alert = make_alert(1, NOW - 9, urgency=Urgency.CRITICAL, times=times)
    assert told(*notices).is_news(alert) is is_news


@pytest.mark.parametrize(
    ("notices", "knows"),
    [
        ([notice()], False),
        ([notice(RECOVERED)], True),
        ([notice(WAS)], True),
        ([notice(), notice(RECOVERED, number=2)], True),
        ([notice(RECOVERED), notice(number=2)], False),  # it came back before it was closed
        ([notice(RECOVERED, ago=50)], False),  # that was the time before
        ([notice(RECOVERED, alerts=(2,))], False),
    ],
)
def test_whether_an_end_was_told(notices, knows):
    alert = make_alert(1, NOW - 9, urgency=Urgency.CRITICAL)
    assert told(*notices).knows_end(alert) is knows
    assert told(*notices).is_news(alert) is not bool(told(*notices).list_present(alert))


DOWN = make_alert(1, NOW - 9, code="gateway-down", urgency=Urgency.CRITICAL)
OVER = make_alert(1, NOW - 9, code="gateway-down", urgency=Urgency.CRITICAL, closed_ms=NOW)
KNOWN = told(notice())


@pytest.mark.parametrize(
    ("outage", "known", "code", "urgency", "inhibited"),
    [
        (DOWN, KNOWN, "job-storm", Urgency.WARNING, True),
        (DOWN, KNOWN, "heap-close", Urgency.WARNING, True),
        (DOWN, KNOWN, "crash-loop", Urgency.CRITICAL, True),
        (DOWN, KNOWN, "store-invalid", Urgency.CRITICAL, False),
        (DOWN, KNOWN, "disk-full", Urgency.CRITICAL, False),
        (DOWN, KNOWN, "salvaged", Urgency.WARNING, False),
        (DOWN, told(), "job-storm", Urgency.WARNING, False),  # nobody knows of the outage yet
        (OVER, KNOWN, "job-storm", Urgency.WARNING, False),
        (None, told(), "job-storm", Urgency.WARNING, False),
    ],
)
def test_an_outage_explains_what_else_is_wrong(outage, known, code, urgency, inhibited):
    alert = make_alert(2, NOW - 9, code=code, urgency=urgency)
    others = [each for each in (outage, alert) if each is not None]
    assert is_inhibited(alert, others, known) is inhibited


def test_two_parts_of_an_outage_that_were_told_inhibit_neither():
    """Each kept the other's reminders back, and nobody was reminded of the outage."""
    loop = make_alert(2, NOW - 9, code="crash-loop", urgency=Urgency.CRITICAL)
    both = told(notice(alerts=(2, 1)))
    assert not is_inhibited(DOWN, [DOWN, loop], both)
    assert not is_inhibited(loop, [DOWN, loop], both)


@pytest.mark.parametrize(
    ("code", "own", "other", "seen"),
    [
        ("job-storm", None, None, False),
        ("job-storm", 5, None, True),
        ("job-storm", None, 5, False),
        ("crash-loop", None, None, False),
        ("crash-loop", 5, None, True),
        ("crash-loop", None, 5, True),  # who has seen a part of an outage has seen it
    ],
)
def test_who_took_note(code, own, other, seen):
    alert = make_alert(2, code=code, acked_ms=own)
    outage = make_alert(1, code="gateway-down", acked_ms=other)
    assert is_seen(alert, [outage, alert]) is seen
