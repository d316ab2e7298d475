"""The protocol of a store engine: what each kind of session store must be able to do.

An engine reads and writes the entries of one store and proves what it wrote. What stands above is
written once, for all engines: `draft` has the states of an action, `transaction` and `restore` the
order of steps, `recovery` what follows a kill. `formats` says which engine a store has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.errors import TailflipError
    from tailflip.base.progress import Progress
    from tailflip.flow.fill import Fill
    from tailflip.flow.numbers import (
        ListedEntry,
        Measured,
        RestoreNumbers,
        RewriteNumbers,
        Selection,
        VerifyNumbers,
    )
    from tailflip.flow.observed import Evidence, Leftover
    from tailflip.ledger.actions import Action, State
    from tailflip.plan.policy import Policy
    from tailflip.stores.candidates import Candidate
    from tailflip.stores.tables import Ledgers, Starts

_T = TypeVar("_T")


class Medium(Protocol):
    """A file or database that was opened: it names drafts, completes them, and commits one."""

    @property
    def store(self) -> Path:
        """The store, as it was named."""

    @property
    def state_dir(self) -> Path | None:
        """That of its installation, where it is known."""

    def name_drafts(self, count: int) -> list[Path]:
        """Name the files that drafts are written to."""

    def complete(
        self, disk: Disk, temps: list[Path], fds: list[int], is_as_written: Callable[[int], bool]
    ) -> None:
        """Make the first draft durable, and prove that it reads back as it was written."""

    def replacing(self, disk: Disk, temp: Path) -> AbstractContextManager[Callable[[], float]]:
        """Commit a draft, and keep others out while the block runs; yields the seconds held."""


class Opened(Medium, Protocol):
    """An opened session store, which a draft will replace.

    `is_missing` says that no file is there. `size_bytes` is the present size.
    """

    @property
    def real(self) -> Path:
        """The file that the name leads to."""

    @property
    def is_missing(self) -> bool:
        """Say whether nothing is there."""

    @property
    def size_bytes(self) -> int:
        """What it takes now."""

    def copy_to(self, disk: Disk, path: Path) -> None:
        """Copy the store byte for byte to a new file, and sync that."""


class Sessions(Protocol):
    """The sessions whose transcripts the entries of a store still need."""

    def has(self, session: str) -> bool:
        """Say whether an entry needs a session's transcript."""


class Engine(Protocol):
    """One kind of session store. Reading methods change nothing, and take no lock.

    They raise `StoreInvalid`, without a path, for a file that is no store.
    """

    @property
    def name(self) -> str:
        """Name the kind of store, as an archive's manifest has it."""

    def recognises(self, store: Path) -> bool:
        """Say whether a file is of this kind, from a look at it."""

    @property
    def salvager(self) -> Salvager | None:
        """The salvager for damaged stores of this kind; None where there is none."""

    def refuse(self, store: Path, surveyed: Measured) -> tuple[TailflipError, ...]:
        """List every reason of this kind not to rewrite the surveyed store."""

    def survey(
        self,
        store: Path,
        policy: Policy,
        evidence: Evidence,
        now_ms: int,
        on_progress: Progress | None = None,
    ) -> Measured:
        """Measure a store and judge it by a policy, in one read."""

    def survey_opened(
        self,
        opened: Opened,
        policy: Policy,
        evidence: Evidence,
        now_ms: int,
        on_progress: Progress | None = None,
    ) -> Measured:
        """Survey a store that was opened to be replaced."""

    def entries(self, store: Path, ledgers: Ledgers | None = None) -> Iterator[ListedEntry]:
        """Stream the entries that evidence may judge, each with its lines in the ledgers."""

    def gather_sessions(self, store: Path) -> Sessions:
        """Read once which sessions the entries still need."""

    def gather_starts(self, store: Path, starts: Starts, since_ms: int) -> None:
        """Note when the cron runs of a store began, those after `since_ms`."""

    def describe_fill(self, store: Path, now_ms: int, retention_ms: int | None) -> Fill | None:
        """Read what fills a store beyond its entries; None for a kind that has nothing else.

        Args:
            store: that was surveyed.
            now_ms: wall clock.
            retention_ms: how long the gateway keeps finished runs; None: for ever.
        """

    def find_repairs(
        self, store: Path, now_ms: int, *, reads_events: bool, gives_back: bool
    ) -> Measured | None:
        """Look for what a store needs whatever the policy; None for nothing.

        What it returns is drafted as a survey is. `flow.numbers.Repair` names what it may be.

        Args:
            store: that was surveyed.
            now_ms: wall clock.
            reads_events: look for unreadable events too, which reads most of the store.
            gives_back: free pages count, where they are most of a large file.
        """

    def look_beside(
        self, store: Path, now_ms: int
    ) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
        """List the files beside a store: litter of dead writers, and backups, newest first."""

    def opening(self, store: Path) -> AbstractContextManager[Opened]:
        """Open a store as it is now."""

    def attempt(
        self, store: Path, disk: Disk, work: Callable[[Opened], _T], state_dir: Path | None
    ) -> _T:
        """Call `work` with the opened store until the store holds still.

        Raises:
            TryLater: it changes faster than it can be rewritten.
        """

    def draft(
        self,
        opened: Opened,
        surveyed: Measured,
        fd: int,
        archive_fd: int,
        on_progress: Progress | None = None,
    ) -> RewriteNumbers:
        """Write the kept entries as a draft, and archive those that the policy removes.

        Raises:
            StoreChanged: the store is no longer the one that was surveyed.
        """

    def put_back(
        self, reading: Opened | int, fd: int | None, records: int, selection: Selection
    ) -> RestoreNumbers:
        """Write a draft with an archive's entries put back; without `fd`, measure alone.

        Args:
            reading: the store, or a draft of it to which an archive was added before.
            fd: the draft to write.
            records: of the archive.
            selection: which of its entries.
        """

    def verify(self, fd: int, on_progress: Progress | None = None) -> VerifyNumbers:
        """Read a draft whole and validate it."""

    def verify_opened(self, opened: Opened, on_progress: Progress | None = None) -> VerifyNumbers:
        """Read the store whole and validate it."""

    def keeping_out(
        self, store: Path, disk: Disk, state_dir: Path | None
    ) -> AbstractContextManager[object]:
        """Keep all others from writing to a store while the block runs.

        Raises:
            TryLater: somebody has it open, or holds its lock.
        """

    def settle(self, action: Action, disk: Disk) -> State:
        """Tell from the disk whether an archived action was committed, or is to be undone.

        Raises:
            OSError: the disk is away and proves nothing now.
        """


class Salvager(Protocol):
    """Saves entries of a damaged store of its kind."""

    def list_files(self, store: Path) -> list[Path]:
        """List what a store can be rebuilt from: itself, backups, temporary files, copies."""

    def measure(self, path: Path, on_progress: Progress | None = None) -> Candidate:
        """Measure how many entries of one file can be saved."""

    def write(self, path: Path, fd: int, on_progress: Progress | None = None) -> None:
        """Write every entry of a damaged file that is proven."""
