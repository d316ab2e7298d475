"""Measures the time between two moments, however the wall clock was set meanwhile.

A clock is set back and forward by people, by NTP and by a power cut on a machine without a
hardware clock (1970). Within one boot the kernel's own count decides, across processes
too. From one boot to the next the wall clock decides, and its time is believed where it can be
true.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import clock, platform_calls
from tailflip.flow.lives import DecisionKind, Moment

if TYPE_CHECKING:
    from tailflip.flow.lives import Decision, Life


def read_moment() -> Moment:
    """Read both clocks."""
    boot = platform_calls.here.boot_id() or f"process {os.getpid()}"
    return Moment(at_ms=clock.now_ms(), mono_ms=clock.boot_ms(), boot=boot)


def read_end(life: Life) -> dict[str, int | None]:
    """Read the times of a life's end, which is now."""
    return {"ended_ms": clock.now_ms(), "ended_mono_ms": _read_mono_ms(life)}


def read_answer(life: Life) -> dict[str, int | None]:
    """Read the times of a life's first answer, which is now."""
    return {"ready_ms": clock.now_ms(), "ready_mono_ms": _read_mono_ms(life)}


def _read_mono_ms(life: Life) -> int | None:
    return clock.boot_ms() if life.boot_id == platform_calls.here.boot_id() else None


def passed_ms(since: Moment, now: Moment) -> int | None:
    """Measure the time between two moments; None if the clocks ran backwards."""
    if since.mono_ms is None or now.mono_ms is None or since.boot != now.boot:
        passed = now.at_ms - since.at_ms
    else:
        passed = now.mono_ms - since.mono_ms
    return passed if passed >= 0 else None


def find_left_ms(decision: Decision, now: Moment, longest_ms: int) -> int | None:
    """Find the rest of a decision's wait; None if it has no time.

    A rest that is longer than the decided wait cannot be true and counts as over.

    Args:
        decision: any decision; a start without a time is for now.
        now: this moment.
        longest_ms: the longest wait of a decision without its own time (an older ledger).
    """
    if decision.at_ms is None:
        return 0 if decision.kind is DecisionKind.START else None
    if decision.made is None:
        left_ms = decision.at_ms - now.at_ms
        return left_ms if 0 < left_ms <= longest_ms else 0
    passed = passed_ms(decision.made, now)
    return 0 if passed is None else max(0, decision.at_ms - decision.made.at_ms - passed)
