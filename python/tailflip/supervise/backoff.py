"""Delays before the next start: they grow with the row of deaths, up to a cap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailflip.config.schema import RestartSettings

_TRIAL_FACTOR = 2.0
_NO_CHANCE = 0.5  # no jitter: the middle of its range
_LEAST_S = 0.001  # a shorter delay counts as none


def start_delay_s(limits: RestartSettings, row: int, random: float = _NO_CHANCE) -> float:
    """Choose the delay before the start that follows the `row`-th death in a row."""
    return delay_s(
        row,
        first_s=limits.first_delay_s,
        factor=limits.factor,
        cap_s=limits.cap_s,
        jitter=limits.jitter,
        random=random,
    )


def trial_delay_s(limits: RestartSettings, trial: int, random: float) -> float:
    """Choose the delay before the `trial`-th start that an open breaker lets through."""
    return delay_s(
        trial,
        first_s=limits.trial_first_s,
        factor=_TRIAL_FACTOR,
        cap_s=limits.trial_cap_s,
        jitter=limits.jitter,
        random=random,
    )


def delay_s(
    row: int, *, first_s: float, factor: float, cap_s: float, jitter: float, random: float
) -> float:
    """Choose the delay before the start that follows the `row`-th death in a row.

    Args:
        row: deaths in a row, from 1 on; less counts as 1.
        first_s: the delay after the first death.
        factor: growth from one delay to the next, at least 1.
        cap_s: no delay is longer, jitter included.
        jitter: share of the delay that chance adds or takes away, 0 to 1.
        random: a number in [0, 1), for jitter.
    """
    steps = max(row, 1) - 1
    if first_s < _LEAST_S:
        return 0.0
    # Use logarithms: for a long row the power would overflow a float.
    if first_s >= cap_s or steps * math.log(factor) >= math.log(cap_s / first_s):
        grown_s = cap_s
    else:
        grown_s = first_s * factor**steps
    return min(cap_s, grown_s * (1 + jitter * (2 * random - 1)))
