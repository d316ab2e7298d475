"""Which alerts open, stand, clear and close, cell by cell."""

from __future__ import annotations

import pytest

from support.alert_rows import make_alert
from support.alert_scenes import HOUR, MINUTE, SECOND
from tailflip.alerts.conditions import Condition, Seen
from tailflip.alerts.rules.standing import change_alerts, find_settled
from tailflip.flow.alerts import AlertSettings, Silence, Urgency, Words

NOW = 1_770_000_000_000
SETTINGS = AlertSettings()
NEWER = Words("job storm", "it is worse", step="tailflip check")


def condition(code="job-storm", subject="a job", urgency=Urgency.WARNING, **known):
    return Condition(code, subject, urgency, NOW - 9, NEWER, **known)


def change(alerts, *conditions, silence=None, up_ms=None):
    return change_alerts(alerts, Seen(conditions, up_ms), SETTINGS, silence, NOW)


def test_a_condition_without_an_alert_opens_one():
    (made,) = change([], condition())
    assert (made.number, made.code, made.subject) == (0, "job-storm", "a job")
    assert (made.first_ms, made.opened_ms, made.since_ms) == (NOW, NOW, NOW - 9)
    assert (made.times, made.maintained, made.is_open) == (1, False, True)


def test_a_condition_that_opens_nothing_opens_nothing():
    assert change([], condition(opens=False)) == ()


@pytest.mark.parametrize(
    ("since", "until", "maintained"),
    [(-1, 1, True), (0, 1, True), (-2, 0, False), (1, 2, False)],
)
def test_what_opens_during_maintenance_is_marked(since, until, maintained):
    (made,) = change([], condition(), silence=Silence(NOW + since, NOW + until))
    assert made.maintained is maintained


def test_what_stands_as_it_was_is_not_written():
    alert = make_alert(1, words=NEWER)
    assert change([alert], condition()) == ()


def test_what_stands_takes_the_newest_words():
    (changed,) = change([make_alert(1)], condition())
    assert (changed.number, changed.words) == (1, NEWER)


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (Urgency.WARNING, Urgency.CRITICAL, Urgency.CRITICAL),
        (Urgency.CRITICAL, Urgency.WARNING, Urgency.CRITICAL),
    ],
)
def test_an_alert_keeps_its_highest_urgency(before, now, after):
    (changed,) = change([make_alert(1, urgency=before)], condition(urgency=now))
    assert changed.urgency is after


def test_what_is_neither_good_nor_bad_news_keeps_an_alert_as_it_is():
    alert = make_alert(1, cleared_ms=NOW - 1)
    (changed,) = change([alert], condition(opens=False))
    assert changed == make_alert(1)


def test_what_comes_back_before_it_was_over_is_not_told():
    (changed,) = change([make_alert(1, cleared_ms=NOW - MINUTE, words=NEWER)], condition())
    assert (changed.number, changed.cleared_ms, changed.times) == (1, None, 1)


def test_what_is_gone_is_cleared_and_not_closed():
    (changed,) = change([make_alert(1)])
    assert (changed.cleared_ms, changed.closed_ms) == (NOW, None)


@pytest.mark.parametrize(
    ("code", "over_for", "is_closed"),
    [
        ("crash-loop", 180 * SECOND, True),
        ("crash-loop", 180 * SECOND - 1, False),
        ("gateway-down", 180 * SECOND, True),
        ("start-refused", 180 * SECOND - 1, False),
        ("job-storm", 10 * MINUTE, True),
        ("job-storm", 10 * MINUTE - 1, False),
        ("salvaged", 0, True),
    ],
)
def test_settle(code, over_for, is_closed):
    alert = make_alert(1, code=code, cleared_ms=NOW - over_for)
    changed = change([alert])
    assert [each.closed_ms for each in changed] == ([NOW] if is_closed else [])
    assert (find_settled(alert, SETTINGS) <= NOW) is is_closed


def test_settle_is_a_setting_and_asks_what_is_cleared_alone():
    alert = make_alert(1, cleared_ms=NOW)
    assert find_settled(alert, AlertSettings(settle_s=60)) == NOW + MINUTE
    assert find_settled(make_alert(1), SETTINGS) is None


def test_an_outage_was_over_when_the_gateway_answered():
    alert = make_alert(1, code="gateway-down", subject="", since_ms=NOW - HOUR)
    (changed,) = change([alert], up_ms=NOW - 5 * MINUTE)
    assert (changed.cleared_ms, changed.closed_ms) == (NOW - 5 * MINUTE, NOW)
    (other,) = change([make_alert(1)], up_ms=NOW - 5 * MINUTE)
    assert other.cleared_ms == NOW


@pytest.mark.parametrize(("closed_ago", "is_same"), [(HOUR - 1, True), (HOUR, False)])
def test_flap(closed_ago, is_same):
    old = make_alert(
        4, NOW - 9 * HOUR, cleared_ms=NOW - closed_ago, closed_ms=NOW - closed_ago, acked_ms=5,
        by="ana", note="x", times=3,
    )  # fmt: skip
    (changed,) = change([old], condition())
    if not is_same:
        assert (changed.number, changed.times) == (0, 1)
        return
    assert (changed.number, changed.times, changed.first_ms) == (4, 4, NOW - 9 * HOUR)
    assert (changed.opened_ms, changed.cleared_ms, changed.closed_ms) == (NOW, None, None)
    assert (changed.acked_ms, changed.by, changed.note) == (None, "", "")


def test_what_is_told_once_ends_when_it_is_seen_and_never_comes_again():
    once = condition("salvaged", "A1", is_once=True)
    (made,) = change([], once)
    assert made.is_open
    seen = make_alert(3, code="salvaged", subject="A1", acked_ms=NOW - 5)
    (closed,) = change([seen], once)
    assert (closed.cleared_ms, closed.closed_ms) == (NOW - 5, NOW)
    assert change([closed], once) == ()
