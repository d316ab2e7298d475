"""When a person may be told: gather, escalate, quiet hours, silence, limit; cell by cell."""

from __future__ import annotations

from datetime import datetime

import pytest

from support.alert_rows import make_alert, make_notice
from support.alert_scenes import DAY, HOUR, MINUTE, SECOND
from tailflip.alerts.rules.moments import (
    Around,
    choose_quiet,
    find_first,
    find_room,
    hears_of,
    hold_back,
)
from tailflip.flow.alerts import AlertSettings, Destination, MessageKind, Silence, Urgency

NOW = int(datetime.fromisoformat("2026-02-02T02:40:00Z").timestamp() * 1000)
SEVEN = NOW + 4 * HOUR + 20 * MINUTE
PHONE = Destination("phone")
NIGHT = "22:00-07:00"
CRITICAL, WARNING, NOTICE = Urgency


def around(silence=None, **settings):
    return Around(AlertSettings(**settings), silence, NOW)


@pytest.mark.parametrize(
    ("least", "hears"),
    [
        (CRITICAL, [True, False, False]),
        (WARNING, [True, True, False]),
        (NOTICE, [True, True, False]),  # notices are for the digest
    ],
)
def test_who_hears_of_what(least, hears):
    to = Destination("phone", least)
    assert [hears_of(make_alert(1, urgency=each), to) for each in Urgency] == hears


def test_nobody_is_told_of_his_own_road():
    failing = make_alert(1, code="alerts-failing", subject="phone")
    assert not hears_of(failing, PHONE)
    assert hears_of(failing, Destination("mail"))


@pytest.mark.parametrize(
    ("opened_ago", "after_ms", "is_seen", "gathers", "due"),
    [
        (0, 0, False, True, 30 * SECOND),
        (30 * SECOND, 0, False, True, 0),
        (0, 0, False, False, 0),
        (0, 0, True, True, 30 * SECOND),
        (0, 15 * MINUTE, False, True, 15 * MINUTE),
        (MINUTE, 15 * MINUTE, False, False, 14 * MINUTE),
        (HOUR, 15 * MINUTE, False, True, -45 * MINUTE),
        (HOUR, 15 * MINUTE, True, True, None),
        (-DAY, 0, False, True, 0),  # the clock was set back
        (-DAY, 15 * MINUTE, False, True, 0),
    ],
)
def test_gather_and_escalate(opened_ago, after_ms, is_seen, gathers, due):
    alert = make_alert(1, NOW - opened_ago)
    to = Destination("phone", after_ms=after_ms)
    found = find_first(alert, to, around(), is_seen=is_seen, gathers=gathers)
    assert found == (None if due is None else NOW + due)


@pytest.mark.parametrize(
    ("urgency", "quiet", "own", "moment"),
    [
        (WARNING, NIGHT, None, SEVEN),
        (CRITICAL, NIGHT, None, NOW - 5),
        (WARNING, NIGHT, "", NOW - 5),
        (WARNING, "", "02:00-03:00", NOW + 20 * MINUTE),
        (CRITICAL, "", "02:00-03:00", NOW - 5),
        (WARNING, "03:00-04:00", None, NOW - 5),
        (WARNING, "", None, NOW - 5),
    ],
)
def test_quiet_hours(urgency, quiet, own, moment):
    to = Destination("phone", quiet=own)
    alert = make_alert(1, urgency=urgency)
    assert hold_back(NOW - 5, (alert,), to, around(quiet=quiet)) == moment
    assert choose_quiet(to, AlertSettings(quiet=quiet)) == (quiet if own is None else own)


def test_what_begins_later_is_held_back_if_it_falls_into_quiet_hours():
    alert = make_alert(1)
    assert hold_back(NOW + HOUR, (alert,), PHONE, around(quiet="03:00-04:00")) == (
        NOW + 80 * MINUTE
    )
    assert hold_back(NOW + HOUR, (alert,), PHONE, around(quiet="02:00-03:00")) == NOW + HOUR


@pytest.mark.parametrize(
    ("code", "urgency", "until", "quiet", "moment"),
    [
        ("job-storm", WARNING, HOUR, "", NOW + HOUR),
        ("gateway-down", CRITICAL, HOUR, "", NOW + HOUR),
        ("store-invalid", CRITICAL, HOUR, "", NOW - 5),
        ("salvaged", WARNING, HOUR, "", NOW - 5),
        ("job-storm", WARNING, 0, "", NOW - 5),
        ("job-storm", WARNING, HOUR, NIGHT, SEVEN),  # both hold it back
        ("salvaged", WARNING, HOUR, NIGHT, SEVEN),
    ],
)
def test_silence(code, urgency, until, quiet, moment):
    silence = Silence(NOW - HOUR, NOW + until)
    alert = make_alert(1, code=code, urgency=urgency)
    assert hold_back(NOW - 5, (alert,), PHONE, around(silence, quiet=quiet)) == moment


@pytest.mark.parametrize(
    ("ages", "drafts", "most", "moment"),
    [
        ([], 0, 10, 0),
        ([MINUTE] * 9, 0, 10, 0),
        ([MINUTE] * 10, 0, 10, 59 * MINUTE),
        ([50 * MINUTE] + [MINUTE] * 9, 0, 10, 10 * MINUTE),
        ([HOUR] * 10, 0, 10, 0),
        ([MINUTE] * 9, 1, 10, 59 * MINUTE),
        ([], 1, 1, HOUR),
        ([MINUTE], 0, 1, 59 * MINUTE),
    ],
)
def test_limit(ages, drafts, most, moment):
    made = [make_notice(NOW - each) for each in ages]
    assert find_room(made, drafts, around(most_per_hour=most)) == NOW + moment


def test_a_test_counts_for_no_limit():
    made = [make_notice(NOW - 5, kind=MessageKind.TEST)] * 20
    assert find_room(made, 0, around()) == NOW
