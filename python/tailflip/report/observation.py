"""The observation of a gateway at one moment, with its findings.

`check` and `status` both take this value: `check` after it has read the stores, `status`
within moments. Findings that a look cannot make are taken from the record.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.diagnose.causes import OUT_OF_MEMORY
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all, recall
from tailflip.flow.late import dataclass
from tailflip.ledger.findings import NotedFinding
from tailflip.observe.records.forms import read_forms
from tailflip.stores.quick_look import look_quickly

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.findings import Looked
    from tailflip.flow.observed import Gateway
    from tailflip.flow.outcomes import Forecast, HeapLimit
    from tailflip.ledger.actions import Action
    from tailflip.ledger.history import History
    from tailflip.observe.installation import Installation
    from tailflip.observe.records.forms import Record


@dataclass(frozen=True)
class Observation:
    """The inputs and the findings; `half_done` are interrupted actions of ours.

    `records` are the gateway's own, where a look told their forms.
    The inputs hold the user's configuration: print chosen parts of them.
    """

    inputs: Inputs
    looked: Looked
    half_done: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    noted: tuple[NotedFinding, ...] = field(default=(), repr=False)
    records: tuple[Record, ...] = ()

    def date_findings(self, now_ms: int) -> tuple[NotedFinding, ...]:
        """Give each finding the time since which it is known to be open."""
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
    *,
    forecast: Forecast | None = None,
    capabilities: Capabilities | None = None,
    heap_limit: HeapLimit | None = None,
    mistakes: tuple[str, ...] = (),
) -> Observation:
    """Observe sizes, times and small files, and take the other findings from the record.

    Args:
        installation: None where it cannot be read; then all findings are from the record.
        gateway: None without an installation.
        history: the gateway's record.
        now_ms: wall clock.
        forecast: of sizes alone; None where they prove nothing.
        capabilities: of the release that runs, else starts next; None where it was not found out.
        heap_limit: likewise, of its heap.
        mistakes: in our own settings.
    """
    inputs = Inputs()
    if installation is not None and gateway is not None:
        inputs = look_quickly(
            installation,
            gateway,
            read_forms(installation),
            root=history.workspace.home.root,
            now_ms=now_ms,
            capabilities=capabilities,
            heap_limit=heap_limit,
        )
        inputs = replace(inputs, forecast=forecast)
    inputs = replace(inputs, mistakes=mistakes or None)
    return recall_from(history, Observation(inputs, find_all(inputs)))


def recall_from(history: History, observation: Observation) -> Observation:
    """Add the findings on record that were not looked for.

    A record that cannot be read adds none.
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
