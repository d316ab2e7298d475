"""Reads which legacy files a gateway has on record; tailflip does not write those files.

From 2026.6.1 on gateways import the files of the JSON era into SQLite databases, and record
what they took, often with a digest. Where a release checks such a record again, a changed file is
fatal: 2026.9.6 then ends every start with exit 78. Releases check different records, so all
records count, in any state.

Places that name a legacy file, with its digest, size or time (read in the packages 2026.7.35,
2026.8.1, 2026.9.5 and 2026.9.6):

`<state>/state/openclaw.sqlite`
    `migration_sources`: `source_path`, `source_sha256`, `source_size_bytes`, and in `report_json`
    further paths, with `identity` (dev, ino, mtimeNs, size, sha256). Kinds:
    `deferred-plugin-session-import` (9.5, 9.6: the session store, its transcripts, trajectories
    and `.jsonl` files that no entry names; compared at every start, `deferred-plugin-session-
    sources`: "Retained session migration source changed", also when a transcript appears that
    was not there), `deferred-plugin-acp-metadata` (9.5, 9.6: the session store, compared:
    "Retained ACP metadata changed after import"), `legacy-cron-json` (7.35 on: jobs.json, with
    the digest of jobs-state.json in its run), `legacy-exec-approvals-json`, `legacy-device-
    identity-json`, `legacy-workspace-setup-files`, `workspace-content-relocation`, `delivery-
    queues`, `meeting-transcripts-files-v1`, `auth-profile-json-to-sqlite-v2`, `auth-profile-
    sqlite-alias-map`, `shared-auth-store-state-db` and that of the skill workshop.
    `legacy-main-session-keys-v1` names the state directory, and no file.
    `migration_runs`: the same reports; `deferred-plugin-migration:<plugin>` with status
    `pending` says what an import waits for.
    Any other table with a path beside a digest, size or time, such as
    `outbound_media_provenance` (realpath, sha256, size_bytes).
`<state>/state/openclaw-quarantine.sqlite`
    `quarantined_databases`, `agent_integrity_verifications`: databases, with dev and ino.
`<state>/session-sqlite-migration-runs/*.json` (8.1 on)
    Manifests of `doctor --session-sqlite` and of the import at start: planned and done moves,
    from 9.5 on with `artifact.identity` as above, compared before a move is published or undone.

A file whose content is in a database by now counts too, on record or not: a `sessions.json` beside
a filled agent database keeps 8.1 (exit 1) and 9.5 (exit 78) from starting until the doctor has
taken it, and 9.6 merges it at its start. While the newest run of an import is not over, the import
still reads the file, and making it smaller helps.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.observe.agents import AGENT_DATABASE, find_store_databases, has_sessions
from tailflip.observe.records.database import read_database
from tailflip.observe.records.recorded import (
    SUCCESSORS,
    Named,
    Receipt,
    may_exist,
    read_manifests,
    read_tables,
)
from tailflip.observe.records.state_database import NEWEST_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = "session-sqlite-migration-runs"
DEFERRED_IMPORT = "deferred-plugin-session-import"
_NEWEST_QUARANTINE_SCHEMA = 2
_TAIL_PARTS = 2


@dataclass(frozen=True)
class Receipts:
    """The records of one state directory; `problem` says why some may be missing.

    `importing` are stores that an unfinished import still reads. `tables` are the tables of the
    state database that have rows.
    """

    state_dir: Path
    named: tuple[Receipt, ...] = ()
    problem: str | None = None
    importing: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    _by_name: dict[str, list[Receipt]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for receipt in self.named:
            self._by_name.setdefault(_fold(receipt.path), []).append(receipt)

    def find(self, path: Path) -> Receipt | None:
        """Find the record that names a file, one with a digest before one without."""
        paths = {os.path.abspath(path), os.path.realpath(path)}  # noqa: PTH100 - the string counts
        alike = [r for name in {_fold(p) for p in paths} for r in self._by_name.get(name, [])]
        # The store may be recorded under the name of a link to it.
        others = [r for r in self.named if r.kind and r not in alike]
        found = [r for r in (*alike, *others) if any(self._is_same(r.path, p) for p in paths)]
        found.sort(key=lambda r: (r.sha256 is None, r.kind != DEFERRED_IMPORT))
        return found[0] if found else self._find_taken_over(path)

    def _is_same(self, recorded: str, path: str) -> bool:
        """Compare a recorded path with a path here, also where the directory was moved.

        In a container the gateway may use another name for the directory.
        """
        if recorded == path:
            return True
        for root in {str(self.state_dir), os.path.realpath(self.state_dir)}:
            tail = path.removeprefix(f"{root}{os.sep}") if path.startswith(root + os.sep) else ""
            if len(Path(tail).parts) >= _TAIL_PARTS and recorded.endswith(os.sep + tail):
                return True
        try:
            return Path(recorded).samefile(path)
        except (OSError, ValueError):
            return False

    def _find_taken_over(self, path: Path) -> Receipt | None:
        table = SUCCESSORS.get(path.name)
        if table is not None:
            usual = {os.path.realpath(self.state_dir / name) for name in ("cron", "tasks")}
            if table not in self.tables or os.path.realpath(path.parent) not in usual:
                return None
            place = f"table {table} of {find_state_database(self.state_dir)}"
            return Receipt(str(path), place, taken_over=True)
        if not path.name.endswith(".json") or os.path.realpath(path) in self.importing:
            return None
        for database in self._list_agent_databases(path):
            try:
                is_filled = has_sessions(database)
            except (OSError, sqlite3.Error):
                is_filled = True  # it may be filled
            if is_filled:
                return Receipt(str(path), str(database), taken_over=True)
        return None

    def _list_agent_databases(self, store: Path) -> Iterator[Path]:
        """List the databases that may have taken a session store over.

        Source: OpenClaw 2026.9.6, `resolveSqliteTargetFromSessionStorePath`: beside a store that
        `session.store` puts elsewhere, else in the agent's folder.
        """
        agents = self.state_dir / "agents"
        found = [path for path in find_store_databases(store) if os.path.lexists(path)]
        yield from found
        if not found and not {agents, self.state_dir / "cron"} & set(store.parents):
            yield from sorted(agents.glob(f"*/agent/{AGENT_DATABASE}"))


def find_state_database(state_dir: Path) -> Path:
    """Name the state database's file, whether it exists or not."""
    return state_dir / "state" / "openclaw.sqlite"


def find_state_dirs(path: Path, state_dir: Path | None = None) -> tuple[Path, ...]:
    """List the state directories that may have a file on record: those above it, and the given.

    A directory that may not be searched counts: its contents are unknown.
    """
    above = [*path.absolute().parents, *Path(os.path.realpath(path)).parents]
    found = [each for each in above if each / "agents" in above or _is_state_dir(each)]
    given = [] if state_dir is None else [state_dir]
    by_target = {os.path.realpath(each): each for each in reversed((*given, *found))}
    return tuple(reversed(by_target.values()))


def read_receipts(state_dir: Path) -> Receipts:
    """Read the records of a state directory; `problem` tells what could not be read."""
    named = Named()
    databases = {
        find_state_database(state_dir): NEWEST_SCHEMA,
        state_dir / "state" / "openclaw-quarantine.sqlite": _NEWEST_QUARANTINE_SCHEMA,
    }
    for path, newest in databases.items():
        try:
            if may_exist(path):
                named.add(read_database(path, partial(read_tables, path=path, newest=newest)))
        except (OSError, sqlite3.Error) as error:
            named.problems.append(f"{path}: {error}")
    named.add(read_manifests(state_dir / RUNS))
    return Receipts(
        state_dir,
        tuple(named.receipts),
        "; ".join(named.problems) or None,
        frozenset(named.importing),
        frozenset(named.tables),
    )


def _is_state_dir(folder: Path) -> bool:
    names = (find_state_database(folder), folder / RUNS)
    for name in names:
        try:
            if may_exist(name):
                return True
        except OSError:
            return True
    return False


def _fold(path: str) -> str:
    return Path(path).name.casefold()
