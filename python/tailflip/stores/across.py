"""Brings archived entries of a store of JSON to the database that its gateway has now.

From 2026.8.1 on, a gateway takes `sessions.json` over into a database. A `sessions.json` beside
a database with sessions keeps a gateway from starting, so none is put there. OpenClaw's import
gets the entries in a scratch directory, and what it makes of them is one more archive of rows. From
there on it is a restore like any other: behind the fence, with a draft, and no key is overwritten.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from tailflip.base.durable import open_regular, open_scratch
from tailflip.base.errors import CannotCreate, TailflipError, Unavailable
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import Selection
from tailflip.observe.agents import AGENT_DATABASE, has_sessions, read_schemas
from tailflip.observe.installation import STORE_NAME
from tailflip.stores import archive
from tailflip.stores.formats import adopt, find_engine, find_living, may_change_database
from tailflip.stores.generations import read_wanted
from tailflip.stores.ownership import find_claim
from tailflip.stores.recovery import remove
from tailflip.stores.replace import PRIVATE, copy_bytes
from tailflip.stores.transcripts import find_kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import RecordHeader, RestoreNumbers
    from tailflip.ledger.actions import Action
    from tailflip.stores.importing import Importer
    from tailflip.stores.wanted import Wanted

# The import holds its entries in memory: it took 494 MB for so many bytes, and 361 MB for one
# entry (2026.9.6).
_LOT_BYTES = 32 << 20
_MOST_TOLD = 20
_FOLDER = 0o700
_EMPTY = b"{}"


@dataclass(frozen=True)
class Crossing:
    """What of the wanted entries can be brought to the database, and what stays archived.

    `sizes` has the bytes of each key that comes, in the archive's order. `used` are sessions that
    live in the database: an entry of one comes without the transcript, which is there. `cut` counts
    entries that were slimmed and live: they stay as they are, for the import wrote them in another
    form and the gateway builds again what was cut. Of keys in several archives, `unchanged` and
    `conflicts` count the older ones, as a restore does.
    """

    database: Path
    sizes: dict[str, int]
    used: frozenset[str]
    version: int | None
    cut: int
    unchanged: int
    conflicts: int
    conflict_keys: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that come."""
        return tuple(self.sizes)


@dataclass(frozen=True)
class Brought:
    """What OpenClaw made of the entries: an archive of rows.

    `untaken` are keys that it left out. `cut_short`: it could not read their transcripts whole.
    """

    records: Path
    untaken: tuple[str, ...]
    cut_short: tuple[str, ...]


def find_database(store: Path) -> Path | None:
    """Find the agent's database that took over a store of JSON; None if the store still is one."""
    if store.name != STORE_NAME:
        return None
    if os.path.lexists(store):
        claim = find_claim(store)
        if claim is None or claim.receipt is None or not claim.receipt.taken_over:
            return None
    database = store.parent.parent / "agent" / AGENT_DATABASE
    schemas = read_schemas([database]).found
    if any(may_change_database(version) for _, version in schemas):
        return database
    with suppress(OSError, TailflipError):
        return database if schemas and has_sessions(database) else None
    return None


def look(wanted: Wanted, database: Path, home: Home, disk: Disk) -> Crossing:
    """Compare the wanted entries with a database; changes nothing.

    Raises:
        Unavailable: rows of this database may not be changed.
    """
    newest: dict[str, RecordHeader] = {}
    removed: list[str] = []
    cut: list[str] = []
    for action in wanted.actions:
        for header in read_wanted(home, action, wanted.selection):
            (removed if header.after is None else cut).append(header.key)
            if header.after is None:
                newest.setdefault(header.key, header)
    sessions = [each.session for each in newest.values() if each.session is not None]
    living = find_living(database, dict.fromkeys((*removed, *cut)), sessions)
    if not living.is_known:
        raise Unavailable(
            f"database has version {living.version or 'unknown'}, which this tailflip only reads: "
            f"{database}; nothing was changed",
            hint="a newer tailflip may know it",
        )
    sizes = {key: each.bytes for key, each in newest.items() if key not in living.keys}
    stay = [key for key in removed if key in living.keys]
    stay += [key for key in cut if key not in living.keys and key not in sizes]
    numbers: list[RestoreNumbers] = []
    if len(wanted.actions) > 1 and sizes:
        with _composing(home, wanted.actions, tuple(sizes), disk, numbers):
            pass
    older = tuple(key for each in numbers for key in each.conflict_keys)
    return Crossing(
        database=database,
        sizes=sizes,
        used=living.sessions,
        version=living.version,
        cut=sum(key in living.keys for key in cut),
        unchanged=sum(each.unchanged for each in numbers),
        conflicts=len(stay) + sum(each.conflicts for each in numbers),
        conflict_keys=tuple(dict.fromkeys((*stay, *older)))[:_MOST_TOLD],
    )


@contextmanager
def bringing(
    workspace: Workspace, wanted: Wanted, crossing: Crossing, importer: Importer, now_ms: int
) -> Iterator[Brought]:
    """Let OpenClaw import the entries that come; the caller has the claim.

    They are in the scratch directory while the block runs.

    Raises:
        Unavailable: OpenClaw's import failed, or its release is not the database's.
    """
    disk, scratch = workspace.disk, workspace.home.scratch
    # An import that outlived a killed tailflip may still write below its own name.
    own = scratch / secrets.token_hex(4)
    for folder in (scratch, own):
        if not folder.is_dir():
            disk.mkdir(folder, _FOLDER)
    try:
        records = own / "records.zst"
        fd = disk.open_new(records, PRIVATE)
        try:
            adopter = adopt(fd, crossing.used, crossing.version, now_ms)
            taken: set[str] = set()
            cut_short: list[str] = []
            for lot in _cut_into_lots(crossing.sizes):
                state = _lay_out(workspace, own, wanted.actions, lot, crossing)
                cut_short += importer(state, disk).cut_short
                agent = wanted.store.parent.parent.name
                made = state / "agents" / agent / "agent" / AGENT_DATABASE
                taken |= adopter.add(made) if made.is_file() else set()
                remove(disk, state)
            adopter.finish()
        finally:
            os.close(fd)
        untaken = tuple(key for key in crossing.keys if key not in taken)
        yield Brought(records, untaken, tuple(cut_short))
    finally:
        with suppress(OSError):  # the next start tries again
            remove(disk, scratch)


def _cut_into_lots(sizes: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Divide the keys so that no import holds more than `_LOT_BYTES`, or one entry."""
    lot: list[str] = []
    held_bytes = 0
    for key, size_bytes in sizes.items():
        if lot and held_bytes + size_bytes > _LOT_BYTES:
            yield tuple(lot)
            lot, held_bytes = [], 0
        lot.append(key)
        held_bytes += size_bytes
    if lot:
        yield tuple(lot)


def _lay_out(
    workspace: Workspace,
    own: Path,
    actions: Sequence[Action],
    keys: tuple[str, ...],
    crossing: Crossing,
) -> Path:
    """Make a state directory with these entries and their transcripts; returns its path."""
    disk, home = workspace.disk, workspace.home
    state = own / "state"
    sessions = state / "agents" / actions[0].store_path.parent.parent.name / "sessions"
    for folder in (state, *reversed(sessions.relative_to(state).parents[:-1]), sessions):
        disk.mkdir(state / folder, _FOLDER)
    with _composing(home, actions, keys, disk, []) as composed:
        _write(disk, composed, sessions / STORE_NAME)
    for action in actions:
        for header in read_wanted(home, action, Selection(keys=keys)):
            if header.after is not None or header.session in crossing.used:
                continue
            for name, kept in find_kept(action, header):
                if not os.path.lexists(sessions / name):
                    with open_regular(kept) as fd:
                        _write(disk, fd, sessions / name)
    return state


def _write(disk: Disk, source_fd: int, path: Path) -> None:
    """Copy a file to the scratch directory, which no power cut need spare.

    Its time goes with it: the gateway takes that of a transcript for the session's last change.
    """
    fd = disk.open_new(path, PRIVATE)
    try:
        copy_bytes(disk, source_fd, fd)
        disk.set_time(fd, os.fstat(source_fd).st_mtime_ns)
    finally:
        os.close(fd)


@contextmanager
def _composing(
    home: Home,
    actions: Sequence[Action],
    keys: tuple[str, ...],
    disk: Disk,
    numbers: list[RestoreNumbers],
) -> Iterator[int]:
    """Put entries back into an empty store without a name, newest first; notes the numbers."""
    with ExitStack() as stack:
        reading = _open_scratch(stack)
        disk.write(reading, _EMPTY)
        for action in actions:
            out = _open_scratch(stack)
            engine = find_engine(action.store_path)
            with archive.reading_records(home, action.id) as records:
                numbers.append(engine.put_back(reading, out, records, Selection(keys=keys)))
            reading = out
        yield reading


def _open_scratch(stack: ExitStack) -> int:
    fd = open_scratch()
    if fd < 0:
        raise CannotCreate("no room for a scratch file; nothing was changed")
    stack.callback(os.close, fd)
    return fd
