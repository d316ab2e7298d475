"""Takes away what was judged: one action for each batch, on record before its first effect.

intent in the ledger → history is packed, synced and read back → the list is written and synced →
committed in the ledger → each file is looked at once more, and goes → done

Killed before `committed`, nothing has gone, and the archive is deleted. Killed after it, the list
names all that may have gone, and what is still there is judged anew by the next run.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tailflip.base import clock
from tailflip.base.durable import explain_os_error, identify
from tailflip.base.errors import CannotCreate, InternalError, TailflipError
from tailflip.base.regular import NotRegular, open_to_read
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RecordHeader
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.observe.host.space import read_space
from tailflip.reclaim.census import look_again
from tailflip.reclaim.manifest import Manifest, Taken, write_manifest
from tailflip.reclaim.patterns import PROOFS, Class
from tailflip.reclaim.references import find_named
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.lock import hold
from tailflip.stores.mentions import can_ask, compare
from tailflip.stores.records import RecordWriter, verify_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.reclaim.judging import Judged
    from tailflip.stores.target import Scene

_FIRST = 16  # files of the first batch: on a full disk its list must find room
_MOST = 4_096
_COPY_BYTES = 256 << 10


class Skipped(NamedTuple):
    """A file that was judged to go, and did not."""

    path: str
    why: str


@dataclass
class Gone:
    """What went so far; `undoable` are the actions that can be undone."""

    actions: list[str]
    undoable: list[str]
    files: dict[Class, int]
    bytes: dict[Class, int]
    skipped: list[Skipped]
    archived_bytes: int = 0
    next_batch: int = _FIRST

    @classmethod
    def nothing(cls) -> Gone:
        """Begin."""
        return cls([], [], {}, {}, [])


@dataclass(frozen=True)
class Hands:
    """Who takes away, and how far: `until_free` is the room at which it is enough."""

    workspace: Workspace
    scene: Scene
    until_free: int | None = None

    def has_enough(self) -> bool:
        """Say whether there is as much room as was asked for."""
        return self.until_free is not None and self.free_bytes() >= self.until_free

    def free_bytes(self) -> int:
        """Measure the room that is left where the gateway writes."""
        found = read_space(self.scene.installation.state_dir)
        return found[0].free_bytes if found else 0

    def take(self, kind: Class, judged: Sequence[Judged], gone: Gone) -> None:
        """Take away what was judged to be of one class, the smallest first.

        Raises:
            CannotCreate: there is no room even for the list of a few files.
        """
        rest = sorted(judged, key=lambda each: each.candidate.bytes)
        while rest and not self.has_enough():
            count = self._choose(kind, rest, gone.next_batch)
            batch, rest = rest[:count], rest[count:]
            try:
                self._take(kind, batch, gone)
            except CannotCreate:
                if kind is not Class.HISTORY and count <= 1:
                    raise
                if count <= 1:
                    what = "there is no room to pack it"
                    gone.skipped.append(Skipped(str(batch[0].candidate.path), what))
                    continue
                gone.next_batch, rest = max(1, count // 4), [*batch, *rest]
            else:
                gone.next_batch = min(_MOST, gone.next_batch * 4)

    def _choose(self, kind: Class, rest: Sequence[Judged], most: int) -> int:
        """Choose how many go at once: of history no more than half the free room holds."""
        if kind is not Class.HISTORY:
            return min(len(rest), most)
        room, count = self.free_bytes() // 2, 0
        for each in rest[:most]:
            room -= each.candidate.bytes
            if room < 0 and count:
                break
            count += 1
        return count

    def _take(self, kind: Class, batch: Sequence[Judged], gone: Gone) -> None:
        ledger, now_ms = Ledger(self.workspace), clock.now_ms()
        started = clock.monotonic_s()
        action = Action(
            id=drafts.make_id(now_ms),
            kind=ActionKind.RECLAIM,
            store=str(self.scene.installation.state_dir),
            state=State.INTENDED,
            created_ms=now_ms,
            details=Details(temps=(), for_good=kind in (Class.DEBRIS, Class.CAPTURES)),
        )
        try:
            ledger.begin(action)
            kept, packed_bytes = self._keep(action, kind, batch, gone)
            if not kept:
                recovery.settle(self.workspace, action)
                return
            action = ledger.advance(action, State.COMMITTED)
            files, freed = self._remove(kept, gone)
            took_ms = int(1000 * (clock.monotonic_s() - started))
            ledger.advance(action, State.DONE, took_ms=took_ms, freed_bytes=freed)
        except BaseException as e:
            drafts.end(self.workspace, action)
            if isinstance(e, OSError):
                raise explain_os_error(self.workspace.home.archives, e) from e
            raise
        gone.actions.append(action.id)
        if not action.took_nothing:
            gone.undoable.append(action.id)
        gone.files[kind] = gone.files.get(kind, 0) + files
        gone.bytes[kind] = gone.bytes.get(kind, 0) + freed
        gone.archived_bytes += packed_bytes

    def _keep(
        self, action: Action, kind: Class, batch: Sequence[Judged], gone: Gone
    ) -> tuple[list[Judged], int]:
        """Put on the disk what an undo needs, and the list; return what may go."""
        disk, home = self.workspace.disk, self.workspace.home
        disk.mkdir(home.archive(action.id), 0o700)
        kept: list[tuple[Judged, Taken]] = []
        packed = 0
        with ExitStack() as stack:
            writer = None
            partial = home.archive(action.id) / recovery.PARTIAL
            if kind is Class.HISTORY:
                fd = disk.open_new(partial, 0o600)
                stack.callback(os.close, fd)
                writer = RecordWriter(fd)
            for each in batch:
                try:
                    taken = _describe(each)
                    if writer is not None:
                        _pack(writer, each, taken, action.created_ms)
                except (_Changed, FileNotFoundError, PermissionError) as e:
                    why = e.why if isinstance(e, _Changed) else str(e.strerror)
                    gone.skipped.append(Skipped(str(each.candidate.path), why))
                else:
                    kept.append((each, taken))
            if writer is not None:
                written = writer.finish()
                disk.fsync(fd)
                if verify_records(fd) != written:
                    raise InternalError(f"archive does not read back as written: {partial}")
                disk.rename(partial, home.records(action.id))
                packed = written.archive_bytes
        kept = self._ask_again(kind, kept, gone)
        manifest = Manifest(
            action=action.id,
            kind=kind,
            state_dir=action.store,
            created_ms=action.created_ms,
            files=tuple(taken for _, taken in kept),
        )
        if kept:
            write_manifest(self.workspace, manifest)
        return [each for each, _ in kept], packed

    def _ask_again(
        self, kind: Class, kept: list[tuple[Judged, Taken]], gone: Gone
    ) -> list[tuple[Judged, Taken]]:
        """Leave out what a record names by now: packing took its time."""
        if kind not in (Class.COPIES, Class.HISTORY):
            return kept
        names = [each.candidate.parsed.mark for each, _ in kept]
        named = find_named(self.scene, names)
        still = []
        for each, taken in kept:
            mark = each.candidate.parsed.mark
            if named.doubt is None and can_ask(mark) and mark not in named.names:
                still.append((each, taken))
            else:
                why = named.doubt or "a record names it by now"
                gone.skipped.append(Skipped(taken.path, why))
        return still

    def _remove(self, kept: Sequence[Judged], gone: Gone) -> tuple[int, int]:
        """Delete what is still as it was judged; return how many files, and their bytes."""
        disk = self.workspace.disk
        files = freed = 0
        folders: dict[Path, None] = {}
        for each in kept:
            if self.has_enough():
                break
            path = each.candidate.path
            try:
                with self._locking(each):
                    why = look_again(each.candidate) or _look_at_prefix(each)
                    if why is None:
                        if each.kind is Class.CAPTURES:
                            recovery.remove(disk, path)
                        else:
                            disk.unlink(path)
            except OSError as e:
                why = f"it cannot be deleted: {e.strerror}"
            except TailflipError as e:
                why = e.message
            if why is not None:
                gone.skipped.append(Skipped(str(path), why))
                continue
            files, freed = files + 1, freed + each.candidate.bytes
            folders[path.parent] = None
        for folder in folders:
            disk.fsync_dir(folder)
        return files, freed

    @contextmanager
    def _locking(self, each: Judged) -> Iterator[None]:
        """Hold the lock of a transcript, as the gateway does, unless it is proven dead."""
        path = each.candidate.path
        is_transcript = each.kind is Class.HISTORY and path.suffix == ".jsonl"
        if self.scene.gateway.alive is False or not is_transcript:
            yield
            return
        with hold(path, self.workspace.disk, timeout_s=0):
            yield


class _Changed(Exception):
    """A file is not the one that was judged."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@contextmanager
def _opening(each: Judged) -> Iterator[int]:
    """Open the very file that was judged; no link is followed, and a FIFO does not block."""
    try:
        fd = open_to_read(each.candidate.path, follows=False)
    except NotRegular as e:
        raise _Changed("it changed meanwhile") from e
    try:
        if identify(os.fstat(fd)) != each.candidate.identity:
            raise _Changed("it changed meanwhile")
        yield fd
        if identify(os.fstat(fd)) != each.candidate.identity:
            raise _Changed("it changed while it was read")
    finally:
        os.close(fd)


def _describe(each: Judged) -> Taken:
    """Describe a file with its digest, and a copy with the file that has its bytes.

    Raises:
        _Changed: it is not the file that was judged.
        OSError: it cannot be opened.
    """
    candidate = each.candidate
    digest, mode = "", 0o700
    if each.kind is not Class.CAPTURES:
        with ExitStack() as stack:
            fd = stack.enter_context(_opening(each))
            other = -1
            if each.prefix_of is not None:
                other = open_to_read(each.prefix_of)
                stack.callback(os.close, other)
            size, digest, is_prefix = compare(fd, other)
            mode = os.fstat(fd).st_mode & 0o7777
            if size != candidate.bytes or (other >= 0 and not is_prefix):
                raise _Changed("it changed while it was read")
    return Taken(
        path=str(candidate.path),
        what=candidate.parsed.pattern.what,
        bytes=candidate.bytes,
        digest=digest,
        mode=mode,
        mtime_ns=candidate.identity.mtime_ns,
        proof=PROOFS[each.kind],
        prefix_of=None if each.prefix_of is None else str(each.prefix_of),
    )


def _pack(writer: RecordWriter, each: Judged, taken: Taken, now_ms: int) -> None:
    """Append a file to the archive.

    Raises:
        _Changed: it is not the file that was judged. Its record is then in no list.
    """
    with _opening(each) as fd:
        header = RecordHeader(
            key=taken.path,
            rule=ActionKind.RECLAIM,
            time_ms=now_ms,
            at=0,
            bytes=taken.bytes,
            lead=0,
            trail=0,
            session=None,
            file=each.candidate.path.name,
            job=None,
            after=None,
            after_bytes=0,
        )
        writer.add(header, _read(fd, taken.bytes))


def _read(fd: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size:
        chunk = os.pread(fd, min(_COPY_BYTES, size - at), at)
        if not chunk:  # it was cut: the record is filled up, and whoever opened it says so
            chunk = bytes(min(_COPY_BYTES, size - at))
        at += len(chunk)
        yield chunk


def _look_at_prefix(each: Judged) -> str | None:
    """Say what is wrong with the file that a copy can be made from; None if nothing is."""
    if each.prefix_of is None:
        return None
    try:
        size = os.lstat(each.prefix_of).st_size
    except OSError:
        size = -1
    return None if size >= each.candidate.bytes else "the file that has its bytes is gone"
