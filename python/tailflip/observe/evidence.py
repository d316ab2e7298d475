"""Proof of life and of death about the entries of one store, gathered before judging.

Dead is a run whose `finished` line stands in its job's run log. Alive is a session
whose transcript lock has a living owner, and whatever a sub-agent run without an end
refers to. A `status` in the store is no evidence: it sticks to `running` after a crash.
"""

from __future__ import annotations

import heapq
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.flow import Evidence, OverRun
from tailflip.observe.files import read_regular
from tailflip.observe.process import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow import Gateway, Store
    from tailflip.observe.installation import Installation

MAX_RUNS = 65_536  # what the engine's table holds
MAX_LINE_BYTES = 1 << 20
MAX_REGISTRY_BYTES = 32 << 20
_MAX_LOCK_BYTES = 64 << 10
_LOCK_SUFFIX = ".jsonl.lock"
_LOCK_STALE_MS = 30 * 60_000  # after which the gateway itself takes a transcript lock away
_RUN_KEY = re.compile(r"agent:([^:]+):cron:[^:]+:run:[^:]+")
_TIMED_OUT = re.compile(r"timed? ?out", re.IGNORECASE)
_STATUS = {"ok": "done", "error": "failed"}
_MAX_MS = 1 << 53


def read_evidence(
    installation: Installation, store: Store, gateway: Gateway, now_ms: int
) -> Evidence:
    """Gather what is known about a store's entries; reads only, and never fails for good.

    What could not be read is in `notes`, and proves nothing either way.
    """
    notes: list[str] = []
    return Evidence(
        gateway=gateway,
        over=_read_run_logs(installation.cron_store.parent / "runs", store.agent_id, notes),
        live_sessions=_read_live_sessions(installation, store, gateway, now_ms),
        protected_keys=_read_protected(installation.state_dir / "subagents" / "runs.json", notes),
        notes=tuple(notes),
    )


def _read_run_logs(folder: Path, agent: str | None, notes: list[str]) -> tuple[OverRun, ...]:
    """Read the ends of runs, the newest `MAX_RUNS` of them, in memory that this number bounds."""
    over: dict[str, OverRun] = {}
    broken = 0
    for path in _list(folder, ".jsonl", notes):
        try:
            for line in _read_lines(path):
                try:
                    run = _parse_line(line)
                except (ValueError, RecursionError):
                    broken += 1
                    continue
                if run is not None and _is_of(run.key, agent):
                    over[run.key] = max(run, over.get(run.key, run), key=_ended)
                    over = _keep_newest(over, 2 * MAX_RUNS)
        except OSError as error:
            notes.append(f"run log cannot be read: {path}: {error.strerror}")
    if broken:
        notes.append(f"{broken} broken lines in run logs were skipped")
    return tuple(_keep_newest(over, MAX_RUNS).values())


def _ended(run: OverRun) -> int:
    return run.ended_at_ms


def _keep_newest(over: dict[str, OverRun], limit: int) -> dict[str, OverRun]:
    """Cut down to the newest `MAX_RUNS` once there are more than `limit`; rarely, so cheaply."""
    if len(over) <= limit:
        return over
    return {run.key: run for run in heapq.nlargest(MAX_RUNS, over.values(), key=_ended)}


def _list(folder: Path, suffix: str, notes: list[str]) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix) and entry.is_file():
                    yield Path(entry.path)
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"folder cannot be read: {folder}: {error.strerror}")


def _read_lines(path: Path) -> Iterator[bytes]:
    """Yield complete lines; of a line beyond `MAX_LINE_BYTES` only empty bytes, as a broken one."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                yield b""
            elif line.strip():
                yield line


def _parse_line(line: bytes) -> OverRun | None:
    """Parse one line to the run that it proves ended, or None if it proves none.

    Raises:
        ValueError: it is broken.
    """
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not an object")  # noqa: TRY004 - about a line, not a caller
    key, status = raw.get("sessionKey"), _STATUS.get(str(raw.get("status")))
    if raw.get("action") != "finished" or not isinstance(key, str) or status is None:
        return None
    started, lasted, logged = (_ms(raw.get(name)) for name in ("runAtMs", "durationMs", "ts"))
    if not _RUN_KEY.fullmatch(key) or started is None:
        return None
    if lasted is None:
        if logged is None:
            return None
        lasted = max(0, logged - started)
    if status == "failed" and _TIMED_OUT.search(str(raw.get("error", ""))):
        status = "timeout"
    return OverRun(key, status, started + lasted, lasted)


def _ms(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_MS:
        return None
    return int(value)


def _is_of(key: str, agent: str | None) -> bool:
    match = _RUN_KEY.fullmatch(key)
    return agent is None or (match is not None and match[1] == agent)


def _read_live_sessions(
    installation: Installation, store: Store, gateway: Gateway, now_ms: int
) -> frozenset[str]:
    """Collect sessions whose transcript lock is held.

    Cron writes its transcripts below the state directory even where `session.store`
    is elsewhere, so both places are looked at.
    """
    agents = installation.agents if store.agent_id is None else (store.agent_id,)
    folders = {Path(os.path.realpath(store.path)).parent}
    folders |= {installation.state_dir / "agents" / agent / "sessions" for agent in agents}
    live: set[str] = set()
    for folder in folders:
        for path in _list(folder, _LOCK_SUFFIX, []):
            if _is_held(path, gateway, now_ms):
                live |= _session_ids(path.name[: -len(_LOCK_SUFFIX)])
    return frozenset(live)


def _is_held(path: Path, gateway: Gateway, now_ms: int) -> bool:
    """Say whether a transcript lock proves life; a young one in doubt does."""
    try:
        age_ms = now_ms - path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return False
    is_young = age_ms < _LOCK_STALE_MS
    try:
        payload = json.loads(read_regular(path, _MAX_LOCK_BYTES))
    except (OSError, ValueError, RecursionError):
        return is_young  # made, but its payload is not yet written
    pid = payload.get("pid") if isinstance(payload, dict) else None
    if type(pid) is not int:
        return is_young
    ticks = payload.get("starttime")
    if is_alive(pid, ticks if type(ticks) is int else None):
        return True
    # A gateway that we can not see (a container's) has pids that mean nothing to us.
    return gateway.alive is None and is_young


def _session_ids(stem: str) -> set[str]:
    """Name the sessions a transcript may belong to: plain, `<id>-topic-<t>`, `<time>_<id>`."""
    return {stem, stem.partition("-topic-")[0], stem.rpartition("_")[2]}


def _read_protected(path: Path, notes: list[str]) -> frozenset[str]:
    """Collect the keys that sub-agent runs without an end refer to."""
    try:
        root = json.loads(read_regular(path, MAX_REGISTRY_BYTES))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        notes.append(f"sub-agent registry cannot be read: {path}: {error.strerror}")
        return frozenset()
    except (ValueError, RecursionError):
        notes.append(f"sub-agent registry is not valid JSON: {path}: it protects nothing")
        return frozenset()
    runs = root.get("runs") if isinstance(root, dict) else None
    keys = (
        run.get(name)
        for run in (runs.values() if isinstance(runs, dict) else ())
        if isinstance(run, dict) and run.get("endedAt") is None
        for name in ("childSessionKey", "requesterSessionKey", "controllerSessionKey")
    )
    return frozenset(key for key in keys if isinstance(key, str) and key)
