"""Writes the headers of transcripts anew that have lost theirs, of a stopped gateway."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import StoreInvalid
from tailflip.base.units import format_counted
from tailflip.observe.records.transcript_files import survey_transcripts
from tailflip.reconcile.context import Step, StepKind
from tailflip.reconcile.headers.headless import heal_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.reconcile.context import Reconciliation, Result


def write_headers(work: Reconciliation) -> None:
    """Find transcripts without a header, and write it anew."""
    scene, result = work.scene, work.result
    if not work.terms.capabilities.may_read_transcripts:
        return
    transcripts = survey_transcripts(scene.installation)
    result.inputs = replace(
        result.inputs, transcripts=transcripts, capabilities=work.terms.capabilities
    )
    found = [each for folder in transcripts for each in folder.headless or ()]
    if found and scene.gateway.alive is not False:
        many = format_counted(len(found), "transcript")
        result.notes.append(
            f"{many} without a header left alone: a gateway may be running "
            f"({scene.gateway.evidence}); stop it, and run this again"
        )
        return
    for each in found:
        with result.keeping_error(), _noting_what_is_left(result):
            healed = heal_header(
                each.path,
                scene.installation,
                scene.gateway,
                workspace=work.workspace,
                apply=work.terms.apply,
                now_ms=work.next_moment(),
            )
            result.steps.append(
                Step(
                    kind=StepKind.HEADERS,
                    subject=str(each.path),
                    counts={"headers written anew": 1},
                    words=(each.why,),
                    action_id=healed.action_id,
                    undo=healed.undo,
                )
            )
    if work.terms.apply and result.steps:  # what was mended is no finding any more
        result.inputs = replace(result.inputs, transcripts=survey_transcripts(scene.installation))


@contextmanager
def _noting_what_is_left(result: Result) -> Iterator[None]:
    """Note a transcript that is not clearly one: nobody can mend it, and the finding stands."""
    try:
        yield
    except StoreInvalid as e:
        result.notes.append(f"{e.message}; {e.hint}" if e.hint else e.message)
