"""Durations and sizes mean what they mean to the gateway, or are refused as it refuses them."""

from __future__ import annotations

import pytest

from tailflip.base.errors import Usage
from tailflip.base.openclaw_units import (
    parse_duration_ms,
    parse_length_option,
    parse_size_bytes,
    parse_time_option,
)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("24h", "h", 86_400_000),
        ("24", "h", 86_400_000),
        (30, "d", 30 * 86_400_000),
        (1.5, "h", 5_400_000),
        (2.0, "s", 2_000),
        (" 1H30M ", "h", 5_400_000),
        ("1h30m15s250ms", "h", 5_415_250),
        ("1.5h", "s", 5_400_000),
        ("0.5ms", "h", 1),
        ("0", "h", 0),
    ],
)
def test_duration(text, unit, expected):
    assert parse_duration_ms(text, unit) == expected


@pytest.mark.parametrize(
    "text",
    ["", "  ", "-1h", "+1h", "1w", "1h 30m", "1h30", "h", ".5h", "1.h", "1e3", "true", "\u0661h"],
)
def test_duration_is_refused(text):
    with pytest.raises(ValueError):
        parse_duration_ms(text, "h")


def test_a_hostile_number_is_refused_and_not_infinite():
    with pytest.raises(ValueError):
        parse_duration_ms("9" * 400 + "d", "h")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (10_485_760, 10_485_760),
        ("10mb", 10 << 20),
        ("10M", 10 << 20),
        ("1.5k", 1536),
        ("2TB", 2 << 40),
        ("7b", 7),
    ],
)
def test_size(text, expected):
    assert parse_size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "10 mb", "-1", "1mib", "1.2.3", "mb"])
def test_size_is_refused(text):
    with pytest.raises(ValueError):
        parse_size_bytes(text)


@pytest.mark.parametrize("text", ["7", "0", " 1.5 ", "", "-1d", "1w", "d"])
def test_a_length_of_time_that_a_person_gives_has_a_unit(text):
    with pytest.raises(Usage, match=r"--x (needs a unit of time|is not a length of time)"):
        parse_length_option("--x", text)
    with pytest.raises(Usage):
        parse_time_option("--x", text)


def test_false_is_no_length_but_no_limit():
    assert parse_time_option("--x", "false") is None
    assert parse_time_option("--x", "1h30m") == parse_length_option("--x", "90m") == 5_400_000
    with pytest.raises(Usage):
        parse_length_option("--x", "false")
