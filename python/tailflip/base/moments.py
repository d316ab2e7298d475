"""Reads a moment by both clocks, and measures the time between two.

A clock is set back and forward by people, by NTP and by a power cut on a machine without a
hardware clock (1970). Within one boot the kernel's own count decides, across processes
too. From one boot to the next the wall clock decides, and its time is believed where it can be
true.
"""

from __future__ import annotations

import os

from tailflip.base import clock, platform_calls
from tailflip.flow.lives import Moment


def read_moment() -> Moment:
    """Read both clocks."""
    boot = platform_calls.here.boot_id() or f"process {os.getpid()}"
    return Moment(at_ms=clock.now_ms(), mono_ms=clock.boot_ms(), boot=boot)


def passed_ms(since: Moment, now: Moment) -> int | None:
    """Measure the time between two moments; None if the clocks ran backwards."""
    if since.mono_ms is None or now.mono_ms is None or since.boot != now.boot:
        passed = now.at_ms - since.at_ms
    else:
        passed = now.mono_ms - since.mono_ms
    return passed if passed >= 0 else None
