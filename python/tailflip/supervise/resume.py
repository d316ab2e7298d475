"""Finds what the last supervisor left: a living gateway, a death, or a wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.flow.late import dataclass
from tailflip.flow.lives import DecisionKind, LifeMode, Waiting
from tailflip.supervise.breaker import anchor
from tailflip.supervise.by_hand import is_by_hand
from tailflip.supervise.elapsed import read_end
from tailflip.supervise.post_mortem import record_decision
from tailflip.supervise.process.guarded import Service
from tailflip.supervise.unseen_end import find_unseen_end

if TYPE_CHECKING:
    from tailflip.flow.lives import Breaker, Death, Decision, Life
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.fingerprints import Fingerprints


@dataclass(frozen=True)
class Left:
    """One of three, or none: then the gateway is started as if for the first time.

    Args:
        service: the gateway that lives on without its supervisor.
        end: a death that no decision has followed.
        decision: a decision that still has to be waited for.
    """

    service: Service | None = None
    end: tuple[Death, Life] | None = None
    decision: Decision | None = None


def find_left(gateway: GuardedGateway, breaker: Breaker, fingerprints: Fingerprints) -> Left:
    """Find what the last supervisor left, and record an end that it could not record."""
    last = gateway.record.read_last_life()
    if last is None and gateway.find_other() is None:
        return Left(end=find_unseen_end(gateway, None))
    if last is not None and last.ended_ms is None:
        service = Service.adopt(gateway, last) if last.mode is LifeMode.RUN else None
        if service is not None:
            return Left(service=service)
        if gateway.find_other() is None:
            return Left(end=find_unseen_end(gateway, last))
        gone = last.model_copy(update={**read_end(last), "end_known": False})
        gateway.record.end_life(gone)
    standing = gateway.record.read_standing_decision()
    if standing is not None and standing.kind is not DecisionKind.END:
        return _resume_wait(gateway, breaker, standing, fingerprints)
    # The last supervisor may have ended between verdict and decision.
    if last is not None and last.death is not None and gateway.record.is_undecided(last):
        return Left(end=(last.death, last))
    return Left()


def _resume_wait(
    gateway: GuardedGateway, breaker: Breaker, standing: Decision, fingerprints: Fingerprints
) -> Left:
    """Resume a wait, unless a person made or asked for this start, or a maintenance ended it."""
    if standing.waiting is Waiting.MAINTENANCE:
        return Left()
    if gateway.record.take_trial() or is_by_hand(gateway, standing):
        log.info("a person asked for this start: trying now", waited=standing.reason)
        return Left()
    log.info("resuming a wait", reason=standing.reason)
    anchored = anchor(standing, fingerprints.read_world())
    if anchored != standing:
        last = gateway.record.read_last_life()
        record_decision(gateway, breaker, anchored, last.id if last else None)
    return Left(decision=anchored)
