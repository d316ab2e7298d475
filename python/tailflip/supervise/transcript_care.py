"""Cares for transcripts before a start: headers are written anew, and heavy ones are told.

No start is refused for a transcript: the other sessions do not suffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import TailflipError
from tailflip.base.units import format_bytes
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.plan.transcripts import Weight, weigh
from tailflip.reconcile.headers.headless import heal_header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.flow.observed import Transcript, Transcripts
    from tailflip.observe.installation import Installation
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import GuardedGateway

_LOST = "the next message to its session replaces it by an empty one"
_BY_HAND = "stop the gateway, then `tailflip reconcile headers --apply`"
_WORDS = {
    Weight.TOO_LONG: "Node cannot read it: each message to its session fails",
    Weight.DEADLY: "the gateway may die of the next message to its session",
    Weight.HUGE: "the gateway may answer nothing for seconds at a message to its session",
}


def care(
    gateway: GuardedGateway,
    at: Installation,
    transcripts: Iterable[Transcripts],
    found: Admission,
    *,
    limit_bytes: int | None,
    hands_off: bool,
) -> None:
    """Write headers anew where the settings allow it, and note the rest.

    Args:
        gateway: whose start it is.
        at: its installation.
        transcripts: the survey; heads were read only where the release destroys a headless one.
        found: takes the notes and the actions.
        limit_bytes: the heap of the gateway that starts.
        hands_off: during a maintenance nothing is written.
    """
    for folder in transcripts:
        for each in folder.headless or ():
            _write_header(gateway, at, each, found, hands_off=hands_off)
        for each in folder.largest:
            words = _WORDS.get(weigh(each.size_bytes, limit_bytes))
            if words is not None:
                size = format_bytes(each.size_bytes)
                found.notes.append(f"transcript of {size}: {each.path}: {words}")


def _write_header(
    gateway: GuardedGateway,
    at: Installation,
    each: Transcript,
    found: Admission,
    *,
    hands_off: bool,
) -> None:
    what = f"transcript without a header: {each.path}"
    heal = gateway.config.heal
    if hands_off or not (heal.enabled and heal.salvage):
        why = "a maintenance is on" if hands_off else "heal.enabled or heal.salvage = false"
        found.notes.append(f"{what}: left as it is ({why}), and {_LOST}; {_BY_HAND}")
        return
    try:
        healed = heal_header(
            each.path,
            at,
            read_gateway(at, gateway.release.env),
            workspace=gateway.history.workspace,
            apply=True,
            now_ms=clock.now_ms(),
        )
    except (TailflipError, OSError) as e:
        hint = e.hint if isinstance(e, TailflipError) else None
        told = f"{what}: {e}; {_LOST}"
        found.notes.append(f"{told}; {hint}" if hint else told)
        return
    found.notes.append(f"{what}: {each.why}; written anew; undo: {healed.undo}")
    if healed.action_id is not None:
        found.mended = (*found.mended, healed.action_id)
