"""Numbers as people read them: bytes in powers of ten, lengths of time, counts, ages."""

from __future__ import annotations

from datetime import UTC, datetime

_BYTE_STEPS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
_TIME_STEPS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_KEEPS_BIG_UNIT_FROM = 2  # "90 min" tells more than "1.5 h", "33 h" more than "1.4 d"


def format_bytes(size_bytes: int) -> str:
    """Write `184999138` as `185.0 MB`."""
    for step, unit in _BYTE_STEPS:
        if size_bytes >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} B"


def format_count(number: int) -> str:
    """Write `6539` as `6,539`."""
    return f"{number:,}"


def format_entries(number: int) -> str:
    """Write a number of entries with its noun."""
    return f"{number:,} entry" if number == 1 else f"{number:,} entries"


def format_span(length_ms: float) -> str:
    """Write a length of time in its largest sensible unit: `0.7 s`, `25 min`, `33 h`."""
    for step, unit in _TIME_STEPS:
        if length_ms >= step * _KEEPS_BIG_UNIT_FROM:
            return f"{length_ms / step:.1f}".removesuffix(".0") + f" {unit}"
    return f"{length_ms / 1_000:.1f}".removesuffix(".0") + " s"


def format_time(at_ms: int) -> str:
    """Write a moment in UTC, to the second; one that no calendar has, as its number."""
    try:
        return datetime.fromtimestamp(at_ms / 1_000, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
