"""The gateway's grammars for durations and sizes: no sign, no weeks, powers of 1024.

Source: OpenClaw's `parse-duration` and `parse-bytes`, the same in 2026.3.28 and 2026.4.14.
"""

from __future__ import annotations

import math
import re

from tailflip.base.errors import Usage

_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_BYTES = {
    "b": 1,
    **dict.fromkeys(("k", "kb"), 1 << 10),
    **dict.fromkeys(("m", "mb"), 1 << 20),
    **dict.fromkeys(("g", "gb"), 1 << 30),
    **dict.fromkeys(("t", "tb"), 1 << 40),
}
_ONE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)?")
_MAX_CHARS = 100  # no real value is longer; a hostile one then costs no time


def parse_duration_ms(raw: str | float, default_unit: str) -> int:
    """Parse `90`, `1.5h` or `1h30m` to milliseconds; `default_unit` is for a bare number.

    Raises:
        ValueError: the gateway would refuse it too.
    """
    text = _normalise(raw)
    one = _ONE.fullmatch(text)
    if one:
        return _round(float(one[1]) * _DURATION_MS[one[2] or default_unit], text)
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"invalid duration: {text!r}")
    return _round(sum(float(part[1]) * _DURATION_MS[part[2]] for part in parts), text)


def parse_time_option(option: str, text: str) -> int | None:
    """Read a duration that overrides the gateway's setting; a bare number is hours.

    Returns:
        Milliseconds, or None for `false`, which turns a rule off.

    Raises:
        Usage: the text is neither a length of time nor `false`.
    """
    if text == "false":
        return None
    try:
        return parse_duration_ms(text, "h")
    except ValueError as e:
        raise Usage(
            f"{option} is not a length of time: {text}", hint="write it as 90m, 24h or false"
        ) from e


def parse_size_bytes(raw: str | float, default_unit: str = "b") -> int:
    """Parse `10485760`, `10mb` or `1.5gb` to bytes.

    Raises:
        ValueError: the gateway would refuse it too.
    """
    text = _normalise(raw)
    match = _SIZE.fullmatch(text)
    factor = _SIZE_BYTES.get(match[2] or default_unit) if match else None
    if match is None or factor is None:
        raise ValueError(f"invalid size: {text!r}")
    return _round(float(match[1]) * factor, text)


def _normalise(raw: str | float) -> str:
    """Write a value as JavaScript's `String(raw).trim().toLowerCase()` would."""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    text = str(raw).strip().lower()
    if not text or len(text) > _MAX_CHARS:
        raise ValueError(f"invalid value: {text[:_MAX_CHARS]!r}")
    return text


def _round(value: float, text: str) -> int:
    """Round half up, as JavaScript does."""
    if not math.isfinite(value):
        raise ValueError(f"invalid value: {text!r}")
    return math.floor(value + 0.5)
