"""What is asked of a release with sessions in databases: one is made small, lived on, put back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from imported_store import ImportedStore

from support.agent_database import NODES, read_entries
from tailflip.observe.gateway.catalogue import Fact, read_catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install

    from matrix.lines import Line

IMPORTS = "imports a store into its database"
SHRINKS = "compact --apply of that database"
UNDOES = "restore puts back every row of it"
LIVES = "boots on it compacted, and `sessions` lists every chat"
UNDOES_LATER = "restore after that life, and it boots"
MB = 1_000_000
_STORE_MB = 12
_RUNNING = """
    SELECT node.session_key FROM session_nodes AS node
    LEFT JOIN session_windows AS own ON own.session_id = node.current_session_id
    WHERE 'running' IN (node.status, own.status, json_extract(node.entry_json, '$.status'))
"""


def keeps_databases(release: str) -> bool:
    """Say whether a release keeps its sessions in databases, by the catalogue."""
    return read_catalogue().find(Fact.SESSIONS, release) == "database"


def refuses_files(release: str) -> bool:
    """Say whether a release leaves a `sessions.json` to its own tool, by the catalogue."""
    return read_catalogue().find(Fact.LEGACY_SESSIONS, release) == "refused"


def list_keys(state: Path) -> set[str]:
    """List the sessions in a stopped gateway's databases."""
    return {key for path in _find(state) for key in read_entries(path)}


def list_running(state: Path) -> list[str]:
    """List the sessions that any place in a stopped gateway's databases calls running."""
    found = []
    for path in _find(state):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
            if NODES in tables:  # those of 2026.6 and 7 hold no sessions
                found += [key for (key,) in db.execute(_RUNNING)]
    return found


def _find(state: Path) -> list[Path]:
    return sorted(state.glob("agents/*/agent/openclaw-agent.sqlite"))


def ask_of_database(line: Line, install: Install, folder: Path) -> None:
    """Ask all of one database, each step of what the one before has left."""
    store, keys = ImportedStore(install, folder / "database" / "state"), set[str]()
    with line.asking(IMPORTS, 400) as told:
        store.bring_in(_STORE_MB * MB)
        keys = store.keys()
        told.append(f"{len(keys)} entries")
        assert keys, "none is there"
    with line.asking(SHRINKS, 150) as told:
        line.need(IMPORTS)
        before, was = store.rows(), store.database.stat()
        store.compact()
        now, left = store.database.stat(), store.keys()
        told.append(f"{len(keys)} entries to {len(left)}")
        told.append(f"{was.st_size / MB:.1f} MB to {now.st_size / MB:.1f} MB")
        assert now.st_size < was.st_size / 4, "it is hardly smaller"
        assert now.st_ino == was.st_ino, "it is another file"
        assert left, "nothing is left"
    with line.asking(UNDOES, 150) as told:
        line.need(SHRINKS)
        store.restore()
        again = store.rows()
        differ = [
            name for name in before.keys() | again.keys() if before.get(name) != again.get(name)
        ]
        told.append(f"{sum(map(len, again.values()))} rows in {len(again)} tables")
        assert not differ, f"these differ: {', '.join(differ)}"
    with line.asking(LIVES, 400) as told:
        line.need(UNDOES)
        store.compact()
        with store.started():
            assert store.is_left_alone(), "it was changed beside its living gateway"
        listed = install.listed_sessions(store.state)
        lost = {key for key in keys if ":cron:" not in key} - listed
        told.append(f"{len(listed)} listed")
        assert not lost, f"{len(lost)} chats are not listed"
    with line.asking(UNDOES_LATER, 400) as told:
        line.need(LIVES)
        store.restore()
        lost = keys - store.keys()
        told.append(f"{len(keys) - len(lost)} of {len(keys)} entries are back")
        assert not lost
        with store.started():
            pass
