"""What is left of a wait, and how long a life was, whatever somebody did to the wall clock."""

from __future__ import annotations

import pytest

from tailflip.base import clock
from tailflip.flow.lives import Decision, LifeMode, Moment
from tailflip.supervise.elapsed import find_left_ms, read_answer, read_end
from tailflip.supervise.new_life import new_life

THEN = Moment(at_ms=1_000_000, mono_ms=500, boot="a")
FORWARD = Moment(at_ms=9_999_999, mono_ms=600, boot="a")
BACKWARD = Moment(at_ms=1_000_100, mono_ms=499, boot="a")
REBOOTED = Moment(at_ms=1_000_700, mono_ms=1, boot="b")


@pytest.mark.parametrize(
    ("decision", "now", "left"),
    [
        (Decision(kind="start", reason=""), THEN, 0),
        (Decision(kind="wait", reason=""), THEN, None),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), THEN, 300),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), FORWARD, 200),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), BACKWARD, 0),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), REBOOTED, 0),
        # An older ledger does not say when it was decided.
        (Decision(kind="start", reason="", at_ms=1_000_300), THEN, 300),
        (Decision(kind="start", reason="", at_ms=1_000_900), THEN, 0),
        (Decision(kind="start", reason="", at_ms=999_000), THEN, 0),
    ],
)
def test_what_is_left_of_a_wait_is_never_more_than_was_decided(decision, now, left):
    assert find_left_ms(decision, now, longest_ms=500) == left


def test_an_end_is_read_by_both_clocks_within_one_boot(make_gateway):
    """After a jump of the clock a death was told after -10775.9 s."""
    life = new_life(make_gateway(), LifeMode.RUN, clock.now_ms() + 3 * 3_600_000)
    ended = life.model_copy(update=read_end(life) | read_answer(life))
    assert 0 <= ended.uptime_s < 60
    assert 0 <= ended.ready_after_ms < 60_000
    other = life.model_copy(update={"boot_id": "another"})
    assert read_end(other)["ended_mono_ms"] is None
    assert read_answer(other)["ready_mono_ms"] is None
