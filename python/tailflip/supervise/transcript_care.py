"""Cares for transcripts before a start: writes headers anew, slims the deadly, tells the heavy.

No start is refused for a transcript: the other sessions do not suffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import TailflipError
from tailflip.base.units import format_bytes
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.plan.transcripts import Allowed, Remedy, Weight, choose_remedy, weigh
from tailflip.reconcile.headers.headless import heal_header
from tailflip.transcripts.choice import find_refusal
from tailflip.transcripts.slim import forecast, slim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.flow.observed import Transcript, Transcripts
    from tailflip.observe.installation import Installation
    from tailflip.supervise.admission import Admission, Start
    from tailflip.supervise.context import GuardedGateway

_LOST = "the next message to its session replaces it by an empty one"
_BY_HAND = "stop the gateway, then `tailflip reconcile headers --apply`"
_WORDS = {
    Weight.TOO_LONG: "Node cannot read it: each message to its session fails",
    Weight.DEADLY: "the gateway may die of the next message to its session",
    Weight.HUGE: "the gateway may answer nothing for seconds at a message to its session",
}
_LOOK = "`tailflip slim --all` shows what can go"


def care(
    gateway: GuardedGateway,
    at: Installation,
    transcripts: Iterable[Transcripts],
    found: Admission,
    start: Start,
) -> None:
    """Write headers anew and slim what is deadly, where the settings allow it; note the rest.

    Args:
        gateway: whose start it is.
        at: its installation.
        transcripts: the survey; heads were read only where the release destroys a headless one.
        found: takes the notes and the actions.
        start: with the heap of the gateway that starts; with `hands_off` nothing is written.
    """
    for folder in transcripts:
        for each in folder.headless or ():
            _write_header(gateway, at, each, found, hands_off=start.hands_off)
        for each in folder.largest:
            if weigh(each.size_bytes, start.limit.bytes) is not Weight.LIGHT:
                _lighten(gateway, at, each, found, start)


def _lighten(
    gateway: GuardedGateway, at: Installation, each: Transcript, found: Admission, start: Start
) -> None:
    """Slim a transcript that would kill the gateway, or that Node cannot read; else tell it."""
    weight = weigh(each.size_bytes, start.limit.bytes)
    what = f"transcript of {format_bytes(each.size_bytes)}: {each.path}: {_WORDS[weight]}"
    try:
        living = read_gateway(at, gateway.release.env)
        refusal = find_refusal(each.path, at, living, clock.now_ms())
        allowed = Allowed(may_write=refusal is None, slims=_may_slim(start, weight))
        asks = allowed.slims and allowed.may_write and weight is not Weight.HUGE
        remedy = choose_remedy(
            each.size_bytes,
            forecast(each.path).bytes_after if asks else None,
            start.limit.bytes,
            capabilities=start.capabilities,
            allowed=allowed,
        )
        if remedy is not Remedy.SLIM:
            found.notes.append(f"{what}; {_LOOK}" if refusal is None else f"{what}; {refusal}")
            return
        report = slim(
            each.path,
            workspace=gateway.history.workspace,
            now_ms=clock.now_ms(),
            state_dir=at.state_dir,
            gateway=living,
        ).report
    except (TailflipError, OSError) as e:
        found.notes.append(f"{what}; it could not be slimmed: {e}")
        return
    left = format_bytes(report.bytes_after)
    found.notes.append(f"{what}; slimmed to {left}; undo: {report.undo}")
    found.mended = (*found.mended, report.action_id)


def _may_slim(start: Start, weight: Weight) -> bool:
    """Say whether the settings allow it; a death foretold needs figures of this very release."""
    heal = start.heal
    is_sure = (
        weight is Weight.TOO_LONG or start.capabilities.is_measured or start.died_of_memory > 0
    )
    return heal.enabled and heal.transcripts and is_sure and not start.hands_off


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
