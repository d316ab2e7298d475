"""What becomes of a transcript: the measured outcomes, and each cell of the decision."""

from __future__ import annotations

import pytest

from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.plan.transcripts import Allowed, Remedy, Weight, choose_remedy, weigh

MB, MIB = 1_000_000, 1 << 20
V4, V7, V9 = (find_capabilities(each) for each in ((2026, 4, 14), (2026, 7, 35), (2026, 9, 6)))
UNKNOWN = find_capabilities(None)
SLIMS = Allowed()
NOTHING, FOREIGN = Allowed(slims=False), Allowed(may_write=False)


@pytest.mark.parametrize(
    ("size_bytes", "limit_mib", "weight"),
    [
        (300 * MB, 1024 + 192, Weight.DEADLY),  # 2026.4.14 died of it in three starts of three
        (300 * MB, 2048 + 192, Weight.HUGE),  # and lived with it here, without an answer for 36 s
        (100 * MB, 700 + 192, Weight.HUGE),  # it lived
        (50 * MB, 2048 + 192, Weight.LIGHT),
        (560 * MB, 8192, Weight.TOO_LONG),
        (560 * MB, None, Weight.TOO_LONG),
        (500 * MB, None, Weight.LIGHT),  # nobody knows the heap
    ],
)
def test_a_transcript_is_weighed_as_real_gateways_took_it(size_bytes, limit_mib, weight):
    limit_bytes = None if limit_mib is None else limit_mib * MIB
    assert weigh(size_bytes, limit_bytes) is weight


@pytest.mark.parametrize(
    ("size", "slim", "can", "allowed", "remedy"),
    [
        # light
        (99, 1, V4, SLIMS, Remedy.FINE),
        (99, None, V4, NOTHING, Remedy.FINE),
        # huge: it stalls, and nothing is lost
        (200, 1, V4, SLIMS, Remedy.TOLD),
        (101, None, V7, NOTHING, Remedy.TOLD),
        # deadly
        (400, 90, V4, SLIMS, Remedy.SLIM),
        (400, 200, V4, SLIMS, Remedy.SLIM),
        (400, 201, V4, SLIMS, Remedy.TOLD),
        (400, 350, V4, SLIMS, Remedy.TOLD),
        (400, None, V4, SLIMS, Remedy.TOLD),
        (400, 90, V4, NOTHING, Remedy.TOLD),
        (400, 90, V4, FOREIGN, Remedy.TOLD),
        (400, 90, UNKNOWN, SLIMS, Remedy.SLIM),
        # a release that keeps its sessions in databases reads none
        (400, 90, V9, SLIMS, Remedy.FINE),
    ],
)
def test_each_cell_of_the_decision(size, slim, can, allowed, remedy):
    chosen = choose_remedy(
        size * MB,
        None if slim is None else slim * MB,
        1000 * MB,
        capabilities=can,
        allowed=allowed,
    )
    assert chosen is remedy


def test_what_is_too_long_for_a_string_is_slimmed_or_told_whatever_the_heap():
    def choose(slim_bytes, allowed):
        return choose_remedy(600 * MB, slim_bytes, None, capabilities=V4, allowed=allowed)

    assert choose(5 * MB, SLIMS) is Remedy.SLIM
    assert choose(599 * MB, SLIMS) is Remedy.TOLD
