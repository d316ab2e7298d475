"""What can be wrong around the stores: the disk, the port, the files beside them, the jobs.

As in `rules`: one function a thing, values in, findings out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.flow.numbers import KeyKind
from tailflip.flow.outcomes import Finding
from tailflip.plan.policy import DropKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.diagnose.findings.observed import Observed
    from tailflip.flow.numbers import Tally

_RUN_KIND = KeyKind.CRON_RUN
# What a person may name as a whole, with the age that a hint proposes.
_DISPOSABLE: dict[str, str] = {
    KeyKind.SUBAGENT: f"{DropKind.SUBAGENT} --older-than 7d",
    KeyKind.DREAM: f"{DropKind.DREAM} --older-than 2d",
}
_MANY_ENTRIES = 200
_MANY_FILES = 1_000
_MANY_BYTES = 100_000_000
_SHOWN = 10
# They are ended by `reconcile`; whatever else says "running" is a chat, and left to the gateway.
_ENDED_BY_US = (KeyKind.CRON_BASE, KeyKind.SUBAGENT)


def find_scarce_disk(observed: Observed) -> Iterator[Finding]:
    """The next save fails for want of room, and the gateway dies of it."""
    for space in observed.spaces:
        if space.is_scarce:
            yield Finding(
                "disk-full",
                "error",
                str(space.path),
                (
                    f"its file system has room for {space.free_files} more files"
                    if space.lacks_files
                    else f"{format_bytes(space.free_bytes)} of {format_bytes(space.total_bytes)} "
                    "are free on its file system"
                )
                + ": nothing can be saved there",
                "free some room; `tailflip inspect` shows what lies beside the stores",
            )


def find_stranger(observed: Observed) -> Iterator[Finding]:
    """A program that is no gateway holds the gateway's port."""
    listener = observed.listener
    if listener is not None and listener.is_gateway is False:
        yield Finding(
            "port-taken",
            "error",
            f"port {observed.port}",
            f"port {observed.port} is held by {listener}, which is no gateway: "
            "no gateway can start on it",
            f"stop pid {listener.pid}, or give the gateway another port (gateway.port)",
        )


def find_filling_kind(observed: Observed) -> Iterator[Finding]:
    """Entries that nobody needs are most of a store, and no rule removes them."""
    for each in observed.stores:
        numbers = each.numbers
        if numbers is None:
            continue
        for kind in numbers.kinds:
            if kind.name not in _DISPOSABLE or kind.entries < _MANY_ENTRIES:
                continue
            if kind.entries * 2 > numbers.entries:
                yield Finding(
                    "kind-fills-store",
                    "warning",
                    str(each.store.path),
                    f"{format_count(kind.entries)} of {format_count(numbers.entries)} entries are "
                    f"of one kind: {kind.name}; no rule removes them by itself",
                    f"`tailflip compact --drop-kind {_DISPOSABLE[kind.name]}` shows what can go",
                )


def find_chats_running(observed: Observed) -> Iterator[Finding]:
    """Entries that are no cron runs say "running", and no gateway is."""
    if observed.gateway.alive is not False:
        return
    for each in observed.stores:
        running = [t for t in each.numbers.running if t.name != _RUN_KIND] if each.numbers else []
        if not running:
            continue
        ours = [tally for tally in running if tally.name in _ENDED_BY_US]
        chats = [tally for tally in running if tally.name not in _ENDED_BY_US]
        steps = []
        if ours:
            steps.append("`tailflip reconcile --apply` ends sub-agents and base entries")
        if chats:
            steps.append("chats are left to the gateway: some releases resume by that mark")
        yield Finding(
            "chats-running",
            "warning",
            str(each.store.path),
            f"{format_count(sum(t.entries for t in running))} entries that are no cron runs say "
            '"running", but no gateway is',
            "; ".join(steps),
            tuple(_tell(tally) for tally in running),
        )


def find_folder_litter(observed: Observed) -> Iterator[Finding]:
    """Files that no entry names, and copies from before repairs, have become many or large."""
    for folder in observed.folders:
        files = sum(kind.files for kind in folder.litter)
        size_bytes = sum(kind.bytes for kind in folder.litter)
        if files >= _MANY_FILES or size_bytes >= _MANY_BYTES:
            yield Finding(
                "folder-litter",
                "warning",
                str(folder.path),
                f"{format_counted(files, 'file')} with {format_bytes(size_bytes)} are of no use to "
                "the gateway any more, and no release removes all of them",
                "`tailflip inspect` shows the folder by kind; move what is old elsewhere while "
                "the gateway is stopped",
                tuple(
                    f"{kind.name}: {format_counted(kind.files, 'file')}, {format_bytes(kind.bytes)}"
                    for kind in folder.litter
                ),
            )


def find_cron_temporaries(observed: Observed) -> Iterator[Finding]:
    """Killed processes left half-written cron stores."""
    left = observed.cron_temporaries
    if left:
        yield Finding(
            "leftovers",
            "warning",
            observed.cron_store,
            f"{format_counted(len(left), 'file')} of killed writers beside the cron store, "
            f"{format_bytes(sum(each.size_bytes for each in left))}",
            "they are safe to remove while the gateway is stopped and the cron store is whole",
            tuple(str(each.path) for each in left[:_SHOWN]),
        )


def find_twin_jobs(observed: Observed) -> Iterator[Finding]:
    """The same job is there more than once, and each of them runs."""
    enabled = [job for job in observed.jobs if job.enabled and job.does]
    counts = Counter(job.does for job in enabled)
    names = {job.does: job.name or job.job_id for job in reversed(enabled)}
    twins = [(names[does], count) for does, count in counts.items() if count > 1]
    if twins:
        yield Finding(
            "jobs-twin",
            "warning",
            observed.cron_store,
            f"{format_counted(len(twins), 'job')} enabled more than once, with the same name, "
            f"schedule and work: {format_counted(sum(n for _, n in twins), 'run')} where "
            f"{format_count(len(twins))} would do",
            "`openclaw cron list`, then `openclaw cron rm ID` for those that are too many",
            tuple(f"{name}: {format_count(count)} times" for name, count in twins[:_SHOWN]),
        )


def _tell(tally: Tally) -> str:
    return f"{tally.name}: {format_count(tally.entries)}"
