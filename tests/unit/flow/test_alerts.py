"""The values of alerts: their order, and defaults that the page and the settings have too."""

from __future__ import annotations

import pytest

from support.alert_rows import make_alert
from tailflip.config.schema import Config
from tailflip.flow.alerts import AlertSettings, Destination, Urgency


def test_urgencies_have_an_order():
    worst = min((Urgency.NOTICE, Urgency.CRITICAL), key=lambda each: each.rank)
    assert worst is Urgency.CRITICAL
    assert [each.rank for each in Urgency] == [0, 1, 2]


@pytest.mark.parametrize(("closed_ms", "is_open"), [(None, True), (0, False), (5, False)])
def test_an_alert_is_open_until_it_is_closed(closed_ms, is_open):
    assert make_alert(1, closed_ms=closed_ms).is_open is is_open


def test_the_defaults_are_those_of_the_settings():
    config = Config()
    assert config.alerts.choose(config.health.start_patience_s) == AlertSettings()
    assert Destination("phone").least is Urgency.WARNING
