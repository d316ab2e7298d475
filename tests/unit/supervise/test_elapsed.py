"""How long ago something was, whatever somebody did to the wall clock meanwhile."""

from __future__ import annotations

import pytest

from tailflip.base import clock
from tailflip.flow.lives import Decision, LifeMode, Moment
from tailflip.supervise.elapsed import (
    find_left_ms,
    passed_ms,
    read_answer,
    read_end,
    read_moment,
)
from tailflip.supervise.new_life import new_life

THEN = Moment(at_ms=1_000_000, mono_ms=500, boot="a")
PASSED = [
    (Moment(at_ms=1_000_100, mono_ms=600, boot="a"), 100),
    (Moment(at_ms=9_999_999, mono_ms=600, boot="a"), 100),  # the clock was set forward
    (Moment(at_ms=0, mono_ms=600, boot="a"), 100),  # and back
    (Moment(at_ms=1_000_100, mono_ms=499, boot="a"), None),
    (Moment(at_ms=1_000_700, mono_ms=1, boot="b"), 700),  # another boot: the wall's is all there is
    (Moment(at_ms=999_999, mono_ms=900, boot="b"), None),
    (Moment(at_ms=1_000_050), 50),
]


@pytest.mark.parametrize(("now", "passed"), PASSED)
def test_within_a_boot_the_kernels_count_decides(now, passed):
    assert passed_ms(THEN, now) == passed


@pytest.mark.parametrize(
    ("decision", "now", "left"),
    [
        (Decision(kind="start", reason=""), THEN, 0),
        (Decision(kind="wait", reason=""), THEN, None),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), THEN, 300),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), PASSED[1][0], 200),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), PASSED[3][0], 0),
        (Decision(kind="start", reason="", at_ms=1_000_300, made=THEN), PASSED[4][0], 0),
        # An older ledger does not say when it was decided.
        (Decision(kind="start", reason="", at_ms=1_000_300), THEN, 300),
        (Decision(kind="start", reason="", at_ms=1_000_900), THEN, 0),
        (Decision(kind="start", reason="", at_ms=999_000), THEN, 0),
    ],
)
def test_what_is_left_of_a_wait_is_never_more_than_was_decided(decision, now, left):
    assert find_left_ms(decision, now, longest_ms=500) == left


def test_a_moment_is_of_both_clocks(monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: 7)
    monkeypatch.setattr(clock, "boot_ms", lambda: 8)
    now = read_moment()
    assert (now.at_ms, now.mono_ms) == (7, 8)
    assert now.boot == read_moment().boot


def test_an_end_is_read_by_both_clocks_within_one_boot(make_gateway):
    """After a jump of the clock a death was told after -10775.9 s."""
    life = new_life(make_gateway(), LifeMode.RUN, clock.now_ms() + 3 * 3_600_000)
    ended = life.model_copy(update=read_end(life) | read_answer(life))
    assert 0 <= ended.uptime_s < 60
    assert 0 <= ended.ready_after_ms < 60_000
    other = life.model_copy(update={"boot_id": "another"})
    assert read_end(other)["ended_mono_ms"] is None
    assert read_answer(other)["ready_mono_ms"] is None
