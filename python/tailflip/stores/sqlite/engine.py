"""The SQLite engine: one database for each agent, changed in place while nobody has it open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import StoreChanged, TailflipError, Unavailable
from tailflip.ledger.actions import State
from tailflip.stores.sqlite.mark import is_database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tailflip.base.durable import Disk
    from tailflip.base.progress import Progress
    from tailflip.flow.fill import Fill
    from tailflip.flow.numbers import (
        ListedEntry,
        Measured,
        RestoreNumbers,
        RewriteNumbers,
        Selection,
        SurveyNumbers,
        VerifyNumbers,
    )
    from tailflip.flow.observed import Evidence, Leftover
    from tailflip.ledger.actions import Action
    from tailflip.plan.policy import Policy
    from tailflip.stores.engine import Opened, Salvager, Sessions
    from tailflip.stores.sqlite.repairs import Repairs
    from tailflip.stores.sqlite.schema import Schema
    from tailflip.stores.sqlite.survey import Surveyed
    from tailflip.stores.tables import Ledgers, Starts

_T = TypeVar("_T")
_SUFFIX, _JSON = ".sqlite", ".json"


class SqliteEngine:
    """The engine of `openclaw-agent.sqlite`; `Engine` says what each method promises.

    A start of a gateway of the JSON era loads nothing of it but this file.
    """

    name = "sqlite"

    @property
    def salvager(self) -> Salvager | None:
        """None: a damaged database is the gateway's own tools' to repair."""
        return None

    def recognises(self, store: Path) -> bool:
        """Accept a database, and the name of one that is missing or damaged."""
        return store.suffix == _SUFFIX or (store.suffix != _JSON and is_database(store))

    def refuse(self, store: Path, surveyed: Measured) -> tuple[TailflipError, ...]:
        """Refuse to write to a version of the database that we do not know."""
        schema = cast("Surveyed | Repairs", surveyed).schema
        if schema.is_known:
            return ()
        told = "unknown" if schema.version is None else str(schema.version)
        return (
            Unavailable(
                f"database has version {told}, which this tailflip only reads: {store}; "
                "nothing was changed",
                hint="a newer tailflip may know it",
            ),
        )

    def survey(
        self,
        store: Path,
        policy: Policy,
        evidence: Evidence,
        now_ms: int,
        on_progress: Progress | None = None,  # noqa: ARG002
    ) -> Measured:
        """Count the rows and judge them by a policy."""
        from tailflip.stores.sqlite.reading import read  # noqa: PLC0415
        from tailflip.stores.sqlite.survey import Judging, Surveyed, measure_pages  # noqa: PLC0415

        def work(db: sqlite3.Connection, schema: Schema) -> tuple[SurveyNumbers, Schema]:
            judging = Judging(db, policy, evidence, now_ms)
            return judging.sum_up(measure_pages(db)), schema

        with naming(store):
            (numbers, schema), mark = read(store.resolve(), work)
        return Surveyed(numbers, mark, schema, policy, evidence, now_ms)

    def survey_opened(
        self,
        opened: Opened,
        policy: Policy,
        evidence: Evidence,
        now_ms: int,
        on_progress: Progress | None = None,
    ) -> Measured:
        """Survey a database that was opened to be changed."""
        return self.survey(opened.real, policy, evidence, now_ms, on_progress)

    def entries(self, store: Path, ledgers: Ledgers | None = None) -> Iterator[ListedEntry]:
        """Stream nodes, and closed windows of cron jobs as the runs that they were."""
        from tailflip.stores.listing import list_entries  # noqa: PLC0415
        from tailflip.stores.sqlite.projection import projecting  # noqa: PLC0415

        with naming(store), projecting(store.resolve()) as found:
            joined = ledgers.look_ahead(found.entries) if ledgers is not None else None
            yield from found.join(list_entries(found.entries, joined))

    def gather_sessions(self, store: Path) -> Sessions:
        """Open the windows, of which each is a session that is needed."""
        from tailflip.stores.sqlite.windows import Windows  # noqa: PLC0415

        return Windows(store.resolve())

    def gather_starts(self, store: Path, starts: Starts, since_ms: int) -> None:
        """Note when the cron runs began, those after `since_ms`."""
        from tailflip.stores.sqlite.projection import projecting  # noqa: PLC0415

        with naming(store), projecting(store.resolve()) as found:
            starts.gather(found.entries, since_ms)

    def describe_fill(self, store: Path, now_ms: int, retention_ms: int | None) -> Fill | None:
        """Read tables, free pages, log, events, and what waits for the gateway's clean-up."""
        from tailflip.stores.sqlite.fill import read_fill  # noqa: PLC0415

        with naming(store):
            return read_fill(store.resolve(), now_ms, retention_ms)

    def find_repairs(
        self, store: Path, now_ms: int, *, reads_events: bool, gives_back: bool
    ) -> Measured | None:
        """Look for rows that stop the gateway, and for free pages."""
        from tailflip.stores.sqlite.repairs import find_repairs  # noqa: PLC0415

        with naming(store):
            return find_repairs(
                store.resolve(), now_ms, reads_events=reads_events, gives_back=gives_back
            )

    def look_beside(
        self,
        store: Path,  # noqa: ARG002
        now_ms: int,  # noqa: ARG002
    ) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
        """Find nothing: what lies beside a database is the gateway's own."""
        return (), ()

    def opening(self, store: Path) -> AbstractContextManager[Opened]:
        """Look at the database that a path leads to."""
        from contextlib import nullcontext  # noqa: PLC0415

        from tailflip.stores.sqlite.source import open_source  # noqa: PLC0415

        return nullcontext(open_source(store, None))

    def attempt(
        self, store: Path, disk: Disk, work: Callable[[Opened], _T], state_dir: Path | None
    ) -> _T:
        """Call `work` without the fence; the last attempt is behind it."""
        from tailflip.stores.sqlite.source import try_attempts  # noqa: PLC0415

        return try_attempts(store, disk, work, state_dir)

    def draft(
        self,
        opened: Opened,
        surveyed: Measured,
        fd: int,
        archive_fd: int,
        on_progress: Progress | None = None,  # noqa: ARG002
    ) -> RewriteNumbers:
        """Write what is to be done, and archive every row that goes or is changed."""
        from tailflip.stores.sqlite.drafting import write_draft  # noqa: PLC0415
        from tailflip.stores.sqlite.mark import read_mark  # noqa: PLC0415
        from tailflip.stores.sqlite.reading import read  # noqa: PLC0415

        known = cast("Surveyed | Repairs", surveyed)
        if read_mark(opened.real) != known.mark:
            raise StoreChanged(f"store changed since it was surveyed: {opened.store}")

        def work(db: sqlite3.Connection, schema: Schema) -> RewriteNumbers:
            return write_draft(db, schema, known, store=opened.real, fd=fd, archive_fd=archive_fd)

        return read(opened.real, work)[0]

    def put_back(
        self, reading: Opened | int, fd: int | None, records: int, selection: Selection
    ) -> RestoreNumbers:
        """Write a draft that puts entries back; without `fd`, into a file without a name."""
        from tailflip.stores.sqlite.putting_back import put_back  # noqa: PLC0415

        return put_back(reading, fd, records, selection)

    def verify(self, fd: int, on_progress: Progress | None = None) -> VerifyNumbers:  # noqa: ARG002
        """Read a draft whole."""
        from tailflip.stores.sqlite.work import WorkReader  # noqa: PLC0415

        return WorkReader(fd).verify()

    def verify_opened(self, opened: Opened, on_progress: Progress | None = None) -> VerifyNumbers:  # noqa: ARG002
        """Check pages, foreign keys and index of the database, and count its rows."""
        from tailflip.stores.sqlite.finish import verify_database  # noqa: PLC0415

        return verify_database(opened.real, opened.size_bytes)

    def keeping_out(
        self, store: Path, disk: Disk, state_dir: Path | None
    ) -> AbstractContextManager[object]:
        """Hold the fence around the gateway's databases."""
        from tailflip.stores.sqlite.fence import fencing  # noqa: PLC0415

        return fencing(store, state_dir, disk)

    def settle(self, action: Action, disk: Disk) -> State:
        """Look whether the first step was taken; the draft goes when it is known."""
        from tailflip.stores import replace  # noqa: PLC0415
        from tailflip.stores.sqlite.source import prove  # noqa: PLC0415

        if replace.prove(action, disk) is State.COMMITTED:
            return State.COMMITTED  # the draft went when its last step was taken
        temp = Path(action.details.temps[0])
        with open_regular(temp) as fd:
            taken = prove(action.store_path, fd)
        if not taken:
            return State.INTENDED
        disk.unlink(temp)
        disk.fsync_dir(temp.parent)
        return State.COMMITTED


SQLITE = SqliteEngine()
