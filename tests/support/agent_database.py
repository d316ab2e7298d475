"""Databases of an agent as gateways since 2026.8.1 make them: made here, and read behind our back.

Tables, columns, keys and indexes are those that a real gateway made (`data/agent_schema_*.json`).
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from support.stores import NOW_MS

DATA = Path(__file__).parent.parent / "data"
VERSIONS = (19, 21, 23)
NODES, WINDOWS = "session_nodes", "session_windows"
CONTRACT = "session_key_contract"
FTS = "session_transcript_fts"
_FIELDS = ("sessionId", "updatedAt", "status")


def make_database(
    path: Path, entries: dict[str, Any], version: int = 23, *, agent: str = "main"
) -> None:
    """Make a database with a node, a window and a transcript for each entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(connect(path)) as db:
        db.executescript("PRAGMA auto_vacuum = 2; PRAGMA journal_mode = WAL;")
        db.executescript(write_schema(version))
        db.execute(
            "INSERT INTO schema_meta VALUES ('primary', 'agent', ?, ?, '2026.9.6', 0, 0)",
            (version, agent),
        )
        with db:
            for key, entry in entries.items():
                add_entry(db, key, entry)
    path.chmod(0o600)


def write_receipt(path: Path) -> None:
    """Note, as a gateway of 2026.9.6 does, that it has proven all entries of this very file."""
    info = path.stat()
    told = json.dumps([1, "main", f"{info.st_dev}:{info.st_ino}", "1"], separators=(",", ":"))
    with closing(connect(path)) as db, db:
        db.execute(f"INSERT OR REPLACE INTO {CONTRACT} VALUES (1, 'main', ?, 0)", (told,))


def connect(path: Path) -> sqlite3.Connection:
    """Open a database as the gateway does."""
    db = sqlite3.connect(path)
    db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    db.execute("PRAGMA foreign_keys = ON")
    try:
        db.execute("SELECT octet_length('')")
    except sqlite3.OperationalError:
        db.create_function("octet_length", 1, lambda v: None if v is None else len(v))
    return db


def write_schema(version: int) -> str:
    """Write the statements that make the tables of a version."""
    told = json.loads((DATA / f"agent_schema_{version}.json").read_text())
    parts = [f"PRAGMA user_version = {version}"]
    parts += [_write_table(name, table) for name, table in told["tables"].items()]
    for number, (table, columns, is_unique) in enumerate(told["indexes"]):
        unique = "UNIQUE " if is_unique else ""
        parts.append(f"CREATE {unique}INDEX own_{number} ON {table} ({', '.join(columns)})")
    parts.append(
        f"CREATE VIRTUAL TABLE {FTS} USING fts5 (text, session_id UNINDEXED,"
        " message_id UNINDEXED, role UNINDEXED, timestamp UNINDEXED)"
    )
    return ";\n".join((*parts, *_write_triggers(told["tables"]))) + ";"


def _write_table(name: str, table: dict[str, Any]) -> str:
    keys = sorted((row[4], row[0]) for row in table["columns"] if row[4])
    columns = []
    for column, kind, not_null, default, at in table["columns"]:
        text = f"{column} {kind}" + (" NOT NULL" if not_null else "")
        if default is not None:
            text += f" DEFAULT {default}"
        if at and len(keys) == 1 and kind == "INTEGER":
            text += " PRIMARY KEY" + (" AUTOINCREMENT" if table["sequence"] else "")
        columns.append(text)
    if name == "transcript_events" and any(row[0] == "event_zstd" for row in table["columns"]):
        columns.append("CHECK (event_json IS NOT NULL OR octet_length(event_zstd) > 0)")
    if not (len(keys) == 1 and "PRIMARY KEY" in " ".join(columns)) and keys:
        columns.append(f"PRIMARY KEY ({', '.join(column for _, column in keys)})")
    for parent, own, of, on_delete in table["links"]:
        to = f" ({', '.join(of)})" if None not in of else ""
        columns.append(
            f"FOREIGN KEY ({', '.join(own)}) REFERENCES {parent}{to} ON DELETE {on_delete}"
        )
    return f"CREATE TABLE {name} ({', '.join(columns)}) STRICT"


def _write_triggers(tables: dict[str, Any]) -> list[str]:
    """Write the triggers that judge a change: an entry that was written is not proven."""
    unproven = f"UPDATE {NODES} SET entry_valid = 0 WHERE session_key = NEW.session_key"
    triggers = [
        f"CREATE TRIGGER valid_{n} AFTER {when} ON {NODES} BEGIN {unproven}; END"
        for n, when in enumerate(
            ("INSERT", "UPDATE OF entry_json", "UPDATE OF current_session_id, updated_at")
        )
    ]
    if "session_canonical_validation_pending" in tables:
        pending = "session_canonical_validation_pending"
        triggers += [
            f"CREATE TRIGGER pending_{n} AFTER {when} ON {NODES} BEGIN INSERT OR IGNORE INTO"
            f" {pending} VALUES (NEW.session_key); END"
            for n, when in enumerate(("INSERT", "UPDATE OF entry_json, entry_valid"))
        ]
        triggers.append(
            f"CREATE TRIGGER pending_gone AFTER DELETE ON {NODES} BEGIN DELETE FROM {pending}"
            " WHERE session_key = OLD.session_key; END"
        )
    if f"{FTS}_rows" in tables:
        triggers.append(
            f"CREATE TRIGGER fts_gone AFTER DELETE ON {FTS}_rows BEGIN DELETE FROM {FTS}"
            " WHERE rowid = OLD.id; END"
        )
    return triggers


def add_entry(db: sqlite3.Connection, key: str, entry: dict[str, Any]) -> None:
    """Add a node with one window, whose transcript has a line that can be searched."""
    session = str(entry.get("sessionId", key))
    moment = int(entry.get("updatedAt", NOW_MS))
    db.execute(
        f"INSERT INTO {NODES} (session_key, current_session_id, entry_json, updated_at, status)"
        " VALUES (?, ?, ?, ?, ?)",
        (key, session, format_entry(entry), moment, entry.get("status")),
    )
    add_window(db, key, session, moment, entry.get("status"))
    db.execute(f"UPDATE {NODES} SET entry_valid = 1 WHERE session_key = ?", (key,))


def add_window(
    db: sqlite3.Connection, key: str, session: str, moment: int, status: str | None = None
) -> None:
    """Add a window with a transcript of one event, where none of that session is."""
    if db.execute(f"SELECT 1 FROM {WINDOWS} WHERE session_id = ?", (session,)).fetchone():
        return
    db.execute(
        f"INSERT INTO {WINDOWS} (session_id, session_key, session_scope, created_at, updated_at,"
        " status) VALUES (?, ?, 'conversation', ?, ?, ?)",
        (session, key, moment, moment, status),
    )
    event = json.dumps({"type": "session", "id": session})
    db.execute(
        "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
        " VALUES (?, 0, ?, ?)",
        (session, event, moment),
    )
    db.execute(
        "INSERT INTO transcript_event_identities (session_id, event_id, seq, created_at)"
        " VALUES (?, ?, 0, ?)",
        (session, f"event-{session}", moment),
    )
    rowid = db.execute(
        f"INSERT INTO {FTS} (text, session_id, message_id) VALUES (?, ?, ?)",
        (f"words of {session}", session, f"event-{session}"),
    ).lastrowid
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"{FTS}_rows",)).fetchone():
        db.execute(f"INSERT INTO {FTS}_rows VALUES (?, ?, ?)", (rowid, session, f"event-{session}"))


def format_entry(entry: dict[str, Any]) -> str:
    """Lay an entry out as the gateway does."""
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False)


def read_entries(path: Path) -> dict[str, Any]:
    """Read all entries by the standard library alone."""
    with closing(connect(path)) as db:
        rows = db.execute(f"SELECT session_key, entry_json FROM {NODES}")
        return {key: json.loads(entry) for key, entry in rows}


def write_entries(path: Path, entries: dict[str, Any]) -> None:
    """Do what the gateway does when it saves these entries, and no others."""
    before = read_entries(path)
    with closing(connect(path)) as db, db:
        for key in before.keys() - entries.keys():
            db.execute(f"DELETE FROM {NODES} WHERE session_key = ?", (key,))
        for key, entry in entries.items():
            if key not in before:
                add_entry(db, key, entry)
            elif before[key] != entry:
                db.execute(
                    f"UPDATE {NODES} SET entry_json = ?, updated_at = ?, status = ?"
                    " WHERE session_key = ?",
                    (format_entry(entry), entry["updatedAt"], entry.get("status"), key),
                )
                db.execute(f"UPDATE {NODES} SET entry_valid = 1 WHERE session_key = ?", (key,))


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, sorted; what is derived from them is left out."""
    with closing(connect(path)) as db:
        names = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith((f"{FTS}_", "sqlite_")) or name == f"{FTS}_rows"
        ]
        return {
            name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in names
            if name != "session_canonical_validation_pending"
        }
