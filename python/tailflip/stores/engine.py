"""What a kind of session store must be able to do; everything else is written once, above it.

An engine reads and writes the entries of one store and proves what it wrote. It knows neither the
ledger nor archives: `draft` has the states of an action, `transaction` and `restore` the order of
steps, `recovery` what follows a kill. `formats` says which engine a store has.
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


class Opened(Protocol):
    """A store that was opened, and that a draft of it will replace.

    `is_missing`: nothing is there. `size_bytes` is what it takes now.
    """

    @property
    def store(self) -> Path:
        """The store, as it was named."""

    @property
    def real(self) -> Path:
        """The file that the name leads to."""

    @property
    def state_dir(self) -> Path | None:
        """That of its installation, where it is known."""

    @property
    def is_missing(self) -> bool:
        """Say whether nothing is there."""

    @property
    def size_bytes(self) -> int:
        """What it takes now."""

    def name_drafts(self, count: int) -> list[Path]:
        """Name the files that drafts are written to."""

    def complete(
        self, disk: Disk, temps: list[Path], fds: list[int], is_as_written: Callable[[int], bool]
    ) -> None:
        """Make the first draft durable, and prove that it reads back as it was written."""

    def replacing(self, disk: Disk, temp: Path) -> AbstractContextManager[Callable[[], float]]:
        """Commit a draft, and keep others out while the block runs; yields for how long."""

    def copy_to(self, disk: Disk, path: Path) -> None:
        """Copy it byte for byte to a new file, and sync that."""


class Sessions(Protocol):
    """Which sessions' transcripts the entries of a store still need."""

    def has(self, session: str) -> bool:
        """Say whether an entry needs it."""


class Engine(Protocol):
    """One kind of session store. Reading functions change nothing, and take no lock.

    Whatever reads raises `StoreInvalid` for a store that is none, without its path.
    """

    @property
    def name(self) -> str:
        """Name the kind; an archive's manifest has it."""

    def recognises(self, store: Path) -> bool:
        """Say whether what lies there is of this kind, from a look at the file."""

    @property
    def salvager(self) -> Salvager | None:
        """What can save entries of a damaged store, where there is such a thing."""

    def refuse(self, store: Path, surveyed: Measured) -> tuple[TailflipError, ...]:
        """Give every reason of this kind not to rewrite what was surveyed."""

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
        """Do the same to what is about to be replaced."""

    def entries(self, store: Path, ledgers: Ledgers | None = None) -> Iterator[ListedEntry]:
        """Stream the entries that evidence may judge, with what the ledgers know of each."""

    def gather_sessions(self, store: Path) -> Sessions:
        """Read once which sessions the entries still need."""

    def gather_starts(self, store: Path, starts: Starts, since_ms: int) -> None:
        """Note when the cron runs of a store began, those after `since_ms`."""

    def look_beside(
        self, store: Path, now_ms: int
    ) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
        """List what lies beside a store: litter of the dead, and backups, newest first."""

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
        """Write what the policy leaves as a draft, and archive what it takes.

        Raises:
            StoreChanged: it is no longer what was surveyed.
        """

    def put_back(
        self, reading: Opened | int, fd: int | None, records: int, selection: Selection
    ) -> RestoreNumbers:
        """Write what is read with an archive's entries put back; without `fd` only measure.

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

    def settle(self, action: Action, disk: Disk) -> State:
        """Say what the disk proves of an archived action: undo it, or it is committed.

        Raises:
            OSError: the disk is away, and proves nothing now.
        """


class Salvager(Protocol):
    """What can save entries of a damaged store of its kind."""

    def list_files(self, store: Path) -> list[Path]:
        """List what a store can be had from: itself, then backups, temporary files, copies."""

    def measure(self, path: Path, on_progress: Progress | None = None) -> Candidate:
        """Measure what can be had of one file."""

    def write(self, path: Path, fd: int, on_progress: Progress | None = None) -> None:
        """Write every entry of a damaged file that is proven."""
