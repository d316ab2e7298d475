"""What settings are without a file, and what they come to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tailflip.config.load import Config, load
from tailflip.config.schema import ArchiveSettings, HealSettings
from tailflip.flow.alerts import AlertSettings


def load_text(tmp_path, text, env=None, flags=None):
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load({"HOME": "/home/claw", "TAILFLIP_CONFIG": str(path), **(env or {})}, flags)


def test_the_defaults_are_what_was_agreed():
    """A change here is a change for everybody who wrote no file: put it into the changelog."""
    config = Config()
    assert (config.restart.first_delay_s, config.restart.factor, config.restart.cap_s) == (
        1,
        2,
        300,
    )
    assert (config.restart.jitter, config.restart.loop_deaths) == (0.2, 3)
    assert config.restart.good_life_s == 180
    assert (config.restart.trial_first_s, config.restart.trial_cap_s) == (300, 3600)
    assert (config.health.interval_s, config.health.timeout_s, config.health.misses) == (15, 10, 6)
    assert config.health.start_patience_s == 900
    assert (config.memory.interval_s, config.memory.warn_ahead_s) == (15, 1800)
    assert (config.memory.min_life_s, config.memory.restart_ahead) == (1800, False)
    assert config.heal.margin == 0.9
    assert config.heal.enabled
    assert config.heal.admission
    assert config.heal.pressure
    assert config.heal.salvage
    assert config.heal.after_oom
    assert config.heal.retention is None
    assert config.heal.max_lifetime_ms == 3_600_000
    assert config.ledger.keep_days == 30
    assert (config.archive.keep, config.archive.max_size) == ("90d", "5gb")
    assert config.log.level == "info"
    assert config.alerts.choose(900) == AlertSettings()
    assert not config.alerts.is_on
    assert (config.heartbeat.url_file, config.heartbeat.every_s) == (None, 300)
    assert config.heartbeat.when == "well"
    assert config.restart.on_hang
    assert set(config.gateway.model_dump().values()) == {None}


@pytest.mark.parametrize(
    ("retention", "expected"),
    [
        (None, 7),
        ("false", None),
        (False, None),
        ("FALSE", None),
        ("1h30m", 5_400_000),
        ("1D", 864e5),
    ],
)
def test_retention_here_else_openclaws_own(retention, expected):
    assert HealSettings(retention=retention).choose_retention_ms(7) == expected


def test_heap_limit_in_bytes(tmp_path):
    assert Config().gateway.heap_limit_bytes is None
    for text in ("'2gb'", "2147483648", "'2147483648'"):
        loaded = load_text(tmp_path, f"[gateway]\nheap_limit = {text}\n")
        assert loaded.config.gateway.heap_limit_bytes == 2 << 30


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValidationError):
        Config().restart.cap_s = 5


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("5gb", 5 << 30), (1_000_000, 1_000_000), ("1", 1), (" 2MB ", 2 << 20), (False, None)],
)
def test_a_size_limit_is_a_size_or_none(text, size_bytes):
    assert ArchiveSettings(max_size=text).max_bytes == size_bytes


@pytest.mark.parametrize("text", ["much", "-1", "5 gigs", True, None])
def test_a_size_limit_that_is_no_size_is_refused(text):
    with pytest.raises(ValidationError):
        ArchiveSettings(max_size=text)
