"""Do sessions live in databases already? Told from the disk, never from a version.

2026.8.1 and later keep them in one SQLite file an agent. A `sessions.json` that still
lies there is imported at the next start (2026.9.6), and moved away; its old backups then
are no stores any more.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.observe.installation import Installation

_DATABASE = "openclaw-agent.sqlite"


def has_session_databases(installation: Installation) -> bool:
    """Say whether any agent's database holds sessions; one that cannot be read may."""
    found = sorted((installation.state_dir / "agents").glob(f"*/agent/{_DATABASE}"))
    return any(_has_sessions(path) for path in found)


def _has_sessions(path: Path) -> bool:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0.1)) as db:
            return db.execute("SELECT 1 FROM session_nodes LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError as e:
        return "no such table" not in str(e)
    except sqlite3.Error:
        return True
