"""The only module that reads time, so that everything else can be given it as a value."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Read the wall clock: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Read a clock that never goes back, in seconds; only differences mean anything."""
    return time.monotonic()


def sleep_s(seconds: float) -> None:
    """Wait; for retries of a few hundred milliseconds, never to schedule anything."""
    time.sleep(seconds)
