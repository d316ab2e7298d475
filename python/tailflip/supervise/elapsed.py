"""Dates a life by both clocks, and measures what is left of a decided wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock, platform_calls
from tailflip.base.moments import passed_ms
from tailflip.flow.lives import DecisionKind

if TYPE_CHECKING:
    from tailflip.flow.lives import Decision, Life, Moment


def read_end(life: Life) -> dict[str, int | None]:
    """Read the times of a life's end, which is now."""
    return {"ended_ms": clock.now_ms(), "ended_mono_ms": _read_mono_ms(life)}


def read_answer(life: Life) -> dict[str, int | None]:
    """Read the times of a life's first answer, which is now."""
    return {"ready_ms": clock.now_ms(), "ready_mono_ms": _read_mono_ms(life)}


def _read_mono_ms(life: Life) -> int | None:
    return clock.boot_ms() if life.boot_id == platform_calls.here.boot_id() else None


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
