"""An agent's database that was opened to be changed: in place, and fenced off while it changes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from tailflip.base.durable import naming, open_regular, resolve
from tailflip.base.errors import InternalError, StoreChanged
from tailflip.flow.late import dataclass
from tailflip.stores.ownership import require_leave
from tailflip.stores.replace import name_drafts, until_still
from tailflip.stores.sqlite.change import take_steps, was_taken
from tailflip.stores.sqlite.fence import fencing
from tailflip.stores.sqlite.finish import drop_receipt, finish
from tailflip.stores.sqlite.mark import Mark, read_mark
from tailflip.stores.sqlite.reading import explaining, read
from tailflip.stores.sqlite.work import WorkReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.stores.sqlite.schema import Schema

_T = TypeVar("_T")


@dataclass(frozen=True)
class SqliteSource:
    """An agent's database; `mark` is None where no file is.

    In the last attempt the caller holds the fence: `held_s` says for how long.
    """

    store: Path
    real: Path
    state_dir: Path | None
    mark: Mark | None
    held_s: Callable[[], float] | None = None

    @property
    def is_missing(self) -> bool:
        """Say whether there is no file."""
        return self.mark is None

    @property
    def size_bytes(self) -> int:
        """The size of the file and its log, when it was opened."""
        return 0 if self.mark is None else self.mark.size_bytes + self.mark.log_bytes

    def copy_to(self, disk: Disk, path: Path) -> None:
        """Copy the database, its log included, to a new file, and sync that."""
        fd = disk.open_new(path, 0o600)
        try:
            with (
                closing(sqlite3.connect(f"{self.real.as_uri()}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(path)) as target,
            ):
                source.backup(target)
            disk.fsync(fd)
        finally:
            os.close(fd)
        disk.fsync_dir(path.parent)

    def name_drafts(self, count: int) -> list[Path]:
        """Name draft files beside the database."""
        return name_drafts(self.real, count)

    def complete(
        self, disk: Disk, temps: list[Path], fds: list[int], is_as_written: Callable[[int], bool]
    ) -> None:
        """Sync the first draft and read it back; delete the others.

        Raises:
            InternalError: it does not read as it was written.
        """
        disk.fsync(fds[0])
        if not is_as_written(fds[0]):
            raise InternalError(f"draft does not read back as it was written: {self.store}")
        for spare in temps[1:]:
            disk.unlink(spare)
        disk.fsync_dir(temps[0].parent)

    @contextmanager
    def replacing(self, disk: Disk, temp: Path) -> Iterator[Callable[[], float]]:
        """Take the steps of the draft, and keep others out while the block runs.

        Raises:
            StoreChanged: the database is no longer the one that was read.
            TryLater: somebody has it open.
        """
        if self.held_s is not None:
            self._take(disk, temp)
            yield self.held_s
            return
        with fencing(self.store, self.state_dir, disk) as held_s:
            self._take(disk, temp)
            yield held_s

    def _take(self, disk: Disk, temp: Path) -> None:
        if resolve(self.store) != self.real or read_mark(self.real) != self.mark:
            raise StoreChanged(f"store changed while it was read: {self.store}")
        require_leave(self.store, self.state_dir)
        with naming(self.store), explaining(self.store), open_regular(temp) as fd:
            drop_receipt(self.state_dir, self.real, disk)
            take_steps(self.real, WorkReader(fd), disk)
            finish(self.real, disk)
        disk.unlink(temp)
        disk.fsync_dir(temp.parent)


def open_source(
    store: Path, state_dir: Path | None, held_s: Callable[[], float] | None = None
) -> SqliteSource:
    """Look at the database that a path leads to."""
    real = resolve(store)
    return SqliteSource(store, real, state_dir, read_mark(real), held_s)


def try_attempts(
    store: Path, disk: Disk, attempt: Callable[[SqliteSource], _T], state_dir: Path | None
) -> _T:
    """Call `attempt` with the database until it holds still; the last time behind the fence.

    Raises:
        TryLater: somebody has it open, or writes to it all the time.
    """

    def work(held_s: Callable[[], float] | None = None) -> _T:
        return attempt(open_source(store, state_dir, held_s))

    return until_still(store, work, lambda: fencing(store, state_dir, disk), work)


def prove(store: Path, fd: int) -> bool:
    """Say whether the first step of a draft was taken, or cannot be told apart from that."""
    work = WorkReader(fd)
    step = next(work.steps(), None)
    if step is None:
        return False

    def look(db: sqlite3.Connection, _: Schema) -> bool:
        return was_taken(db, step)

    return read(resolve(store), look)[0]
