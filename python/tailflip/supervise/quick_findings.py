"""What a guard finds beside its own work: all that sizes, names and small files tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.diagnose.findings.registry import find_all
from tailflip.observe.records.forms import read_forms
from tailflip.stores.quick_look import look_quickly

if TYPE_CHECKING:
    from tailflip.flow.findings import Finding
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.history import History
    from tailflip.observe.installation import Installation


def note_quick_findings(
    history: History, installation: Installation, gateway: Gateway, now_ms: int
) -> tuple[Finding, ...]:
    """Look without reading a store, and have the record agree; returns what is new.

    Args:
        history: the gateway's record.
        installation: where to look.
        gateway: whether one lives there.
        now_ms: wall clock.

    Raises:
        TailflipError: the record cannot be used.
    """
    inputs = look_quickly(
        installation,
        gateway,
        read_forms(installation),
        root=history.workspace.home.root,
        now_ms=now_ms,
    )
    looked = find_all(inputs)
    known = {(each.finding.code, each.finding.subject) for each in history.findings.read()}
    history.findings.note(looked.findings, now_ms, looked.codes)
    return tuple(each for each in looked.findings if (each.code, each.subject) not in known)
