"""Makes the supervisor with all its actions; the first takes up what the last one left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.flow.lives import Decision, DecisionKind
from tailflip.supervise import end_actions, life_actions, start_actions
from tailflip.supervise.by_hand import is_by_hand
from tailflip.supervise.resting import rest
from tailflip.supervise.resume import find_left
from tailflip.supervise.safe_start import start_as_usual
from tailflip.supervise.states import Action, Phase
from tailflip.supervise.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.base.sdnotify import Notifier
    from tailflip.flow.maintenance import Maintenance
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.process.guarded import Service


def make_supervisor(
    gateway: GuardedGateway, notifier: Notifier, flags: Mapping[str, str] | None = None
) -> Supervisor:
    """Make the supervisor of a gateway; `flags` are the settings given on the command line."""
    return Supervisor(gateway, notifier, flags or {}, ACTIONS)


def resume(run: Supervisor) -> None:
    """Take up what the last supervisor left: a living gateway, a death, or a wait."""
    run.breaker = run.gateway.record.read_breaker()
    on = run.maintenance.on if run.maintenance.keeps_hands_off() else None
    is_asked = on is not None and _is_asked(run.gateway, on)
    left = find_left(run.gateway, run.breaker, run.fingerprints)
    if left.service is not None:
        _take_up(run, left.service)
    elif is_asked:
        log.info("a person asked for this start, during a maintenance")
        start_actions.start_asked(run)
    elif on is not None:
        rest(run, left.end[1] if left.end is not None else None)
    elif left.decision is not None:
        run.enter_waiting(left.decision)
    elif left.end is not None:
        end_actions.cure(run, *left.end)
    else:
        run.breaker = start_as_usual(run.breaker)
        start_actions.prepare(run)


def _is_asked(gateway: GuardedGateway, on: Maintenance) -> bool:
    """Say whether a person asked for this start: one who works on the gateway restarts it too."""
    begun = Decision(kind=DecisionKind.WAIT, reason="", made=on.anchor)
    return gateway.record.take_trial() or is_by_hand(gateway, begun)


def _take_up(run: Supervisor, service: Service) -> None:
    run.held, run.starter.failed = service, 0
    log.warning(
        "took over a living gateway whose supervisor was gone",
        pid=service.child.pid,
        life=service.life.id,
    )
    service.find_worker()
    run.gateway.record.update_life(service.life)
    run.watch.watch_end(service)
    life_actions.begin_watch(run)
    if run.phase is Phase.RUNNING:
        life_actions.after_ready(run)


ACTIONS: Mapping[Action, Callable[..., None]] = {
    Action.RESUME: resume,
    **start_actions.ACTIONS,
    **life_actions.ACTIONS,
    **end_actions.ACTIONS,
}
