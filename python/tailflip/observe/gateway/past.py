"""Finds out how the last life ended when tailflip did not see its exit.

`gate` becomes the gateway and `preflight` runs before it, so neither sees an exit. Four witnesses
are asked, for each alone is not enough: our ledger (a life without an end whose process is gone),
the lock that a clean exit removes and a kill leaves, a report of Node, and systemd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Asked, Clues, LifeMode
from tailflip.observe.gateway.liveness import DeadOwner, read_dead_lock
from tailflip.observe.gateway.process import is_alive
from tailflip.observe.host.nodereport import NodeReport, find_report, find_report_dirs
from tailflip.observe.host.systemd import ServiceEnd, find_unit, read_service_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.lives import Life
    from tailflip.observe.installation import Installation

# In these lives tailflip was the parent: systemd saw the end of tailflip, not of the gateway.
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class _Witnesses:
    """The answer of each witness; None where it says nothing."""

    lock: DeadOwner | None
    report: NodeReport | None
    service: ServiceEnd | None
    unit: str


def find_past_clues(
    installation: Installation,
    env: Mapping[str, str],
    last: Life | None,
    now_ms: int,
    service: str | None,
) -> tuple[Clues, tuple[str, ...]] | None:
    """Gather clues to the end of the last life, with notes on how they are known.

    Args:
        installation: whose gateway it was.
        env: the gateway's environment.
        last: the newest life in our ledger, None when there is none.
        now_ms: milliseconds since the epoch.
        service: unit that runs the gateway, None to find out.

    Returns:
        None when the last end was clean, has been judged before, is still to come, or when
        nothing is known. In the clues, `stderr_tail` may hold secrets; the notes quote none of it.
    """
    if last is not None and last.ended_ms is None and _lives(last):
        return None
    seen = _ask(installation, env, last, now_ms, service)
    notes = tuple(_tell(seen, last))
    if not notes:
        return None
    end = seen.service or ServiceEnd()
    is_open = last is not None and last.ended_ms is None
    ended_ms = seen.report.written_ms if seen.report else end.at_ms
    started_ms = last.started_ms if last is not None and is_open else None
    if started_ms is None and seen.lock is not None:
        started_ms = seen.lock.created_ms
    uptime_s = (
        max(0.0, (ended_ms - started_ms) / 1000)
        if ended_ms is not None and started_ms is not None
        else None
    )
    clues = Clues(
        exit_code=end.exit_code,
        signal=end.signal,
        uptime_s=uptime_s,
        was_ready=last is not None and is_open and last.ready_ms is not None,
        asked=Asked.SERVICE_MANAGER if end.asked else None,
        stderr_tail=end.tail,
        oom_kills=end.oom_kills if seen.service is not None else None,
        oomd=end.oomd,
        heap_report=seen.report.trigger if seen.report else None,
        peak_rss_bytes=last.peak_rss_bytes if last is not None and is_open else None,
        began_ms=started_ms,
    )
    return clues, notes


def _ask(
    installation: Installation,
    env: Mapping[str, str],
    last: Life | None,
    now_ms: int,
    service: str | None,
) -> _Witnesses:
    """Ask each witness about the time since the last life began, or since it was judged."""
    since_ms = now_ms - _DAY_MS
    if last is not None:
        since_ms = last.started_ms if last.ended_ms is None else last.ended_ms
    lock = read_dead_lock(installation, env)
    if lock is not None and (lock.before_boot or _is_of_an_older_life(lock, last)):
        lock = None  # a power cut is no failure of the gateway
    report = None
    if last is not None or lock is not None:
        pids = {last.pid, last.worker_pid} if last is not None else set()
        known = {pid for pid in (*pids, lock.pid if lock else None) if pid is not None}
        dirs = find_report_dirs(env, last.command if last else (), installation.state_dir)
        began_ms = since_ms if last is not None or lock is None else lock.created_ms
        report = find_report(dirs, began_ms, known)
    unit = find_unit(env, service)
    end = read_service_end(unit, env, since_ms) if unit is not None else None
    if end is not None and last is not None and last.mode is LifeMode.RUN:
        end = ServiceEnd(oom_kills=end.oom_kills, oomd=end.oomd, result=end.result, tail=end.tail)
    return _Witnesses(lock, report, end, unit.name if unit is not None else "")


def _tell(seen: _Witnesses, last: Life | None) -> list[str]:
    """List the evidence for an end that was not clean; empty when there is none."""
    notes = []
    if seen.report is not None:
        notes.append(f"node report {seen.report.path}: {seen.report.trigger}")
    if how := _tell_service(seen):
        notes.append(f"systemd on {seen.unit}: {how}")
    if seen.lock is not None:
        notes.append(
            f"lock {seen.lock.path} was left by pid {seen.lock.pid}: it was killed or aborted"
        )
    if notes and last is not None and last.ended_ms is None and last.pid is not None:
        notes.append(f"ledger: life {last.id} has no end, and its process {last.pid} is gone")
    return notes


def _tell_service(seen: _Witnesses) -> str:
    """Describe the end that systemd saw; a killed helper of a gateway that ended well is none."""
    end = seen.service
    if end is None or (end.exit_code is None and end.signal is None and seen.lock is None):
        return ""
    words = (
        f"exit code {end.exit_code}" if end.exit_code is not None else "",
        f"signal {end.signal}" if end.signal is not None else "",
        f"{end.oom_kills} killed for want of memory" if end.oom_kills else "",
        "killed by systemd-oomd" if end.oomd else "",
        f"result {end.result}" if end.result else "",
        "after it was asked to stop" if end.asked else "",
    )
    return ", ".join(word for word in words if word)


def _is_of_an_older_life(lock: DeadOwner, last: Life | None) -> bool:
    if last is None:
        return False
    if last.ended_ms is not None:
        return lock.created_ms < last.ended_ms
    return lock.created_ms < last.started_ms and lock.pid not in (last.pid, last.worker_pid)


def _lives(last: Life) -> bool:
    """Say whether a process of this life still lives; a boot ends all."""
    if last.boot_id is not None and last.boot_id != platform_calls.here.boot_id():
        return False
    known = ((last.pid, last.pid_ticks), (last.worker_pid, last.worker_ticks))
    return any(pid is not None and is_alive(pid, ticks) for pid, ticks in known)
