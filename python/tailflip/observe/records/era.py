"""Do sessions live in databases already? Told from the disk, never from a version.

2026.8.1 and later keep them in one SQLite file an agent. A `sessions.json` that still
lies there is imported at the next start (2026.9.6), and moved away; its old backups then
are no stores any more.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tailflip.observe.records.receipts import AGENT_DATABASE, has_sessions

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.observe.installation import Installation


def has_session_databases(installation: Installation) -> bool:
    """Say whether any agent's database holds sessions; one that cannot be read may."""
    found = sorted((installation.state_dir / "agents").glob(f"*/agent/{AGENT_DATABASE}"))
    return any(_has_sessions(path) for path in found)


def _has_sessions(path: Path) -> bool:
    try:
        return has_sessions(path)
    except (OSError, sqlite3.Error):
        return True
