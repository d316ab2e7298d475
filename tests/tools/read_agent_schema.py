"""Writes down the tables of an agent's database that a gateway made: columns, keys, indexes.

    python tests/tools/read_agent_schema.py DATABASE > tests/data/agent_schema_23.json

The tests make databases of their own from it; `support.agent_database` has the triggers.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def read(db: sqlite3.Connection) -> dict[str, object]:
    """Return the version, the tables with columns and links, and the indexes."""
    tables = {}
    indexes = []
    for name, sql in db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ):
        if ("_fts" in name and name != "session_transcript_fts_rows") or name.startswith("sqlite_"):
            continue
        links: dict[int, list[object]] = {}
        for number, _, parent, column, of, _, on_delete, _ in db.execute(
            f"PRAGMA foreign_key_list({name})"
        ):
            link = links.setdefault(number, [parent, [], [], on_delete])
            link[1].append(column)
            link[2].append(of)
        tables[name] = {
            "columns": [row[1:6] for row in db.execute(f"PRAGMA table_info({name})")],
            "links": list(links.values()),
            "sequence": "AUTOINCREMENT" in sql,
        }
        for _, index, is_unique, origin, is_partial in db.execute(f"PRAGMA index_list({name})"):
            columns = [row[2] for row in db.execute(f"PRAGMA index_info({index})")]
            if origin != "pk" and not is_partial and None not in columns:
                indexes.append([name, columns, bool(is_unique)])
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return {"version": version, "tables": tables, "indexes": indexes}


def format_schema(schema: dict[str, object]) -> str:
    """Lay it out with a line for each table and index."""
    tables, indexes = schema["tables"], schema["indexes"]
    lines = [f"{json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items()]
    told = ",\n".join(json.dumps(index) for index in indexes)
    return (
        f'{{"version": {schema["version"]},\n"tables": {{\n'
        + ",\n".join(lines)
        + f'\n}},\n"indexes": [\n{told}\n]}}'
    )


if __name__ == "__main__":
    with closing(sqlite3.connect(f"{Path(sys.argv[1]).as_uri()}?mode=ro", uri=True)) as found:
        print(format_schema(read(found)))
