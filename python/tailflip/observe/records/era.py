"""Tells whether sessions are kept in databases already, by what is on the disk.

2026.8.1 and later keep them in one SQLite file an agent. The next start (2026.9.6) imports a
`sessions.json` that is still there, and moves it away; its old backups are then no stores.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tailflip.observe.records.receipts import AGENT_DATABASE, has_sessions

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.observe.installation import Installation


def has_session_databases(installation: Installation) -> bool:
    """Say whether an agent's database holds sessions; an unreadable database counts as holding."""
    return any(_has_sessions(path) for path in list_agent_databases(installation))


def list_agent_databases(installation: Installation) -> list[Path]:
    """List the agents' databases in their usual place."""
    return sorted((installation.state_dir / "agents").glob(f"*/agent/{AGENT_DATABASE}"))


def _has_sessions(path: Path) -> bool:
    try:
        return has_sessions(path)
    except (OSError, sqlite3.Error):
        return True
