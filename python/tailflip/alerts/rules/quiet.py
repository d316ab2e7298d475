"""Quiet hours and times of the day, by the wall clock of this host.

Each question is answered from the clock when it is asked. Nothing is planned ahead: where a clock
goes forward or back, an hour is there twice or not at all, and the answer is still right.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tailflip.base.errors import Usage

_MINUTE_MS = 60_000
_DAY_MINUTES = 1_440
# No clock is set forward or back by more; so far around an estimate it is asked minute by minute.
_MOST_SHIFT = 180


def parse_clock(text: str) -> int:
    """Read a time of the day, `08:00`, as minutes.

    Raises:
        Usage: it is none.
    """
    hours, colon, minutes = text.partition(":")
    if colon and hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2:  # noqa: PLR2004
        at = 60 * int(hours) + int(minutes)
        if at < _DAY_MINUTES and int(minutes) < 60:  # noqa: PLR2004
            return at
    raise Usage(f"not a time of the day: {text!r}", hint="write it as 08:00")


def parse_quiet(text: str) -> tuple[int, int] | None:
    """Read quiet hours, `22:00-07:00`, as minutes of the day; None for "".

    Raises:
        Usage: they are none.
    """
    if not text:
        return None
    begin, _, end = text.partition("-")
    hours = parse_clock(begin.strip()), parse_clock(end.strip())
    if hours[0] == hours[1]:
        raise Usage(f"not quiet hours: {text!r}", hint="begin and end must differ")
    return hours


def is_quiet(at_ms: int, quiet: str) -> bool:
    """Say whether a moment lies in quiet hours."""
    hours = parse_quiet(quiet)
    return hours is not None and _lies_in(at_ms, hours)


def find_loud(at_ms: int, quiet: str) -> int:
    """Find the first moment from `at_ms` on that lies in no quiet hours."""
    hours = parse_quiet(quiet)
    if hours is None or not _lies_in(at_ms, hours):
        return at_ms
    next_ms = at_ms - at_ms % _MINUTE_MS
    left = (hours[1] - _read(next_ms)) % _DAY_MINUTES
    next_ms += _MINUTE_MS * max(1, left - _MOST_SHIFT)
    while _lies_in(next_ms, hours):
        next_ms += _MINUTE_MS
    return next_ms


def find_last(at_ms: int, clock: str) -> int:
    """Find the last moment up to `at_ms` when the wall clock came to a time of the day."""
    last_ms, wanted = at_ms - at_ms % _MINUTE_MS, parse_clock(clock)
    passed = (_read(last_ms) - wanted) % _DAY_MINUTES
    # Where the clock has gone forward since, it was there earlier than it seems to have been.
    if passed > _MOST_SHIFT:
        last_ms -= _MINUTE_MS * (passed - _MOST_SHIFT)
    return _seek(last_ms, wanted, -_MINUTE_MS)


def find_next(at_ms: int, clock: str) -> int:
    """Find the first moment after `at_ms` when the wall clock comes to a time of the day."""
    next_ms, wanted = at_ms - at_ms % _MINUTE_MS + _MINUTE_MS, parse_clock(clock)
    left = (wanted - _read(next_ms)) % _DAY_MINUTES
    if left > _MOST_SHIFT:
        next_ms += _MINUTE_MS * (left - _MOST_SHIFT)
    return _seek(next_ms, wanted, _MINUTE_MS)


def _seek(at_ms: int, wanted: int, step_ms: int) -> int:
    while not _comes(at_ms, wanted):
        at_ms += step_ms
    return at_ms


def _comes(at_ms: int, wanted: int) -> bool:
    """Say whether the wall clock comes to a time of the day with this minute.

    Where the clock goes forward, a time may be left out: the minute after it counts.
    """
    now = _read(at_ms)
    went_on = (now - _read(at_ms - _MINUTE_MS) + _DAY_MINUTES // 2) % _DAY_MINUTES
    return (now - wanted) % _DAY_MINUTES < max(0, went_on - _DAY_MINUTES // 2)


def _lies_in(at_ms: int, hours: tuple[int, int]) -> bool:
    begin, end = hours
    return (_read(at_ms) - begin) % _DAY_MINUTES < (end - begin) % _DAY_MINUTES


def _read(at_ms: int) -> int:
    """Read the wall clock of this host, in minutes of the day."""
    local = datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone()
    return 60 * local.hour + local.minute
