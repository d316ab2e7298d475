"""The JSON engine: one file for each agent, replaced as a whole under the gateway's own lock."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import StoreInvalid, TailflipError
from tailflip.stores.extension import report_to
from tailflip.stores.json import native
from tailflip.stores.listing import list_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tailflip.base.durable import Disk
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
    from tailflip.stores.engine import Opened, Salvager, Sessions
    from tailflip.stores.replace import Source
    from tailflip.stores.tables import Ledgers, Starts

_T = TypeVar("_T")


class JsonEngine:
    """The engine of `sessions.json`; `Engine` says what each method promises.

    Every start of a gateway surveys; what only a repair needs is imported by the method.
    """

    name = "json"

    @property
    def salvager(self) -> Salvager:
        """The salvager of JSON."""
        from tailflip.stores.json.salvage import JsonSalvager  # noqa: PLC0415

        return JsonSalvager()

    def recognises(self, store: Path) -> bool:  # noqa: ARG002
        """Accept every file: one that is not JSON is a broken store."""
        return True

    def refuse(self, store: Path, surveyed: Measured) -> tuple[TailflipError, ...]:
        """Refuse a store with two entries under one key: the gateway decides which one counts."""
        duplicate = surveyed.numbers.duplicate
        if duplicate is None:
            return ()
        error = StoreInvalid(
            f"two entries have the same key, the second at byte {duplicate.offset}: {store}; "
            "nothing was changed",
            hint="the gateway uses the last one; remove the other by hand, or let the gateway "
            "write the store once",
        )
        return (error,)

    def survey(
        self,
        store: Path,
        policy: Policy,
        evidence: Evidence,
        now_ms: int,
        on_progress: Progress | None = None,
    ) -> Measured:
        """Measure a store and judge it by a policy, in one read."""
        with naming(store), open_regular(store) as fd:
            report = report_to(on_progress, "survey", os.fstat(fd).st_size)
            return native.survey(fd, policy, evidence, now_ms, report)

    def survey_opened(
        self,
        opened: Opened,
        policy: Policy,
        evidence: Evidence,
        now_ms: int,
        on_progress: Progress | None = None,
    ) -> Measured:
        """Survey a store that was opened to be replaced."""
        report = report_to(on_progress, "survey", opened.size_bytes)
        return native.survey(_fd(opened), policy, evidence, now_ms, report)

    def entries(self, store: Path, ledgers: Ledgers | None = None) -> Iterator[ListedEntry]:
        """Read the store twice: for the runs of lines without a key, then for the entries."""
        with naming(store), open_regular(store) as fd:
            joined = ledgers.look_ahead(fd) if ledgers is not None else None
            yield from list_entries(fd, joined)

    def gather_sessions(self, store: Path) -> Sessions:
        """Read once which sessions the entries still need."""
        with open_regular(store) as fd:
            return native.gather_sessions(fd)

    def gather_starts(self, store: Path, starts: Starts, since_ms: int) -> None:
        """Note when the cron runs of a store began, those after `since_ms`."""
        with naming(store), open_regular(store) as fd:
            starts.gather(fd, since_ms)

    def describe_fill(
        self,
        store: Path,  # noqa: ARG002
        now_ms: int,  # noqa: ARG002
        retention_ms: int | None,  # noqa: ARG002
    ) -> Fill | None:
        """None: a file of JSON has entries alone."""
        return None

    def find_repairs(
        self,
        store: Path,  # noqa: ARG002
        now_ms: int,  # noqa: ARG002
        *,
        reads_events: bool,  # noqa: ARG002
        gives_back: bool,  # noqa: ARG002
    ) -> None:
        """Find nothing: a file is whole, or is salvaged."""
        return

    def look_beside(
        self, store: Path, now_ms: int
    ) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
        """List the litter and the gateway's backups of one store."""
        from tailflip.stores.json.beside import look_beside  # noqa: PLC0415

        return look_beside(store, now_ms)

    @contextmanager
    def opening(self, store: Path) -> Iterator[Opened]:
        """Open the file that a path leads to."""
        from tailflip.stores.replace import open_source  # noqa: PLC0415

        with open_source(store) as source:
            yield source

    def attempt(
        self, store: Path, disk: Disk, work: Callable[[Opened], _T], state_dir: Path | None
    ) -> _T:
        """Call `work` without the lock; the last attempt holds the lock."""
        from tailflip.stores.replace import try_attempts  # noqa: PLC0415

        return try_attempts(store, disk, work, state_dir)

    def draft(
        self,
        opened: Opened,
        surveyed: Measured,
        fd: int,
        archive_fd: int,
        on_progress: Progress | None = None,
    ) -> RewriteNumbers:
        """Copy kept entries byte for byte, and archive removed ones."""
        report = report_to(on_progress, "rewrite", surveyed.numbers.bytes)
        known = cast("native.Surveyed", surveyed)
        return native.rewrite(_fd(opened), fd, archive_fd, known, report)

    def put_back(
        self, reading: Opened | int, fd: int | None, records: int, selection: Selection
    ) -> RestoreNumbers:
        """Write a draft with an archive's entries put back; without `fd`, measure alone."""
        source = reading if isinstance(reading, int) else _fd(reading)
        return native.restore(source, fd, records, selection)

    def verify(self, fd: int, on_progress: Progress | None = None) -> VerifyNumbers:
        """Read a draft whole and validate it."""
        return native.verify(fd, report_to(on_progress, "verify", os.fstat(fd).st_size))

    def verify_opened(self, opened: Opened, on_progress: Progress | None = None) -> VerifyNumbers:
        """Read the store whole and validate it."""
        return self.verify(_fd(opened), on_progress)

    def keeping_out(
        self,
        store: Path,
        disk: Disk,
        state_dir: Path | None,  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Hold the lock that the gateway takes."""
        from tailflip.stores.lock import hold  # noqa: PLC0415

        return hold(store, disk)

    def settle(self, action: Action, disk: Disk) -> State:
        """Look whether the rename happened."""
        from tailflip.stores.replace import prove  # noqa: PLC0415

        return prove(action, disk)


def _fd(opened: Opened) -> int:
    """Return the descriptor of a file that was opened.

    Raises:
        StoreInvalid: there is none.
    """
    source = cast("Source", opened)
    if source.fd is None:
        raise StoreInvalid(f"store is missing: {source.store}; nothing was changed")
    return source.fd


JSON = JsonEngine()
