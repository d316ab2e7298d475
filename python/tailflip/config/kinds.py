"""The kinds of values that settings have: switches, lengths of time, sizes, and their rules."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from tailflip.base.openclaw_units import parse_length_ms, parse_size_bytes
from tailflip.flow.values import Value

OFF = "false"
_MINUTE_MS = 60_000
LEAST_HEAP_BYTES = 16 << 20  # a smaller number was meant in another unit


def name_false(value: object) -> object:
    """Take TOML's own `false`, as OpenClaw's `cron.sessionRetention` does."""
    return OFF if value is False else value


def check_duration(text: str) -> str:
    """Take a length of time with its unit, of a minute or more, or false."""
    text = text.strip().lower()
    if text == OFF:
        return text
    try:
        length_ms = parse_length_ms(text)
    except ValueError:
        rule = 'must be a length of time with its unit, such as "24h", or false'
        raise ValueError(rule) from None
    if length_ms < _MINUTE_MS:
        raise ValueError("must be at least 1m")
    return text


def _name_bytes(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_size(text: str) -> str:
    try:
        size_bytes = parse_size_bytes(text)
    except ValueError:
        raise ValueError('must be a size, such as "2gb" or "512mb"') from None
    if size_bytes < LEAST_HEAP_BYTES:
        raise ValueError("must be at least 16mb")
    return text


def _check_size_limit(text: str) -> str:
    text = text.strip().lower()
    if text == OFF:
        return text
    try:
        parse_size_bytes(text)
    except ValueError:
        raise ValueError('must be a size, such as "5gb" or "512mb", or false') from None
    return text


Duration = Annotated[str, BeforeValidator(name_false), AfterValidator(check_duration)]
Size = Annotated[str, BeforeValidator(_name_bytes), AfterValidator(_check_size)]

SizeLimit = Annotated[
    str,
    BeforeValidator(lambda value: _name_bytes(name_false(value))),
    AfterValidator(_check_size_limit),
]


def setting(
    default: Any,
    meaning: str,
    *,
    form: str | None = None,
    is_address: bool = False,
    is_secret: bool = False,
    **bounds: Any,
) -> Any:
    """Declare a setting.

    Args:
        default: the value when no source sets it.
        meaning: one line for people, without a full stop.
        form: what a text must be, such as "a size"; other types need none.
        is_address: a destination is nothing without it; a gateway's own replaces that of all.
        is_secret: it is shown without what is secret.
        bounds: `ge`, `le` and `pattern`, as pydantic takes them.
    """
    extra: dict[str, Any] = {} if form is None else {"form": form}
    extra |= {"is_address": is_address, "is_secret": is_secret}
    return Field(default=default, description=meaning, json_schema_extra=extra, **bounds)


class Section(Value):
    """Base of all sections: exact types, no NaN, and defaults held to the same rules."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
    )


def to_ms(text: str) -> int | None:
    """Convert a `Duration` to milliseconds; None for false."""
    return None if text == OFF else parse_length_ms(text)
