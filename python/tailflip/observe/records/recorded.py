"""Reads the files that one database, or manifests of imports, name; for `receipts`.

A part that cannot be read becomes a problem for people, and the rest is read.
"""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeGuard

from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

# The tables that hold the content of a legacy file once it was taken over.
SUCCESSORS = {"jobs.json": "cron_jobs", "runs.sqlite": "task_runs"}
_MOST_REPORT_BYTES = 32 << 20
_MOST_PATHS = 100_000
_PATH_COLUMN = re.compile(r"(.*_)?(path|realpath|file)")
_PROOF_COLUMN = re.compile(r".*(sha256|digest|hash|mtime|size|verified|quarantined).*")
# This table's `path` is of an HTTP request; a gateway with a debugging proxy has millions.
_NO_RECORDS = frozenset({"capture_events"})


@dataclass(frozen=True)
class Receipt:
    """One record that names a file; `path` is as recorded.

    `place` is for people. `plugins` are those that the end of an import waits for.
    `taken_over`: no record names the file, but its content is in a database.
    """

    path: str
    place: str
    kind: str = ""
    sha256: str | None = None
    size_bytes: int | None = None
    recorded_ms: int | None = None
    plugins: tuple[str, ...] = ()
    taken_over: bool = False


@dataclass
class Named:
    """The records of one place. `problems` say what could not be read.

    `tables` are those of `SUCCESSORS` that have rows. `importing` are stores that an unfinished
    import still reads.
    """

    receipts: list[Receipt] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    importing: set[str] = field(default_factory=set)

    def add(self, other: Named) -> None:
        """Add the records of another place."""
        self.receipts += other.receipts
        self.problems += other.problems
        self.tables |= other.tables
        self.importing |= other.importing

    def walk(self, text: object, place: str) -> object:
        """Add every path of a report, and return the parsed report; None if it cannot be parsed."""
        if not isinstance(text, str) or not text.strip():
            return None
        if len(text) > _MOST_REPORT_BYTES:
            self.problems.append(f"{place}: {len(text)} characters are too long to look through")
            return None
        try:
            report = json.loads(text)
            self.receipts += _walk(report, place)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{place}: {error}")
            return None
        return report


def read_tables(db: sqlite3.Connection, path: Path, newest: int) -> Named:
    """Read every record of one database; a schema later than `newest` may have more."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    named = Named()
    if version > newest:
        named.problems.append(f"{path}: schema {version} is not known, only up to {newest}")
    if not names:
        named.problems.append(f"{path}: it is empty")
    for name in names:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({_quote(name)})")]
        if name == "migration_sources":
            _read_sources(db, path, columns, named)
        elif name == "migration_runs":
            for run, report in db.execute("SELECT id, report_json FROM migration_runs"):
                named.walk(report, f"migration_runs of {path}: {run}")
        elif name not in _NO_RECORDS and any(map(_PROOF_COLUMN.fullmatch, columns)):
            for column in filter(_PATH_COLUMN.fullmatch, columns):
                rows = db.execute(
                    f"SELECT DISTINCT {_quote(column)} FROM {_quote(name)} LIMIT ?",  # noqa: S608
                    (_MOST_PATHS,),
                )
                place = f"table {name} of {path}"
                named.receipts += [Receipt(each, place) for (each,) in rows if _is_path(each)]
    named.tables = {
        name
        for name in SUCCESSORS.values()
        if name in names and db.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()  # noqa: S608
    }
    return named


def _read_sources(db: sqlite3.Connection, path: Path, columns: list[str], named: Named) -> None:
    if "source_path" not in columns:
        named.problems.append(f"{path}: migration_sources has no source_path")
    for row in db.execute("SELECT * FROM migration_sources"):
        record = dict(zip(columns, row, strict=True))
        kind = str(record.get("migration_kind"))
        place = f"migration_sources of {path}: {kind}, {record.get('status')}"
        report = named.walk(record.get("report_json"), place)
        plugins = report.get("pluginIds") if isinstance(report, dict) else None
        source = record.get("source_path")
        if _is_path(source):
            receipt = Receipt(
                source,
                place,
                kind=kind,
                sha256=_text(record.get("source_sha256")),
                size_bytes=_whole(record.get("source_size_bytes")),
                recorded_ms=_whole(record.get("imported_at")),
                plugins=tuple(p for p in plugins if isinstance(p, str))
                if isinstance(plugins, list)
                else (),
            )
            named.receipts.append(receipt)


def read_manifests(folder: Path) -> Named:
    """Read every manifest of an import, and the stores that the newest one has not finished."""
    named = Named()
    newest: dict[str, tuple[str, bool]] = {}
    try:
        names = sorted(os.listdir(folder)) if may_exist(folder) else []  # noqa: PTH208 - for errors
    except OSError as error:
        named.problems.append(f"{folder}: {error}")
        return named
    for name in names:
        if not name.endswith(".json") or ".failure." in name:
            continue
        try:
            manifest = json.loads(read_regular(folder / name, _MOST_REPORT_BYTES))
            _read_manifest(manifest, f"import manifest {folder / name}", named, newest)
        except (OSError, ValueError, RecursionError) as error:
            named.problems.append(f"{folder / name}: {error}")
    named.importing = {store for store, (_, is_over) in newest.items() if not is_over}
    return named


def _read_manifest(
    manifest: Any, place: str, named: Named, newest: dict[str, tuple[str, bool]]
) -> None:
    """Add one manifest.

    Raises:
        ValueError: the manifest has another form.
    """
    try:
        targets = [(target["storePath"], target) for target in manifest["targets"]]
        started, is_over = str(manifest["startedAt"]), bool(manifest.get("completedAt"))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("it is no manifest of an import") from error
    for store, target in targets:
        if not _is_path(store):
            raise ValueError("it has a target without a store")
        for moves in (target.get("plannedMoves"), target.get("completedMoves")):
            named.receipts += _walk(moves, place)
        if is_over and target.get("validationBeforeArchive") == "passed":
            named.receipts.append(Receipt(store, place))
        real = os.path.realpath(store)
        newest[real] = max(newest.get(real, ("", True)), (started, is_over))


def _walk(value: object, place: str) -> Iterator[Receipt]:
    """Find every path in a report, with the digest beside it."""
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


def may_exist(path: Path) -> bool:
    """Say whether a file exists.

    Raises:
        OSError: that is unknown to this user.
    """
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise
    return True


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_path(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
