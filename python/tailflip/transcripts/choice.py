"""Chooses transcripts by the names that people give, and says which may be changed now.

Beside a gateway that may live, only a session that rests may be changed: it is not locked, no
entry says that it runs, and nothing was written to it for half an hour. That is as long as the
gateway itself lets a run hold a transcript.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.durable import open_regular
from tailflip.base.errors import StoreInvalid, TailflipError, TryLater, Usage
from tailflip.base.units import format_counted
from tailflip.observe.records.runlog import list_folder
from tailflip.observe.records.transcripts import find_folders, read_locks, read_session_ids
from tailflip.stores.formats import find_engine
from tailflip.stores.ownership import find_claims
from tailflip.transcripts.opened import refuse_kind, refuse_locked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.observed import Gateway
    from tailflip.observe.installation import Installation

RESTS_MS = 30 * 60_000
_ENDING = ".jsonl"
# Copies and traces beside transcripts, which end in `.jsonl` too.
_OTHERS = re.compile(r"\.jsonl\.|\.checkpoint\.[0-9a-fA-F-]{36}\.jsonl$|\.trajectory\.jsonl$")
_HEADER_BYTES = 64 << 10
_RUNNING = "running"


def list_transcripts(installation: Installation) -> tuple[Path, ...]:
    """List the transcripts of all agents; copies, traces and archives are none."""
    return tuple(
        sorted(
            path
            for folder in _list_folders(installation)
            for path in list_folder(folder, _ENDING, [])
            if is_transcript(path)
        )
    )


def is_transcript(path: Path) -> bool:
    """Say whether a name is that of a transcript."""
    return path.name.endswith(_ENDING) and _OTHERS.search(path.name) is None


def find_named(installation: Installation, names: Sequence[str]) -> tuple[Path, ...]:
    """Find the transcripts that a person names, by session id, file name or path.

    Raises:
        Usage: a name is that of none, or of several.
    """
    known = list_transcripts(installation)
    return tuple(dict.fromkeys(_find(known, name) for name in names))


def _find(known: Sequence[Path], name: str) -> Path:
    real = os.path.realpath(name)
    found = [
        path
        for path in known
        if name in (path.name, path.name.removesuffix(_ENDING)) or os.path.realpath(path) == real
    ]
    if not found:
        raise Usage(
            f"no transcript of that session here: {name}",
            hint="give its session id, or the path of its file; "
            "`tailflip slim --all` shows those with something to slim",
        )
    if len(found) > 1:
        raise Usage(
            f"{format_counted(len(found), 'agent')} have a session of that name: {name}",
            hint=f"give the path: {found[0]}",
        )
    return found[0]


def find_refusal(
    path: Path, installation: Installation, gateway: Gateway, now_ms: int
) -> TailflipError | None:
    """Find why a transcript may not be changed now; None if it may.

    Args:
        path: the transcript.
        installation: that it may belong to.
        gateway: of that installation; one that may live counts as living.
        now_ms: wall clock.
    """
    try:
        _refuse(path, installation, gateway, now_ms)
    except TailflipError as e:
        return e
    except OSError as e:
        return StoreInvalid(f"transcript cannot be looked at: {path}: {e.strerror}")
    return None


def _refuse(path: Path, installation: Installation, gateway: Gateway, now_ms: int) -> None:
    folders = {os.path.realpath(folder) for folder in _list_folders(installation)}
    if os.path.realpath(path.parent) not in folders or not is_transcript(path):
        raise StoreInvalid(
            f"not a transcript of an agent below {installation.state_dir}: {path}; "
            "nothing was changed"
        )
    refuse_kind(path)
    refuse_locked(path)
    _require_header(path)
    stores = (*installation.stores, *installation.missing)
    for store, claim in find_claims(stores, installation.state_dir).items():
        # A gateway that compares what it has on record compares the transcripts too.
        if os.path.realpath(store.path.parent) == os.path.realpath(path.parent):
            raise claim.to_error()
    _refuse_used(path, installation, gateway, now_ms)


def _refuse_used(path: Path, installation: Installation, gateway: Gateway, now_ms: int) -> None:
    """Refuse a session that somebody may be at."""
    sessions = read_session_ids(path.name.removesuffix(_ENDING))
    for store in installation.stores:
        held = read_locks(installation, store, gateway, now_ms)
        if sessions & held.keys():
            raise TryLater(
                f"session is in use: {path}; nothing was changed",
                hint="try again when its run is over, or stop the gateway first",
            )
    if gateway.alive is False:
        return
    age_ms = now_ms - os.lstat(path).st_mtime_ns // 1_000_000
    if age_ms < RESTS_MS:
        raise TryLater(
            f"the gateway may be running, and the session was written to "
            f"{max(0, age_ms) // 60_000} min ago: {path}; nothing was changed",
            hint=f"stop the gateway first, or wait until it has rested for {RESTS_MS // 60_000} "
            "min",
        )
    for store in installation.stores:
        for entry in find_engine(store.path).entries(store.path):
            if entry.session in sessions and entry.status == _RUNNING:
                raise TryLater(
                    f'the gateway may be running, and the session says "running": {path}; '
                    "nothing was changed",
                    hint="stop the gateway first; `tailflip tasks` says how runs really ended",
                )


def _require_header(path: Path) -> None:
    """Refuse a file whose first line is not a transcript's.

    Raises:
        StoreInvalid: a release up to 2026.5.28 would replace such a transcript by a new one.
    """
    with open_regular(path) as fd:
        line = os.pread(fd, _HEADER_BYTES, 0).partition(b"\n")[0]
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("type") != "session":
        raise StoreInvalid(
            f"first line is not that of a transcript: {path}; nothing was changed",
            hint="OpenClaw up to 2026.5.28 replaces such a transcript by an empty one: "
            "do not write to this session before its first line is mended",
        )


def _list_folders(installation: Installation) -> tuple[Path, ...]:
    found = {
        folder
        for store in (*installation.stores, *installation.missing)
        for folder in find_folders(installation, store)
    }
    return tuple(sorted(found)) or tuple(
        Path(installation.state_dir) / "agents" / agent / "sessions"
        for agent in installation.agents
    )
