"""What is observed of a gateway at one moment, and what is found to be wrong.

`check` and `status` both take this value: `check` after it has read the stores, `status`
within moments. What a look could not look for is taken from the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.diagnose.causes import OUT_OF_MEMORY
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all, recall
from tailflip.ledger.findings import NotedFinding
from tailflip.observe.records.forms import read_forms
from tailflip.stores.quick_look import look_quickly

if TYPE_CHECKING:
    from tailflip.flow.findings import Looked
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.actions import Action
    from tailflip.ledger.history import History
    from tailflip.observe.installation import Installation


@dataclass(frozen=True)
class Observation:
    """What was seen, and what was found; `half_done` are actions of ours that were interrupted.

    The inputs hold the user's configuration, so they are printed in parts only.
    """

    inputs: Inputs
    looked: Looked
    half_done: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    noted: tuple[NotedFinding, ...] = field(default=(), repr=False)

    def date_findings(self, now_ms: int) -> tuple[NotedFinding, ...]:
        """Give each finding the time since which it is known to stand."""
        known = {(each.finding.code, each.finding.subject): each for each in self.noted}
        dated = []
        for finding in self.looked.findings:
            old = known.get((finding.code, finding.subject))
            is_recalled = old is not None and finding.code not in self.looked.codes
            first_ms = now_ms if old is None else old.first_ms
            last_ms = old.last_ms if old is not None and is_recalled else now_ms
            dated.append(NotedFinding(finding, first_ms, last_ms, None))
        return tuple(dated)


def observe_quickly(
    installation: Installation | None,
    gateway: Gateway | None,
    history: History,
    now_ms: int,
) -> Observation:
    """Observe what a stat and small files tell, and take the rest from the record.

    Args:
        installation: None where it cannot be read; then only the record speaks.
        gateway: None with it.
        history: the gateway's record.
        now_ms: wall clock.
    """
    inputs = Inputs()
    if installation is not None and gateway is not None:
        inputs = look_quickly(
            installation,
            gateway,
            read_forms(installation),
            root=history.workspace.home.root,
            now_ms=now_ms,
        )
    return recall_from(history, Observation(inputs, find_all(inputs)))


def recall_from(history: History, observation: Observation) -> Observation:
    """Add what is on record of findings that were not looked for.

    A record that fails says nothing.
    """
    try:
        incidents = history.incidents.read()
        noted = history.findings.read()
        is_guarded = history.workspace.home.read_supervisor(history.guard) is not None
    except TailflipError:
        return observation
    looked = recall(
        observation.looked,
        [each.finding for each in noted],
        is_guarded=is_guarded,
        died_of_memory=any(
            each.closed_ms is None and each.cause in OUT_OF_MEMORY for each in incidents
        ),
    )
    return replace(observation, looked=looked, noted=noted)
