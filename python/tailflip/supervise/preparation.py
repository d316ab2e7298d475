"""Everything that is done to a gateway's files before a start: look, heal, reconcile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.errors import TailflipError
from tailflip.flow.lives import Waiting
from tailflip.flow.outcomes import Finding
from tailflip.observe.records.cron import read_cron_store
from tailflip.supervise.admission import Start, admit

if TYPE_CHECKING:
    from tailflip.base.progress import Progress
    from tailflip.flow.outcomes import Report
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import GuardedGateway


def prepare_start(
    gateway: GuardedGateway,
    *,
    died_of_memory: int = 0,
    on_progress: Progress | None = None,
) -> Admission:
    """Look, heal and answer whether the gateway may start.

    Args:
        gateway: whose start it is.
        died_of_memory: how often in a row it just died of memory.
        on_progress: may raise, to stop.
    """
    limit_bytes, source = gateway.find_heap_limit()
    start = Start(
        env=gateway.release.env,
        capabilities=gateway.release.capabilities,
        limit_bytes=limit_bytes,
        limit_source=source,
        heal=gateway.config.heal,
        state_dir=gateway.config.gateway.state_dir,
        profile=gateway.profile,
        died_of_memory=died_of_memory,
    )
    found = admit(start, home=gateway.home, disk=gateway.disk, on_progress=on_progress)
    if found.go and (found.claim_running or _has_markers(gateway)):
        _reconcile(gateway, found, on_progress)
    return found


@dataclass(frozen=True)
class Refusal:
    """Why a gateway is not started, and what for it waits."""

    reason: str
    hint: str
    waiting: Waiting
    alert: bool


def explain_refusal(gateway: GuardedGateway, admission: Admission | None) -> Refusal | None:
    """Say why the gateway may not start now, by its stores or another gateway; None if it may.

    Args:
        gateway: whose start it is.
        admission: None if we failed to look: that keeps no gateway down.
    """
    if admission is not None and not admission.go:
        reason, hint = admission.reason, admission.hint or ""
        finding = Finding("start-refused", "error", gateway.name, reason, hint)
        gateway.record.note("start-refused", finding)
        return Refusal(reason, hint, admission.waiting, alert=True)
    gateway.record.note("start-refused", None)
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


def log_admission(admission: Admission) -> None:
    """Log what was found before a start, and what was done."""
    for note in admission.notes:
        log.info("note", text=note)
    for report in admission.reports:
        log.warning(
            f"store {report.kind} done",
            path=report.store,
            before_bytes=report.bytes_before,
            after_bytes=report.bytes_after,
            **_count_entries(report),
            took_s=report.took_s,
            undo=report.undo,
        )


def _has_markers(gateway: GuardedGateway) -> bool:
    installation = gateway.locate()
    if installation is None:
        return False
    jobs = read_cron_store(installation.cron_store).jobs
    return any(job.running_at_ms is not None for job in jobs)


def _reconcile(gateway: GuardedGateway, found: Admission, on_progress: Progress | None) -> None:
    """Make the ledgers agree about runs of a dead gateway, while it is the moment for it."""
    # A gateway that ended well left nothing to mend, and its start should not wait for this.
    from tailflip.reconcile.before_start import mend  # noqa: PLC0415

    try:
        mended = mend(
            gateway.release.env,
            gateway.config,
            home=gateway.home,
            disk=gateway.disk,
            capabilities=gateway.release.capabilities,
            state_dir=gateway.config.gateway.state_dir,
            profile=gateway.profile,
            on_progress=on_progress,
        )
        found.notes += mended.notes
        found.held_jobs = mended.held_jobs
        found.mended = mended.actions
    except (TailflipError, OSError) as e:
        found.notes.append(f"ledgers were not reconciled: {e}")


def _count_entries(report: Report) -> dict[str, int | str]:
    if report.kind == "salvage":
        # What lies in damage, or behind a cut, can only be counted as far as it can be read.
        left = report.entries_left
        told = f"at least {left}" if left or report.warnings else 0
        return {"entries_kept": report.entries_after, "entries_left_behind": told}
    return {"entries_removed": report.entries_before - report.entries_after}
