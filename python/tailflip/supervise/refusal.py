"""Explains why `run` does not start a gateway now, and for which change it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.conditions import RefusedStart
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Waiting
from tailflip.supervise.noted import note

if TYPE_CHECKING:
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import GuardedGateway


@dataclass(frozen=True)
class Refusal:
    """The reason why a gateway is not started, and the change to wait for."""

    reason: str
    hint: str
    waiting: Waiting
    alert: bool


def explain_refusal(gateway: GuardedGateway, admission: Admission | None) -> Refusal | None:
    """Explain a refusal by stores or another gateway; None if the gateway may start.

    Args:
        gateway: whose start it is.
        admission: None if our look failed: the gateway may start all the same.
    """
    if admission is not None and not admission.go:
        reason, hint = admission.reason, admission.hint or ""
        note(gateway, Inputs(refused_starts=(RefusedStart(gateway.name, reason, hint),)))
        return Refusal(reason, hint, admission.waiting, alert=True)
    note(gateway, Inputs(refused_starts=()))
    other = gateway.find_other()
    if other is None:
        return None
    reason = f"another gateway is there: {other.evidence}" if other.alive else other.evidence
    hint = (
        "stop it, and ours is started; or guard it as it is with `tailflip watch`"
        if other.alive
        else "stop who holds it, and ours is started; or give the gateway another port"
    )
    return Refusal(reason, hint, Waiting.OTHER_INSTANCE, alert=False)
