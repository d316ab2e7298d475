"""Actions of the supervisor in every phase: old records and files, a good life."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.moments import read_moment
from tailflip.stores.archive_limits import keep_limits
from tailflip.supervise import noted
from tailflip.supervise.breaker import note_good_life
from tailflip.supervise.safe_start import note_safe_life

if TYPE_CHECKING:
    from tailflip.flow.lives import Breaker, Life
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.event_loop import Loop

_EVERY_S = 6 * 3600.0


def keep_house(gateway: GuardedGateway, loop: Loop) -> None:
    """Delete old records, archives and files of earlier lives, now and every six hours."""
    gateway.record.expire(gateway.config.ledger.keep_days)
    if gateway.record.read_maintenance(None, read_moment()) is None:
        limits = gateway.config.archive
        for note in keep_limits(gateway.history.workspace, limits, clock.now_ms()):
            log.warning(note)
    for fifo in gateway.home.list_fifos():
        life = gateway.record.find_life(fifo.stem)
        if life is not None and life.ended_ms is not None:
            with suppress(OSError):
                fifo.unlink()
    loop.at("house", _EVERY_S, lambda: keep_house(gateway, loop))


def note_life(gateway: GuardedGateway, breaker: Breaker, life: Life) -> Breaker:
    """Note a good life; one that left something out ends no row of deaths."""
    if life.safe is None:
        return _close_breaker(gateway, breaker)
    lives = note_safe_life(breaker, life.safe)
    if lives != breaker:
        gateway.record.record_breaker(lives)
    return lives


def _close_breaker(gateway: GuardedGateway, breaker: Breaker) -> Breaker:
    """End the row of deaths, its incidents and their findings."""
    closed = note_good_life(breaker)
    if closed != breaker:
        gateway.record.record_breaker(closed)
    for incident in gateway.record.close_incidents():
        log.info("incident is over", id=incident.id, cause=incident.cause)
    noted.note_good_life(gateway)
    return closed
