"""Which legacy files a gateway has on record: read only, and what is on record is not written.

From 2026.6.1 on gateways import the files of the JSON era into SQLite databases, and write
down what they took, often with a digest. Where such a record is checked again, a changed
file is fatal: 2026.9.6 then ends every start with exit 78. Which records are checked differs
from release to release, so all of them count, in any state.

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

A file whose content lives in a database by now is evidence too, on record or not: a
`sessions.json` beside a filled agent database makes 8.1 to 9.6 end with exit 78 until `openclaw
doctor --fix` has taken it. Only while the newest run of an import is not over is it still what
the import reads, and making it smaller helps.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from tailflip.observe.database import read_database
from tailflip.observe.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = "session-sqlite-migration-runs"
DEFERRED_IMPORT = "deferred-plugin-session-import"
_NEWEST_STATE_SCHEMA = 18  # of 2026.9.6; a later one may record things where nobody looks
_NEWEST_QUARANTINE_SCHEMA = 2
_MOST_REPORT_BYTES = 64 << 20
_MOST_PATHS = 100_000
_PATH_COLUMN = re.compile(r"(.*_)?(path|realpath|file)")
_PROOF_COLUMN = re.compile(r".*(sha256|digest|hash|mtime|size|verified|quarantined).*")
# Its `path` is that of an HTTP request; a gateway with a debugging proxy has millions of them.
_NO_RECORDS = frozenset({"capture_events"})
_TAIL_PARTS = 2
# Where the content of a legacy file lives once it was taken over.
_SUCCESSORS = {"jobs.json": "cron_jobs", "runs.sqlite": "task_runs"}
AGENT_DATABASE = "openclaw-agent.sqlite"


@dataclass(frozen=True)
class Receipt:
    """One record that names a file; `path` is as recorded.

    `place` is for people. `plugins` are those that the end of an import waits for.
    `taken_over` says that the file is named by no record, but its content lives elsewhere.
    """

    path: str
    place: str
    kind: str = ""
    sha256: str | None = None
    size_bytes: int | None = None
    recorded_ms: int | None = None
    plugins: tuple[str, ...] = ()
    taken_over: bool = False


@dataclass(frozen=True)
class Receipts:
    """All that one state directory has on record; `problem` says why that may not be all.

    `importing` are stores that an unfinished import still reads. `tables` are those of the
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
        # A store that was recorded under the name of a link to it.
        others = [r for r in self.named if r.kind and r not in alike]
        found = [r for r in (*alike, *others) if any(self._is_same(r.path, p) for p in paths)]
        found.sort(key=lambda r: (r.sha256 is None, r.kind != DEFERRED_IMPORT))
        return found[0] if found else self._find_taken_over(path)

    def _is_same(self, recorded: str, path: str) -> bool:
        """Compare a recorded path with one of ours, also where the directory was moved.

        In a container the gateway may know it by another name than we do.
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
        table = _SUCCESSORS.get(path.name)
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
                is_filled = True  # it may be
            if is_filled:
                return Receipt(str(path), str(database), taken_over=True)
        return None

    def _list_agent_databases(self, store: Path) -> Iterator[Path]:
        """List the databases that may have taken a session store over."""
        own = store.parent.parent / "agent" / AGENT_DATABASE
        if store.parent.name == "sessions":
            if os.path.lexists(own):
                yield own
            if (self.state_dir / "agents") in store.parents:
                return
        if (self.state_dir / "cron") not in store.parents:
            yield from sorted((self.state_dir / "agents").glob(f"*/agent/{AGENT_DATABASE}"))


def find_state_database(state_dir: Path) -> Path:
    """Name the file; it need not exist."""
    return state_dir / "state" / "openclaw.sqlite"


def find_state_dirs(path: Path, state_dir: Path | None = None) -> tuple[Path, ...]:
    """List the state directories that may have a file on record: those it lies in, and the given.

    One that we may not search counts: nobody can tell what is in it.
    """
    above = [*path.absolute().parents, *Path(os.path.realpath(path)).parents]
    found = [each for each in above if each / "agents" in above or _is_state_dir(each)]
    given = [] if state_dir is None else [state_dir]
    by_target = {os.path.realpath(each): each for each in reversed((*given, *found))}
    return tuple(reversed(by_target.values()))


def read_receipts(state_dir: Path) -> Receipts:
    """Read what a state directory has on record; never raises, leaves no trace."""
    named: list[Receipt] = []
    problems: list[str] = []
    importing: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    quarantine = state_dir / "state" / "openclaw-quarantine.sqlite"
    databases = {
        find_state_database(state_dir): _NEWEST_STATE_SCHEMA,
        quarantine: _NEWEST_QUARANTINE_SCHEMA,
    }
    for path, newest in databases.items():
        try:
            if _may_exist(path):
                read, filled = read_database(path, partial(_read_tables, path=path, newest=newest))
                named += read
                tables |= filled
        except (OSError, sqlite3.Error, ValueError, RecursionError) as error:
            problems.append(f"{path}: {error}")
    try:
        read, importing = _read_manifests(state_dir / RUNS)
        named += read
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{state_dir / RUNS}: {error}")
    return Receipts(state_dir, tuple(named), "; ".join(problems) or None, importing, tables)


def has_sessions(database: Path) -> bool:
    """Say whether an agent's database holds sessions.

    Raises:
        OSError: it cannot be read.
        sqlite3.Error: it is damaged.
    """
    return read_database(database, _has_nodes)


def _has_nodes(db: sqlite3.Connection) -> bool:
    try:
        return db.execute("SELECT 1 FROM session_nodes LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return False
        raise


def _read_tables(
    db: sqlite3.Connection, path: Path, newest: int
) -> tuple[list[Receipt], frozenset[str]]:
    """Read every record of one database.

    Raises:
        ValueError: it has a form that we do not know.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if version > newest:
        raise ValueError(f"schema {version} is not known, only up to {newest}")
    if not names:
        raise ValueError("it is empty")
    found: list[Receipt] = []
    for name in names:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({_quote(name)})")]
        if name == "migration_sources":
            found += _read_sources(db, path, columns)
        elif name == "migration_runs":
            found += _read_runs(db, path)
        elif name not in _NO_RECORDS and any(map(_PROOF_COLUMN.fullmatch, columns)):
            for column in filter(_PATH_COLUMN.fullmatch, columns):
                rows = db.execute(
                    f"SELECT DISTINCT {_quote(column)} FROM {_quote(name)} LIMIT ?",  # noqa: S608
                    (_MOST_PATHS,),
                )
                place = f"table {name} of {path}"
                found += [Receipt(each, place) for (each,) in rows if _is_path(each)]
    filled = {
        name
        for name in _SUCCESSORS.values()
        if name in names and db.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()  # noqa: S608
    }
    return found, frozenset(filled)


def _read_sources(db: sqlite3.Connection, path: Path, columns: list[str]) -> Iterator[Receipt]:
    if "source_path" not in columns:
        raise ValueError("migration_sources has no source_path")
    rows = db.execute("SELECT * FROM migration_sources")
    for row in rows:
        record = dict(zip(columns, row, strict=True))
        kind = str(record.get("migration_kind"))
        place = f"migration_sources of {path}: {kind}, {record.get('status')}"
        at_ms = record.get("imported_at")
        report = _parse(record.get("report_json"))
        plugins = report.get("pluginIds") if isinstance(report, dict) else None
        shared: dict[str, Any] = {
            "place": place,
            "kind": kind,
            "recorded_ms": at_ms if isinstance(at_ms, int) else None,
            "plugins": tuple(p for p in plugins or () if isinstance(p, str))
            if isinstance(plugins, list)
            else (),
        }
        if _is_path(record["source_path"]):
            yield Receipt(
                record["source_path"],
                sha256=_text(record.get("source_sha256")),
                size_bytes=_whole(record.get("source_size_bytes")),
                **shared,
            )
        for receipt in _walk(report, place):
            yield Receipt(
                receipt.path,
                sha256=receipt.sha256,
                size_bytes=receipt.size_bytes,
                **shared | {"kind": ""},
            )


def _read_runs(db: sqlite3.Connection, path: Path) -> Iterator[Receipt]:
    for run, report in db.execute("SELECT id, report_json FROM migration_runs"):
        yield from _walk(_parse(report), f"migration_runs of {path}: {run}")


def _read_manifests(folder: Path) -> tuple[list[Receipt], frozenset[str]]:
    """Read every manifest of an import, and which stores the newest one is not done with.

    Raises:
        OSError: the folder or a manifest cannot be read.
        ValueError: a manifest is not what it must be.
    """
    found: list[Receipt] = []
    newest: dict[str, tuple[str, bool]] = {}
    if not _may_exist(folder):
        return found, frozenset()
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - a PermissionError must be seen
        if not name.endswith(".json") or ".failure." in name:
            continue
        manifest = json.loads(read_regular(folder / name, _MOST_REPORT_BYTES))
        place = f"import manifest {folder / name}"
        try:
            targets = [(target["storePath"], target) for target in manifest["targets"]]
            started, is_over = str(manifest["startedAt"]), bool(manifest.get("completedAt"))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{name} is no manifest of an import") from error
        for store, target in targets:
            if not _is_path(store):
                raise ValueError(f"{name} has a target without a store")
            for moves in (target.get("plannedMoves"), target.get("completedMoves")):
                found += _walk(moves, place)
            if is_over and target.get("validationBeforeArchive") == "passed":
                found.append(Receipt(store, place))
            real = os.path.realpath(store)
            newest[real] = max(newest.get(real, ("", True)), (started, is_over))
    return found, frozenset(store for store, (_, is_over) in newest.items() if not is_over)


def _walk(value: object, place: str) -> Iterator[Receipt]:
    """Find every path in a report, with the digest that stands beside it."""
    if isinstance(value, list):
        for each in value:
            if _is_path(each):
                yield Receipt(each, place)
            else:
                yield from _walk(each, place)
    if not isinstance(value, dict):
        return
    identity = _find_identity(value)
    for key, each in value.items():
        if _is_path(each):
            is_source = key in ("path", "sourcePath", "source")
            sha256 = _text(identity.get("sha256")) if is_source else None
            size_bytes = _whole(identity.get("size")) if is_source else None
            yield Receipt(each, place, sha256=sha256, size_bytes=size_bytes)
        else:
            yield from _walk(each, place)


def _find_identity(record: dict[str, Any]) -> dict[str, Any]:
    artifact = record.get("artifact")
    inner = artifact.get("identity") if isinstance(artifact, dict) else None
    for each in (record.get("identity"), inner, record):
        if isinstance(each, dict) and "sha256" in each:
            return each
    return {}


def _parse(text: object) -> object:
    """Parse a report; one that is none holds no path."""
    if not isinstance(text, str):
        return None
    if len(text) > _MOST_REPORT_BYTES:
        raise ValueError(f"a report of {len(text)} characters is too long to look through")
    return json.loads(text) if text.strip() else None


def _is_state_dir(folder: Path) -> bool:
    names = (find_state_database(folder), folder / RUNS)
    for name in names:
        try:
            if _may_exist(name):
                return True
        except OSError:
            return True
    return False


def _may_exist(path: Path) -> bool:
    """Say whether a file is there.

    Raises:
        OSError: nobody can tell, for us at least.
    """
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise
    return True


def _fold(path: str) -> str:
    return Path(path).name.casefold()


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_path(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
