"""The table of all kinds of reconciliation; each reports problems, and with `apply` mends them.

The order is: cron store, task ledger, transcripts, session stores; then the kinds in `TOLD`. A
failure of one kind does not stop the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import Usage
from tailflip.diagnose.findings.registry import find_all
from tailflip.reconcile.context import StepKind
from tailflip.reconcile.steps.growth import look_at_growth
from tailflip.reconcile.steps.headers import write_headers
from tailflip.reconcile.steps.killers import hold_killer
from tailflip.reconcile.steps.markers import clear_markers
from tailflip.reconcile.steps.stores import end_zombies, sweep
from tailflip.reconcile.steps.storms import look_for_storms
from tailflip.reconcile.steps.stuck import look_for_stuck
from tailflip.reconcile.steps.tasks import repair_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tailflip.reconcile.context import Reconciliation, Result

KINDS: dict[StepKind, Callable[[Reconciliation], None]] = {
    StepKind.MARKERS: clear_markers,
    StepKind.HOLD: hold_killer,
    StepKind.TASKS: repair_tasks,
    StepKind.HEADERS: write_headers,
    StepKind.ZOMBIES: end_zombies,
    StepKind.RETENTION: sweep,
    StepKind.STORMS: look_for_storms,
    StepKind.STUCK: look_for_stuck,
    StepKind.GROWTH: look_at_growth,
}
TOLD = (
    StepKind.STORMS,
    StepKind.STUCK,
    StepKind.GROWTH,
)  # reported; changes need consent in the settings


def reconcile_all(work: Reconciliation, kinds: Sequence[str] = ()) -> Result:
    """Do the named kinds, or all, in the order of the table.

    Raises:
        Usage: there is no such kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise Usage(f"no such kind: {unknown[0]}", hint=f"kinds are: {', '.join(KINDS)}")
    work.result.notes += [claim.to_error().message for claim in work.scene.kept.values()]
    for kind, do in KINDS.items():
        if not kinds or kind in kinds:
            do(work)
    work.result.looked = find_all(replace(work.result.inputs, now_ms=work.scene.now_ms))
    if work.terms.apply:
        with work.result.keeping_error():
            looked = work.result.looked
            work.history.findings.note(looked.findings, work.scene.now_ms, looked.codes)
    work.result.notes = list(dict.fromkeys(work.result.notes))
    return work.result
