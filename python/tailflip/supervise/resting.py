"""The rest during a maintenance: no gateway lives, and none is started until that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.moments import read_moment
from tailflip.base.render import format_maintenance
from tailflip.flow.lives import Decision, DecisionKind, Waiting
from tailflip.supervise.post_mortem import record_decision
from tailflip.supervise.states import Phase

if TYPE_CHECKING:
    from tailflip.flow.lives import Life
    from tailflip.supervise.supervisor import Supervisor


def rest(run: Supervisor, life: Life | None = None) -> None:
    """Rest until the maintenance is over, which was seen to last; that is on record first.

    Args:
        run: the supervisor.
        life: the one that has just ended.
    """
    on = run.maintenance.on
    decision = Decision(
        kind=DecisionKind.WAIT,
        reason="a person works on it" if on is None else format_maintenance(on),
        waiting=Waiting.MAINTENANCE,
        made=read_moment(),
    )
    record_decision(run.gateway, run.breaker, decision, life.id if life is not None else None)
    run.wait.stop()
    run.phase = Phase.RESTING
    run.manager.status("no gateway runs, and none is started before that is over")
