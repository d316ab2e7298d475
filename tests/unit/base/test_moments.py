"""How long ago something was, whatever somebody did to the wall clock meanwhile."""

from __future__ import annotations

import pytest

from tailflip.base import clock
from tailflip.base.moments import passed_ms, read_moment
from tailflip.flow.lives import Moment

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


def test_a_moment_is_of_both_clocks(monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: 7)
    monkeypatch.setattr(clock, "boot_ms", lambda: 8)
    now = read_moment()
    assert (now.at_ms, now.mono_ms) == (7, 8)
    assert now.boot == read_moment().boot
