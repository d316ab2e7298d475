"""The clocks. Other modules read time and sleep through these functions, so a test can set them.

The linter bans `time` and `datetime.now` elsewhere.
"""

from __future__ import annotations

import time

# macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC goes on while the machine sleeps.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> int:
    """Read the wall clock: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Read the milliseconds since the machine's boot, its sleep included; no user can set them."""
    return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000


def monotonic_s() -> float:
    """Read the system's monotonic clock in seconds; use differences, not values."""
    return time.monotonic()


def sleep_s(seconds: float) -> None:
    """Sleep where no event loop runs, such as in `gate --park` or between two tries."""
    time.sleep(seconds)
