"""What tailflip does to an agent's database, small: SQLite's own writes are part of it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from scenarios import NOW_MS, Scenario

from support.agent_database import FTS, connect, dump, make_database, read_entries
from support.stores import GONE, list_tree, make_entries
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.gateway.lock_owner import owner_lives, read_owner
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.sqlite import change, finish
from tailflip.stores.sqlite.schema import INDEX_STATE, TRAJECTORIES
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk

RUNS = 3


def drop_empty_tables(path: Path) -> None:
    """Leave the tables that have rows, and what they name: each table more is a page more."""
    with closing(connect(path)) as db:
        names = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith((FTS, "sqlite_")) and "pending" not in name
        ]
        kept = {name for name in names if db.execute(f"SELECT 1 FROM {name}").fetchone()}
        kept |= {TRAJECTORIES, INDEX_STATE}  # asked for where they have no row, too
        for name in tuple(kept):
            kept |= {row[2] for row in db.execute(f"PRAGMA foreign_key_list({name})")}
        db.execute("PRAGMA foreign_keys = OFF")
        for name in {*names} - kept:
            db.execute(f"DROP TABLE {name}")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class DatabaseCompaction(Scenario):
    """`compact --apply`: a transaction for each step, then VACUUM, and the fence around them."""

    name = "compact a database"
    room_factor = 2

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.state_dir = root / "openclaw"
        self.path = self.state_dir / "agents" / "main" / "agent" / "openclaw-agent.sqlite"

    def prepare(self) -> None:
        entries = make_entries(old_runs=RUNS)
        for entry in entries.values():
            entry["note"] = "n" * 6_000  # a page of its own, which becomes free
        make_database(self.path, entries)
        drop_empty_tables(self.path)
        self.whole, self.every = dump(self.path), set(entries)

    def learn(self) -> None:
        assert self.act(RealDisk()) == 0
        self.final = dump(self.path)
        assert self.final != self.whole

    def do(self, disk: Disk) -> object:
        with self.in_small():
            return compact_store(
                Store(self.path, "main", self.state_dir),
                Policy(),
                GONE,
                workspace=Workspace(self.home, disk),
                now_ms=NOW_MS,
            )

    @contextmanager
    def in_small(self) -> Iterator[None]:
        """Let a small database be changed as a large one is."""
        with (
            patch.object(change, "BATCH_STEPS", 1),
            patch.object(finish, "_WORTH_PAGES", 1),
            patch.object(finish, "_ROOM_FACTOR", self.room_factor),
        ):
            yield

    def undo(self) -> None:
        restore(
            Workspace(self.home, RealDisk()),
            everything=True,
            apply=True,
            now_ms=NOW_MS + 1,
            store=self.path,
        )

    def check_recovers_once(self) -> None:
        recover(Workspace(self.home, RealDisk()))
        settled = list_tree(self.state_dir), list_tree(self.home.root)
        assert recover(Workspace(self.home, RealDisk())) == ()
        assert (list_tree(self.state_dir), list_tree(self.home.root)) == settled
        self.check_litter()

    def check_litter(self) -> None:
        """Nothing of ours is left beside the database but what the gateway leaves too."""
        names = {p.name for p in self.path.parent.iterdir()}
        assert names <= {self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"}
        for lock in self.state_dir.rglob("*.lock"):  # it could not be deleted
            owner = read_owner(lock)
            assert self.went_on, "a lock was left"
            assert owner is None or not owner_lives(owner), "the next to come cannot take it over"

    def check_outcome(self) -> None:
        with closing(connect(self.path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            db.execute(f"INSERT INTO {FTS} ({FTS}) VALUES ('integrity-check')")
            db.rollback()
        workspace = Workspace(self.home, RealDisk())
        left, archived = set(read_entries(self.path)), self.list_archived()
        assert left | archived == self.every
        states = {action.state for action in Ledger(workspace).read_all()}
        assert states <= {State.DONE, State.UNDONE}
        self.check_no_litter_at_home()
        for kept in self.list_kept():
            if kept.action.kind == "compact":
                archive.verify(workspace, kept.action.id)
        if archived:
            self.undo()
        assert dump(self.path) == self.whole

    def list_archived(self) -> set[str]:
        workspace = Workspace(self.home, RealDisk())
        return {
            header.key
            for kept in self.list_kept()
            if kept.action.kind == "compact"
            for header in archive.show(workspace, kept.action.id).headers
        }


class DatabaseShrinking(DatabaseCompaction):
    """The same where there is no room for VACUUM: pages go in steps."""

    name = "compact a database in little room"
    room_factor = 1 << 40


class DatabaseRestoring(DatabaseCompaction):
    """`restore --all --apply`, after a compaction."""

    name = "restore a database"

    def prepare(self) -> None:
        super().prepare()
        super().do(RealDisk())

    def do(self, disk: Disk) -> object:
        with self.in_small():
            return restore(
                Workspace(self.home, disk),
                everything=True,
                apply=True,
                now_ms=NOW_MS + 1,
                store=self.path,
            )

    def learn(self) -> None:
        assert self.act(RealDisk()) == 0
        assert dump(self.path) == self.whole


DATABASES: dict[str, type[Scenario]] = {
    each.name: each for each in (DatabaseCompaction, DatabaseShrinking, DatabaseRestoring)
}
