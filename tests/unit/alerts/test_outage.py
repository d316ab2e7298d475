"""Whether the gateway is down, from its lives: a table."""

from __future__ import annotations

import pytest

from support.alert_scenes import SECOND
from support.incident_history import make_death, make_life
from tailflip.alerts.outage import Outage, find_outage
from tailflip.flow.alerts import AlertSettings
from tailflip.flow.lives import Cause
from tailflip.ledger.starts import JudgedStart

NOW = 1_770_000_000_000
SETTINGS = AlertSettings()


def life(began_s, ended_s=None, *, ready_s=2, cause=Cause.V8_HEAP, **known):
    """One life; times are seconds before now."""
    started_ms = NOW - began_s * SECOND
    if ready_s is not None:
        known["ready_ms"] = started_ms + ready_s * SECOND
    if ended_s is None:
        return make_life(f"l{began_s}", started_ms, **known)
    if cause is not None:
        known["death"] = make_death(cause)
    return make_life(f"l{began_s}", started_ms, (began_s - ended_s) * SECOND, **known)


def ago(seconds):
    return NOW - seconds * SECOND


def refusal(seconds, **known):
    return JudgedStart(at_ms=ago(seconds), mode="gate", go=False, reason="too big", **known)


CASES = {
    "nothing is on record": ([], None, Outage()),
    "it lives and answered": ([life(100)], None, Outage(up_ms=ago(98))),
    "behind a gate nobody asks": (
        [life(100, ready_s=None, mode="gate")], None, Outage(up_ms=ago(100)),
    ),
    "its first start goes on": ([life(500, ready_s=None)], None, Outage(is_kept=True)),
    "somebody stopped it": (
        [life(5000, 4000, cause=Cause.ASKED_STOP)], None, Outage(is_kept=True),
    ),
    "nobody saw its end": (
        [life(5000, 4000, cause=None, end_known=False)], None, Outage(is_kept=True),
    ),
    "it died a moment ago": (
        [life(5000, 60)], None, Outage(ago(60), None, (..., ), False, ago(60 - 120), True),
    ),
    "it died two minutes ago": (
        [life(5000, 120)], None, Outage(ago(120), None, (..., ), True, None, True),
    ),
    "it could not be started": (
        [life(121, 121, ready_s=None, cause=None), life(5000, 130)],
        None,
        Outage(ago(130), None, (..., ...), True, None, True),
    ),
    "the start after its death goes on": (
        [life(300, ready_s=None), life(5000, 310)],
        None,
        Outage(ago(310), None, (..., ), False, ago(300 - 900), True),
    ),
    "that start has taken too long": (
        [life(900, ready_s=None), life(5000, 910)],
        None,
        Outage(ago(910), None, (..., ), True, None, True),
    ),
    "a second start after two deaths": (
        [life(10, ready_s=None), life(60, 20), life(5000, 130)],
        None,
        Outage(ago(130), None, (..., ...), True, None, True),
    ),
    "short answers in between end no outage": (
        [life(60, 40), life(120, 70), life(5000, 130)],
        None,
        Outage(ago(130), None, (..., ..., ...), True, None, True),
    ),
    "a good life in between does": (
        [life(300, 40), life(9000, 4000)],
        None,
        Outage(ago(40), None, (..., ), False, ago(40 - 120), True),
    ),
    "so does a stop": (
        [life(60, 40), life(5000, 130, cause=Cause.ASKED_STOP)],
        None,
        Outage(ago(40), None, (..., ), False, ago(40 - 120), True),
    ),
    "a restart of its own is no death": (
        [life(100, 60, cause=Cause.PLANNED_RESTART)], None, Outage(is_kept=True),
    ),
    "a gate refused its start": (
        [life(9000, 4000)],
        refusal(3000),
        Outage(ago(4000), None, (..., ), True, None, True),
    ),
    "a gate refused its first start": (
        [], refusal(60), Outage(ago(60), None, (), False, ago(60 - 120), True),
    ),
    "it was started since it was refused": ([life(100)], refusal(3000), Outage(up_ms=ago(98))),
    "another gateway lives": ([], refusal(3000, other_pid=7), Outage(is_kept=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_how_the_gateway_stands(name):
    lives, start, expected = CASES[name]
    found = find_outage(lives, start, SETTINGS, NOW)
    assert len(found.deaths) == len(expected.deaths)
    shown = (found.since_ms, found.up_ms, found.is_told, found.due_ms, found.is_kept)
    assert shown == (
        expected.since_ms, expected.up_ms, expected.is_told, expected.due_ms, expected.is_kept,
    )  # fmt: skip


def test_how_long_is_too_long_is_a_setting():
    settings = AlertSettings(down_after_s=600, patience_s=60)
    assert not find_outage([life(5000, 599)], None, settings, NOW).is_told
    assert find_outage([life(5000, 600)], None, settings, NOW).is_told
    slow = [life(65, ready_s=None), life(5000, 700)]
    assert find_outage(slow, None, settings, NOW).is_told
    assert find_outage(slow, None, settings, NOW - 6 * SECOND).due_ms == NOW - 5 * SECOND
