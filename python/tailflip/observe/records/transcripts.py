"""Reads the locks beside transcripts: the strongest sign of a run in progress.

Source: `<sessionId>.jsonl.lock`, JSON with `pid` and, on Linux, `starttime`. Cron writes
its transcripts below the state directory even where `session.store` is elsewhere, so
`find_folders` lists both places.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.observed import TranscriptLock
from tailflip.observe.gateway.lock_owner import owner_lives, read_owner
from tailflip.observe.records.runlog import list_folder

if TYPE_CHECKING:
    from tailflip.flow.lives import Life
    from tailflip.flow.observed import Gateway, Store
    from tailflip.observe.installation import Installation

_LOCK_SUFFIX = ".jsonl.lock"
_LOCK_STALE_MS = 30 * 60_000  # then the gateway itself removes a transcript lock


def find_folders(installation: Installation, store: Store) -> tuple[Path, ...]:
    """List the folders that may hold transcripts of a store's sessions."""
    agents = installation.agents if store.agent_id is None else (store.agent_id,)
    folders = {Path(os.path.realpath(store.path)).parent}
    folders |= {installation.state_dir / "agents" / agent / "sessions" for agent in agents}
    return tuple(sorted(folders))


def read_locks(
    installation: Installation, store: Store, gateway: Gateway, now_ms: int
) -> dict[str, TranscriptLock]:
    """Read every transcript's lock that may have a living owner, by session id."""
    found: dict[str, TranscriptLock] = {}
    for folder in find_folders(installation, store):
        for path in list_folder(folder, _LOCK_SUFFIX, []):
            held = _read_lock(path, gateway, now_ms)
            if held.alive is False:
                continue  # counts as no lock; dead processes may have left any number
            for session in read_session_ids(path.name[: -len(_LOCK_SUFFIX)]):
                found.setdefault(session, held)
    return found


def read_left_locks(installation: Installation, store: Store, life: Life) -> frozenset[str]:
    """Read whose transcripts the process of a life, which is dead, has left locked."""
    pids = {life.pid, life.worker_pid} - {None}
    found: set[str] = set()
    for folder in find_folders(installation, store):
        for path in list_folder(folder, _LOCK_SUFFIX, []):
            owner = read_owner(path)
            if owner is not None and owner.pid in pids and owner.changed_ms >= life.started_ms:
                found |= read_session_ids(path.name[: -len(_LOCK_SUFFIX)])
    return frozenset(found)


def read_written_ms(folders: tuple[Path, ...], session_id: str) -> int | None:
    """Read the time when a session's transcript was last written; None if there is none."""
    if not session_id or "/" in session_id or "\0" in session_id:
        return None
    for folder in folders:
        try:
            # `Path` takes longer than the stat, and there may be a million sessions.
            return os.stat(f"{folder}/{session_id}.jsonl").st_mtime_ns // 1_000_000  # noqa: PTH116
        except OSError:
            continue
    return None


def _read_lock(path: Path, gateway: Gateway, now_ms: int) -> TranscriptLock:
    """Read a transcript's lock if it proves life, or is young and may (`alive` None)."""
    try:
        owner = read_owner(path)
    except OSError:
        owner = None
    if owner is None:
        return TranscriptLock(None, alive=False)
    in_doubt = None if now_ms - owner.changed_ms < _LOCK_STALE_MS else False
    lives = owner_lives(owner)
    # The pids of a hidden gateway (in a container) mean nothing here.
    if lives is None or (lives is False and gateway.alive is None):
        return TranscriptLock(owner.pid, in_doubt)
    return TranscriptLock(owner.pid, lives)


def read_session_ids(stem: str) -> set[str]:
    """List the sessions a transcript may belong to: plain, `<id>-topic-<t>`, `<time>_<id>`."""
    return {stem, stem.partition("-topic-")[0], stem.rpartition("_")[2]}
