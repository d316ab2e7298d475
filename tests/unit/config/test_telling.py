"""The settings of alerts: what they come to for whoever decides, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tailflip.config.telling import AlertsSettings, DestinationSettings, HeartbeatSettings
from tailflip.flow.alerts import AlertSettings, Destination, Urgency

PHONE = DestinationSettings(url="ntfy://a/b")


def test_what_is_set_comes_to_those_who_decide_without_an_address():
    page = Path("/bin/page")
    oncall = DestinationSettings(exec=page, least="critical", after="15m", quiet=False)
    settings = AlertsSettings(
        down_after_s=60.0,
        gather_s=0.0,
        settle_s=5.0,
        remind=["30m", "2h"],
        most_per_hour=3,
        quiet="22:00 - 07:00",
        digest="",
        names=True,
        host="attic",
        to={"phone": PHONE, "oncall": oncall},
    )
    assert settings.choose(60) == AlertSettings(
        down_after_s=60,
        patience_s=60,
        gather_s=0,
        settle_s=5,
        remind_s=(1800, 7200),
        most_per_hour=3,
        quiet="22:00-07:00",
        digest="",
        names=True,
        host="attic",
        destinations=(
            Destination("phone", Urgency.WARNING, 0, None),
            Destination("oncall", Urgency.CRITICAL, 900_000, ""),
        ),
    )


@pytest.mark.parametrize(
    ("enabled", "to", "is_on"),
    [
        (None, {}, False),
        (True, {}, False),
        (None, {"a": PHONE}, True),
        (False, {"a": PHONE}, False),
    ],
)
def test_alerts_are_on_as_soon_as_a_destination_is_named(enabled, to, is_on):
    settings = AlertsSettings(enabled=enabled, to=to)
    assert settings.is_on is is_on
    assert bool(settings.choose(900).destinations) is is_on


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("quiet", "22:00-07:00", "22:00-07:00"),
        ("quiet", "", "false"),
        ("quiet", False, "false"),
        ("digest", False, "false"),
        ("digest", "23:59", "23:59"),
        ("remind", False, "false"),
        ("remind", "1H,4h", "1h, 4h"),
        ("remind", ["1h30m"], "1h30m"),
    ],
)
def test_times_are_kept_in_one_form(field, value, kept):
    assert getattr(AlertsSettings(**{field: value}), field) == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quiet", "22:00"),
        ("quiet", "22:00-24:00"),
        ("quiet", "8:00-9:00"),
        ("quiet", "08:00-08:00"),
        ("quiet", True),
        ("digest", "24:00"),
        ("digest", 8),
        ("remind", []),
        ("remind", ["1h", 4]),
        ("remind", "1h, false"),
        ("remind", "30s"),
        ("remind", ["1h"] * 11),
        ("host", "two words"),
        ("gather_s", -1.0),
    ],
)
def test_what_is_no_time_is_refused(field, value):
    with pytest.raises(ValidationError):
        AlertsSettings(**{field: value})


@pytest.mark.parametrize(
    "address", ["phone", "ntfy:/a", "://a", "ntfy://", "ntfy://a b", "ntfy://a\nb", "ntfy://é"]
)
def test_what_is_no_address_is_refused(address):
    """Control characters too: an address becomes a line of a request."""
    with pytest.raises(ValidationError):
        DestinationSettings(url=address)


def test_a_heartbeat_has_an_address_in_a_file_or_of_systemd(tmp_path):
    assert not HeartbeatSettings().is_on({})
    assert HeartbeatSettings(url_file=Path("/srv/url")).is_on({})
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert not HeartbeatSettings().is_on(env)
    (tmp_path / "heartbeat").touch()
    assert HeartbeatSettings().is_on(env)
