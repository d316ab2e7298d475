"""Prepares a gateway's files before a start: look, heal, reconcile."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.errors import TailflipError
from tailflip.diagnose.causes import WANTED
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.facts import SURVEY_FACT
from tailflip.observe.records.reading import read_jobs
from tailflip.observe.records.transcript_files import survey_transcripts
from tailflip.plan.transcripts import Weight, weigh
from tailflip.stores.archive_limits import keep_limits
from tailflip.supervise.admission import Start, admit

if TYPE_CHECKING:
    from tailflip.base.progress import Progress
    from tailflip.flow.outcomes import Report
    from tailflip.observe.installation import Installation
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import GuardedGateway

_DONE = {ActionKind.COMPACT.value: "compacted", ActionKind.SALVAGE.value: "salvaged"}


def prepare_start(
    gateway: GuardedGateway,
    *,
    died_of_memory: int = 0,
    on_progress: Progress | None = None,
    hands_off: bool = False,
) -> Admission:
    """Look, heal, and say whether the gateway may start.

    Args:
        gateway: whose start it is.
        died_of_memory: deaths of memory in a row up to now.
        on_progress: may raise, to stop.
        hands_off: during a maintenance nothing is healed, and a start is refused only where it
            would destroy data.
    """
    start = describe_start(gateway, died_of_memory)
    start = replace(start, hands_off=hands_off)
    found = admit(start, workspace=gateway.history.workspace, on_progress=on_progress)
    at = gateway.locate()
    if found.go:
        _care_for_transcripts(gateway, at, found, start)
    if hands_off:
        return found
    if found.go and (found.claim_running or _has_markers(at) or _was_at_work(gateway)):
        _reconcile(gateway, found, on_progress)
    _note_survey(gateway, found)
    found.notes += keep_limits(gateway.history.workspace, gateway.config.archive, clock.now_ms())
    return found


def _note_survey(gateway: GuardedGateway, found: Admission) -> None:
    """Put what was counted on record: metrics are not to survey a store for each scrape."""
    if found.after is None:
        return
    stores = []
    for agent, every in found.surveyed.items():
        kinds, runs = Counter[str](), Counter[str]()
        for numbers in every:
            kinds.update({tally.name: tally.entries for tally in numbers.kinds})
            for job in numbers.jobs:
                runs.update(job.status)
        stores.append({"agent": agent, "kinds": dict(kinds), "runs": dict(runs)})
    told = {"at_ms": clock.now_ms(), "heap_bytes": found.after.heap_bytes, "stores": stores}
    with suppress(TailflipError):  # metrics lack it, and nothing else does
        gateway.history.facts.put(SURVEY_FACT, told)


def _care_for_transcripts(
    gateway: GuardedGateway, at: Installation | None, found: Admission, start: Start
) -> None:
    """Look at transcripts; one without a header is mended, a deadly one slimmed."""
    can, limit_bytes = start.capabilities, start.limit.bytes
    if at is None or not can.may_read_transcripts:
        return
    seen = survey_transcripts(at, reads_heads=can.destroys_headless)
    if any(
        folder.headless
        or any(weigh(each.size_bytes, limit_bytes) is not Weight.LIGHT for each in folder.largest)
        for folder in seen
    ):
        # Most starts find every transcript whole and light.
        from tailflip.supervise.transcript_care import care  # noqa: PLC0415

        care(gateway, at, seen, found, start)


def describe_start(gateway: GuardedGateway, died_of_memory: int = 0) -> Start:
    """Describe the start that is to be judged."""
    return Start(
        env=gateway.release.env,
        capabilities=gateway.release.capabilities,
        limit=gateway.find_heap_limit(),
        heal=gateway.config.heal,
        state_dir=gateway.config.gateway.state_dir,
        profile=gateway.profile,
        died_of_memory=died_of_memory,
        is_in_doubt=_is_in_doubt(gateway),
    )


def _is_in_doubt(gateway: GuardedGateway) -> bool:
    """Say whether no end on record proves that the gateway could start on its stores."""
    last = next(iter(gateway.history.lives.read(1)), None)
    return last is None or last.death is None or last.death.cause not in WANTED


def log_admission(admission: Admission) -> None:
    """Log the findings before a start, and the actions done."""
    for note in admission.notes:
        log.info(note)
    for report in admission.reports:
        log.warning(
            f"store {_DONE.get(report.kind, report.kind)}",
            path=report.store,
            before_bytes=report.bytes_before,
            after_bytes=report.bytes_after,
            **_count_entries(report),
            took_s=report.took_s,
            undo=report.undo,
        )


def _has_markers(installation: Installation | None) -> bool:
    if installation is None:
        return False
    jobs = read_jobs(installation).jobs
    return any(job.running_at_ms is not None for job in jobs)


def _was_at_work(gateway: GuardedGateway) -> bool:
    """Say whether the last gateway died at work: what it was at may have to be held."""
    last = gateway.record.read_last_life()
    return last is not None and bool(last.in_flight)


def _reconcile(gateway: GuardedGateway, found: Admission, on_progress: Progress | None) -> None:
    """Reconcile the ledgers about the runs of a dead gateway, while none is alive."""
    # A gateway that ended well left nothing to mend: spare its start this import.
    from tailflip.reconcile.before_start import mend  # noqa: PLC0415

    try:
        mended = mend(
            gateway.release.env,
            gateway.config,
            workspace=gateway.history.workspace,
            capabilities=gateway.release.capabilities,
            state_dir=gateway.config.gateway.state_dir,
            profile=gateway.profile,
            on_progress=on_progress,
        )
        found.notes += mended.notes
        found.held = mended.held
        if mended.held:
            log.warning(
                "what was in flight at each of the last deaths is held",
                held=mended.held,
                see="`tailflip release`",
            )
        found.mended = (*found.mended, *mended.actions)
    except (TailflipError, OSError) as e:
        found.notes.append(f"ledgers were not reconciled: {e}")


def _count_entries(report: Report) -> dict[str, int | str]:
    if report.kind == ActionKind.SALVAGE:
        # Entries in damage, or behind a cut, are counted as far as they can be read.
        left = report.entries_left
        told = f"at least {left}" if left or report.warnings else 0
        return {"entries_kept": report.entries_after, "entries_left_behind": told}
    return {"entries_removed": report.entries_before - report.entries_after}
