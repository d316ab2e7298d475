"""Safe starts: the last trials before a breaker gives up, without cron jobs, then without channels.

A loop of deaths that the gateway's work may bring about is tried once without its cron jobs, and
once without its channels. What lives long enough goes on so. After the delays of trials the gateway
is restarted as usual; it stays so once what killed it is gone, and goes back if it dies again.

    loop -> without cron jobs -> without channels -> the breaker opens
                 └── lives ──┬───────┘ lives
                             └─> as usual, now and then -> lives: all is well again

Pure functions of values, for `breaker`. Source of the variables: OpenClaw 2026.3.28 to 2026.9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_span
from tailflip.diagnose.causes import CAUSES
from tailflip.flow.lives import Breaker, BreakerState, Decision, DecisionKind, SafeMode, Waiting
from tailflip.supervise.backoff import start_delay_s, trial_delay_s

if TYPE_CHECKING:
    from tailflip.config.schema import RestartSettings
    from tailflip.flow.lives import Death
    from tailflip.supervise.world import World

VARIABLES = {SafeMode.CRON: "OPENCLAW_SKIP_CRON", SafeMode.CHANNELS: "OPENCLAW_SKIP_CHANNELS"}
_ORDER = tuple(SafeMode)
_EVEN = 0.5  # of a random number: no jitter


def choose_safe(counted: Breaker, death: Death, limits: RestartSettings) -> SafeMode | None:
    """Choose what the next start leaves out; None: nothing, or all that was tried was in vain.

    Args:
        counted: with the death of a loop counted, and what its life left out.
        death: the verdict.
        limits: `safe_start` says whether it is wanted.
    """
    if not limits.safe_start or not CAUSES[death.cause].of_work or counted.in_vain:
        return None
    if counted.lived is not None and (counted.safe is None or counted.is_good):
        return counted.lived
    if counted.safe is None:
        return _ORDER[0] if counted.state is BreakerState.CLOSED else None
    return next(iter(_ORDER[_ORDER.index(counted.safe) + 1 :]), None)


def start_safely(
    counted: Breaker, safe: SafeMode, told: str, world: World
) -> tuple[Breaker, Decision]:
    """Start without what may have killed it, as the last trial before the breaker gives up."""
    wait_s = start_delay_s(world.limits, counted.row, world.random)
    at_ms = world.now_ms + int(1000 * wait_s)
    update = {
        "state": BreakerState.OPEN,
        "safe": safe,
        "waiting": Waiting.TIME,
        "until_ms": at_ms,
        "marks": None,
    }
    return counted.model_copy(update=update), Decision(
        kind=DecisionKind.START,
        reason=f"{told}; safe start {safe.words} in {format_span(1000 * wait_s)}",
        waiting=Waiting.TIME,
        at_ms=at_ms,
        alert=counted.state is BreakerState.CLOSED,
        made=world.moment,
    )


def note_safe_life(breaker: Breaker, safe: SafeMode) -> Breaker:
    """Note that a gateway lives without something: the deaths as usual stay on record."""
    return breaker.model_copy(update={"safe": safe, "lived": safe, "is_good": True})


def start_as_usual(breaker: Breaker) -> Breaker:
    """Make the next start one as usual, because a person asks for it: after a repair, perhaps."""
    return breaker.model_copy(update={"safe": None})


def leave_safe(breaker: Breaker) -> Breaker:
    """Make the next start one as usual."""
    return breaker.model_copy(update={"safe": None, "probes": breaker.probes + 1})


def normal_delay_s(breaker: Breaker, limits: RestartSettings) -> float:
    """Choose how long a safe life goes on before a start as usual is tried."""
    return trial_delay_s(limits, breaker.probes + 1, _EVEN)
