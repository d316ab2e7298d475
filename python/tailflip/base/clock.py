"""Time, read in one place, so that everything else can be given it as a value.

A rule of the linter holds it: `time` and `datetime.now` are banned elsewhere.
"""

from __future__ import annotations

import time

# macOS has none of that name; its CLOCK_MONOTONIC goes on while the machine sleeps.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> int:
    """Read the wall clock: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Read the milliseconds since the machine's boot, its sleep included; nobody can set it."""
    return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000


def monotonic_s() -> float:
    """Read a clock that never goes back, in seconds; only differences mean anything."""
    return time.monotonic()


def sleep_s(seconds: float) -> None:
    """Wait where no event loop turns, such as in `gate --park` or between two tries."""
    time.sleep(seconds)
