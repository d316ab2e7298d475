"""One function per thing that can be wrong; each takes what was observed and no more.

A new reason to worry is one more function here and one more line in `_RULES`. Codes
are stable. An error loses data or keeps the gateway down; a warning is on the way there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_span, format_time
from tailflip.diagnose.findings import surroundings
from tailflip.flow.outcomes import Finding
from tailflip.flow.values import STRING_LIMIT_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailflip.diagnose.findings.observed import Observed
    from tailflip.flow.numbers import JobNumbers
    from tailflip.flow.observed import (
        Leftover,
        ObservedStore,
    )
    from tailflip.flow.outcomes import Forecast

RAPID_INTERVAL_MS = 60_000
RAPID_RUNS = 10
_STRUCK_MS = 10_000  # a run may just have started; its job is not stuck yet


def find_problems(observed: Observed) -> tuple[Finding, ...]:
    """Apply every rule; errors come first, otherwise in the order of the rules."""
    found = [finding for rule in _RULES for finding in rule(observed)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


def find_too_big(observed: Observed) -> Iterator[Finding]:
    """A store above V8's string limit counts as empty, and the next write replaces it."""
    for each in observed.stores:
        if each.size_bytes is not None and each.size_bytes > STRING_LIMIT_CHARS:
            yield Finding(
                "store-too-big",
                "error",
                str(each.store.path),
                f"store has {format_bytes(each.size_bytes)}, more than the "
                f"{format_bytes(STRING_LIMIT_CHARS)} that Node can read: "
                "the gateway takes it for empty and overwrites it",
                "do not start the gateway; run `tailflip compact --apply`",
            )


def find_damaged(observed: Observed) -> Iterator[Finding]:
    """A store that does not parse counts as empty, and the next write replaces it."""
    for each in observed.stores:
        if each.damaged:
            yield Finding(
                "store-invalid",
                "error",
                str(each.store.path),
                f"{each.error}; the gateway takes such a store for empty and overwrites it",
                "do not start the gateway; `tailflip compact` shows what can be saved",
                _describe(each.backups),
            )


def find_missing(observed: Observed) -> Iterator[Finding]:
    """A store is gone but its backups are there: rotated away and never written again."""
    for each in observed.stores:
        if each.error == "missing" and each.backups:
            yield Finding(
                "store-missing",
                "error",
                str(each.store.path),
                "store is missing beside backups of it: the gateway's rotation took it away "
                "and a write that changed nothing did not bring it back",
                "stop the gateway, then copy the newest backup back under the store's name",
                _describe(each.backups),
            )


def find_unreadable(observed: Observed) -> Iterator[Finding]:
    """A store that we could not look at."""
    for each in observed.stores:
        if not each.damaged and each.error not in (None, "missing"):
            yield Finding(
                "store-unreadable",
                "error",
                str(each.store.path),
                f"store could not be read: {each.error}",
                "run as the gateway's user; if the store is being written, look again",
            )


def find_kept(observed: Observed) -> Iterator[Finding]:
    """A store that a gateway has on record: told with what ends it, and never written."""
    for each in observed.kept:
        where = str(each.path)
        if each.is_changed:
            hint = (
                f"`tailflip restore {each.undo} --apply` puts back the bytes on record"
                if each.undo is not None
                else f"put the file back from a backup of yours; its SHA-256 must be {each.sha256}"
            )
            yield Finding(
                "retained-source-changed",
                "error",
                where,
                "a gateway has this store on record, and it was changed since: every start ends "
                'with exit 78, "Retained session migration source changed"',
                hint,
                (each.reason,),
            )
        elif each.waits:
            names = ", ".join(each.plugins) or "a plugin"
            yield Finding(
                "import-waits",
                "warning",
                where,
                f"the end of this store's import waits for plugins: {names}; until then the "
                "gateway keeps the file as it is, and so does tailflip",
                "`openclaw update repair`, then `openclaw doctor --fix`",
                (each.reason,),
            )
        else:
            code = "owner-unknown" if each.is_unknown else "store-on-record"
            yield Finding(code, "warning", where, f"left alone: {each.reason}", each.hint)


def find_heap_exhausted(observed: Observed) -> Iterator[Finding]:
    """The gateway is predicted to run out of heap while it loads its stores."""
    forecast = observed.forecast
    if forecast is not None and forecast.over and forecast.limit_bytes is not None:
        yield Finding(
            "heap-forecast",
            "error",
            observed.config_path,
            f"loading the stores needs about {format_bytes(forecast.heap_bytes)} of heap, "
            f"the gateway has {format_bytes(forecast.limit_bytes)}: it is expected to die",
            "run `tailflip compact` to see what can go",
            _describe_forecast(forecast),
        )


def find_heap_close(observed: Observed) -> Iterator[Finding]:
    """The prediction is within its own error of the limit: a few more runs decide."""
    forecast = observed.forecast
    if forecast is not None and forecast.close and forecast.limit_bytes is not None:
        share = 100 * forecast.heap_bytes / forecast.limit_bytes
        yield Finding(
            "heap-close",
            "warning",
            observed.config_path,
            f"loading the stores needs about {format_bytes(forecast.heap_bytes)} of heap, "
            f"{share:.0f} % of the {format_bytes(forecast.limit_bytes)} that the gateway has: "
            "it may die at its next start, or once the stores grow a little",
            "run `tailflip compact` to see what can go, before the gateway starts again",
            _describe_forecast(forecast),
        )


def _describe_forecast(forecast: Forecast) -> tuple[str, ...]:
    figures = f"{forecast.factor:g} bytes of heap per byte"
    if not forecast.release_known:
        figures += f", of the hungriest release that was measured: {forecast.doubt}"
    elif not forecast.measured:
        figures += ", of the nearest release that was measured; not measured for this one"
    return (f"limit from {forecast.source}", figures)


def find_rotation_trap(observed: Observed) -> Iterator[Finding]:
    """Enforced maintenance makes a store above the rotation size disappear."""
    for each in observed.stores:
        size_bytes = each.size_bytes or 0
        if observed.enforces and size_bytes > observed.rotate_bytes:
            yield Finding(
                "rotation-trap",
                "error",
                str(each.store.path),
                "session.maintenance.mode is enforce, and the store has "
                f"{format_bytes(size_bytes)}, above rotateBytes "
                f"{format_bytes(observed.rotate_bytes)}: the next write that changes nothing "
                "makes it disappear",
                "run `tailflip compact --apply`, and set session.maintenance.mode to warn",
            )


def find_stuck_runs(observed: Observed) -> Iterator[Finding]:
    """Entries claim to be running although their gateway is dead; it never corrects that."""
    if observed.gateway.alive is not False:
        return
    for each in observed.stores:
        stuck = [job for job in _jobs(each) if job.status.get("running")]
        if stuck:
            count = sum(job.status["running"] for job in stuck)
            hint = "`tailflip compact --apply` settles them by evidence"
            if not observed.knows_ends:
                hint = (
                    "how they ended stands in records that tailflip does not read yet: it leaves "
                    "them alone until they are past the retention"
                )
            yield Finding(
                "runs-stuck",
                "warning",
                str(each.store.path),
                f"{count} cron runs claim to be running, but no gateway is",
                hint,
                tuple(
                    f"{observed.name_job(job.job)}: {job.status['running']} of {job.runs}"
                    for job in stuck[:RAPID_RUNS]
                ),
            )


def find_rapid_jobs(observed: Observed) -> Iterator[Finding]:
    """A job runs again and again within seconds: a retry storm."""
    for each in observed.stores:
        for job in _jobs(each):
            interval_ms = measure_interval_ms(job)
            if interval_ms is not None and interval_ms < RAPID_INTERVAL_MS:
                yield Finding(
                    "job-rapid",
                    "warning",
                    observed.name_job(job.job),
                    f"{job.runs} runs, one every {format_span(interval_ms)} on average",
                    "look at the job's schedule and errors; disable it until it is repaired",
                    (f"in {each.store.path}",),
                )


def measure_interval_ms(job: JobNumbers) -> float | None:
    """Say how far apart a job's runs are on average; None for too few runs to tell."""
    if job.runs <= RAPID_RUNS or job.first_ms is None or job.last_ms is None:
        return None
    return (job.last_ms - job.first_ms) / (job.runs - 1)


def find_litter(observed: Observed) -> Iterator[Finding]:
    """Killed processes left locks and half-written files that nobody removes."""
    for each in observed.stores:
        if each.litter:
            # The only whole copy of a store may be what its writer had not renamed yet.
            is_needed = each.damaged or each.error is not None
            size_bytes = sum(old.size_bytes for old in each.litter)
            yield Finding(
                "leftovers",
                "warning",
                str(each.store.path),
                f"{_count_files(each.litter)} of killed writers beside the store, "
                f"{format_bytes(size_bytes)}",
                "keep them: one may hold what the store lost; `tailflip compact` looks into them"
                if is_needed
                else "they are safe to remove while the gateway is stopped",
                _describe(each.litter),
            )


def find_orphaned_markers(observed: Observed) -> Iterator[Finding]:
    """A job is marked as running, but its gateway is dead."""
    if observed.gateway.alive is not False:
        return
    for job in observed.jobs:
        if job.running_at_ms is not None and observed.now_ms - job.running_at_ms > _STRUCK_MS:
            yield Finding(
                "marker-orphaned",
                "warning",
                observed.name_job(job.job_id),
                f"job is marked as running since {format_time(job.running_at_ms)}, "
                "but no gateway is",
                "the gateway clears it at its next start; newer ones run the job again at once",
            )


def find_broken_jobs(observed: Observed) -> Iterator[Finding]:
    """The cron store does not parse, so the gateway's cron does not start."""
    if observed.jobs_problem is not None:
        yield Finding(
            "cron-store-invalid",
            "error",
            observed.cron_store,
            f"cron store cannot be read: {observed.jobs_problem}; no job will run",
            "compare it with jobs.json.bak beside it",
        )


def find_bad_retention(observed: Observed) -> Iterator[Finding]:
    """The retention is not what the user meant."""
    if observed.retention_problem is not None:
        yield Finding(
            "retention-invalid",
            "warning",
            observed.config_path,
            f"{observed.retention_problem}; the gateway silently takes 24h",
            'write a duration such as "24h", or false to keep finished runs',
        )


def _jobs(each: ObservedStore) -> tuple[JobNumbers, ...]:
    return each.numbers.jobs if each.numbers is not None else ()


def _count_files(files: tuple[Leftover, ...]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _describe(files: tuple[Leftover, ...]) -> tuple[str, ...]:
    return tuple(f"{old.path}: {format_bytes(old.size_bytes)}" for old in files)


_RULES: tuple[Callable[[Observed], Iterator[Finding]], ...] = (
    find_too_big,
    find_damaged,
    find_missing,
    find_unreadable,
    find_kept,
    find_heap_exhausted,
    find_heap_close,
    find_rotation_trap,
    find_broken_jobs,
    find_stuck_runs,
    find_rapid_jobs,
    find_orphaned_markers,
    find_litter,
    find_bad_retention,
    surroundings.find_scarce_disk,
    surroundings.find_stranger,
    surroundings.find_chats_running,
    surroundings.find_filling_kind,
    surroundings.find_twin_jobs,
    surroundings.find_folder_litter,
    surroundings.find_cron_temporaries,
)
