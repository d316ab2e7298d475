"""When an alert that stands is told again, cell by cell."""

from __future__ import annotations

import pytest

from support.alert_rows import make_alert, make_notice
from support.alert_scenes import DAY, HOUR, MINUTE
from tailflip.alerts.rules.moments import Around
from tailflip.alerts.rules.remind import find_reminder
from tailflip.alerts.rules.told import Told
from tailflip.flow.alerts import AlertSettings, Destination, MessageKind, Urgency

NOW = 1_770_000_000_000  # 02:40
PHONE = Destination("phone")
CRITICAL, WARNING, _ = Urgency


def find(urgency, reminded, now_ms=NOW, **changed):
    settings = AlertSettings(**changed.pop("settings", {}))
    tellings = [make_notice(NOW, urgency=urgency, delivered_ms=NOW)]
    tellings += [
        make_notice(NOW + each, kind=MessageKind.REMINDER, urgency=urgency) for each in reminded
    ]
    alert = make_alert(1, NOW - MINUTE, urgency=urgency, **changed)
    return find_reminder(alert, PHONE, Told(tuple(tellings)), Around(settings, None, now_ms))


@pytest.mark.parametrize(
    ("urgency", "reminded", "due"),
    [
        (CRITICAL, [], HOUR),
        (CRITICAL, [HOUR], 4 * HOUR),
        (CRITICAL, [HOUR, 4 * HOUR], DAY),
        (CRITICAL, [DAY], 2 * DAY),
        (CRITICAL, [9 * DAY], 10 * DAY),
        (CRITICAL, [6 * HOUR], DAY),  # a host that was off: one makes up for two
        (WARNING, [], DAY),
        (WARNING, [DAY], 2 * DAY),
        (WARNING, [DAY, 2 * DAY], 3 * DAY),
        (WARNING, [DAY, 2 * DAY, 3 * DAY], None),
    ],
)
def test_remind(urgency, reminded, due):
    assert find(urgency, reminded) == (None if due is None else NOW + due)


def test_what_is_over_or_was_never_told_is_not_told_again():
    assert find(CRITICAL, [], cleared_ms=NOW) is None
    alert = make_alert(1, urgency=CRITICAL)
    assert find_reminder(alert, PHONE, Told(()), Around(AlertSettings(), None, NOW)) is None


def test_a_reminder_of_a_warning_waits_for_the_end_of_quiet_hours():
    now_ms = NOW + DAY
    quiet = {"settings": {"quiet": "22:00-07:00"}}
    assert find(WARNING, [], now_ms, **quiet) == now_ms + 4 * HOUR + 20 * MINUTE
    assert find(CRITICAL, [], now_ms, **quiet) == NOW + HOUR


@pytest.mark.parametrize(
    ("remind_s", "reminded", "due"),
    [((), [], None), ((600,), [], 10 * MINUTE), ((600,), [10 * MINUTE], 20 * MINUTE)],
)
def test_when_is_a_setting(remind_s, reminded, due):
    found = find(CRITICAL, reminded, settings={"remind_s": remind_s})
    assert found == (None if due is None else NOW + due)
