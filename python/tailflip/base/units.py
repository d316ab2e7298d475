"""Formats numbers for people: bytes in powers of ten, lengths of time, counts, moments."""

from __future__ import annotations

from datetime import UTC, datetime

_BYTE_STEPS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
# The length from which on a unit is used: "33 h" tells more than "1.4 d".
_TIME_STEPS = (
    (172_800_000, 86_400_000, "d"),
    (3_600_000, 3_600_000, "h"),
    (120_000, 60_000, "min"),
)
_NOW_MS = 1_000
_IN_MS = 100  # below, a tenth of a second tells too little


def format_bytes(size_bytes: int) -> str:
    """Write `184999138` as `185.0 MB`."""
    for step, unit in _BYTE_STEPS:
        if abs(size_bytes) >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} B"


def format_count(number: int) -> str:
    """Write `6539` as `6,539`."""
    return f"{number:,}"


def format_counted(number: int, noun: str, one: str = "", many: str = "") -> str:
    """Write a number of things with their noun, and with the verb that fits it.

    Args:
        number: how many.
        noun: for one of them; `entry` becomes `entries`, all else has an `s`.
        one: what follows where there is one, such as `is`.
        many: what follows where there is not one, such as `are`.
    """
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun} {one if number == 1 else many}".rstrip()


def format_span(length_ms: float) -> str:
    """Write a length of time in its largest sensible unit: `8 ms`, `0.7 s`, `33 h`."""
    for least, step, unit in _TIME_STEPS:
        if length_ms >= least:
            return f"{length_ms / step:.1f}".removesuffix(".0") + f" {unit}"
    if 0 < length_ms < _IN_MS:
        return f"{round(length_ms) or 1} ms"
    return f"{length_ms / 1_000:.1f}".removesuffix(".0") + " s"


def format_time(at_ms: int) -> str:
    """Write a moment in the local zone with its offset, to the second: `2026-02-02 03:40:00+01:00`.

    The offset of UTC is `Z`. A moment outside the calendar is its number.
    """
    try:
        local = datetime.fromtimestamp(at_ms / 1_000, tz=UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
    return local.isoformat(" ", "seconds").replace("+00:00", "Z")


def format_ago(at_ms: int, now_ms: int) -> str:
    """Write how far a moment lies from now: `3 min ago`, `in 5 min`, `now`."""
    if abs(now_ms - at_ms) < _NOW_MS:
        return "now"
    length = format_span(abs(now_ms - at_ms))
    return f"{length} ago" if at_ms <= now_ms else f"in {length}"


def format_moment(at_ms: int, now_ms: int) -> str:
    """Write a moment, and how far it lies from now."""
    return f"{format_time(at_ms)} ({format_ago(at_ms, now_ms)})"
