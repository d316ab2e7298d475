"""Makes the supervisor with all its actions; the first takes up what the last one left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.supervise import end_actions, life_actions, start_actions
from tailflip.supervise.resume import find_left
from tailflip.supervise.safe_start import start_as_usual
from tailflip.supervise.states import Action, Phase
from tailflip.supervise.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.base.sdnotify import Notifier
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
    left = find_left(run.gateway, run.breaker, run.fingerprints)
    if left.service is not None:
        _take_up(run, left.service)
    elif left.decision is not None:
        run.enter_waiting(left.decision)
    elif left.end is not None:
        end_actions.cure(run, *left.end)
    else:
        run.breaker = start_as_usual(run.breaker)
        start_actions.prepare(run)


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
