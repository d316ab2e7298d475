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


def parse_length_ms(text: str) -> int:
    """Parse a length of time that a person gives us, in the same grammar; the unit is a must.

    Raises:
        ValueError: it is no length of time, or has no unit: OpenClaw itself reads `7` as 7 h in
            one place and as 7 ms in another.
    """
    if not text.strip()[-1:].isalpha():
        raise ValueError(f"no unit: {text!r}")
    return parse_duration_ms(text, "ms")


def parse_length_option(option: str, text: str) -> int:
    """Read an option's length of time, in milliseconds.

    Raises:
        Usage: the text is no length of time, or has no unit.
    """
    return _parse_option(option, text, "90m, 24h or 7d")


def parse_time_option(option: str, text: str) -> int | None:
    """Read a length of time that overrides the gateway's setting; None is `false`, no limit.

    Raises:
        Usage: the text is neither a length of time with its unit nor `false`.
    """
    return None if text == "false" else _parse_option(option, text, "90m, 24h or false")


def _parse_option(option: str, text: str, examples: str) -> int:
    hint = f"write it as {examples}"
    try:
        return parse_length_ms(text)
    except ValueError as e:
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()):
            raise Usage(f"{option} needs a unit of time: {text}", hint=hint) from e
        raise Usage(f"{option} is not a length of time: {text}", hint=hint) from e


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
