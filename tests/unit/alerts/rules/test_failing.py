"""Which destinations hear nothing, and what they have missed."""

from __future__ import annotations

import pytest

from support.alert_rows import make_notice
from tailflip.alerts.rules.failing import count_lost, list_failing
from tailflip.flow.alerts import MessageKind


def waits(at, tries=1, error="refused", **known):
    return make_notice(at, tries=tries, error=error, next_ms=99, **known)


def lost(at, given_up_ms, **known):
    return make_notice(at, tries=9, error="refused", given_up_ms=given_up_ms, **known)


def heard(at, delivered_ms):
    return make_notice(at, tries=1, delivered_ms=delivered_ms)


@pytest.mark.parametrize(
    ("notices", "failing"),
    [
        ([], ()),
        ([waits(5)], (("phone", 5),)),
        ([waits(5), waits(7)], (("phone", 5),)),
        ([waits(5, tries=0, error="")], ()),
        ([waits(5, error="")], ()),  # a try that is under way
        ([lost(5, 50)], (("phone", 5),)),
        ([lost(5, 50), heard(60, 61)], ()),
        ([heard(1, 2), waits(5)], (("phone", 5),)),
        ([waits(5, destination="mail")], ()),
        ([waits(5, kind=MessageKind.TEST)], ()),
        ([make_notice(5, tries=3, error="refused")], ()),  # replaced
    ],
)
def test_who_hears_nothing(notices, failing):
    assert list_failing(["phone"], notices) == failing


@pytest.mark.parametrize(
    ("notices", "many"),
    [
        ([], 0),
        ([lost(5, 50), lost(6, 60)], 2),
        ([lost(5, 50), heard(7, 55), lost(8, 60)], 1),
        ([heard(1, 2), waits(5)], 0),
        ([lost(5, 50, kind=MessageKind.TEST)], 0),
        ([lost(5, 50, destination="mail")], 0),
    ],
)
def test_what_was_missed(notices, many):
    assert count_lost("phone", notices) == many
