"""Finds the agents of an installation, and their databases."""

from __future__ import annotations

import os
import re
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from tailflip.observe.files import can_be_path
from tailflip.observe.records.database import read_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MAIN_AGENT = "main"
AGENT_DATABASE = "openclaw-agent.sqlite"


class AgentDatabase(NamedTuple):
    """An agent's database; `is_store` says that it holds sessions, or cannot be read."""

    agent: str
    path: Path
    is_store: bool


def find_databases(
    config: dict[str, Any], state: Path, expand: Callable[[str], Path]
) -> tuple[AgentDatabase, ...]:
    """Find every agent's database that exists: in its usual place, or where the configuration says.

    With `session.store` the gateway has it beside the store of that name. Source: 2026.9.6, run.

    Args:
        config: the gateway's.
        state: its state directory.
        expand: makes a configured path absolute.
    """
    folders = {agent: folder / "agent" for agent, folder in list_below(state / "agents")}
    folders |= {agent: expand(folder) for agent, folder in _read_folders(config)}
    own = ((agent, expand(store).parent) for agent, store in _list_stores(config))
    found = {folder / AGENT_DATABASE: agent for agent, folder in (*own, *sorted(folders.items()))}
    return tuple(
        AgentDatabase(agent, path, _may_hold_sessions(path))
        for path, agent in found.items()
        if os.path.lexists(path)
    )


def _list_stores(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """List the configured stores of agents; one for all of them is told as the first one's."""
    store = read_section(config, "session").get("store")
    if not isinstance(store, str) or not store.strip() or not can_be_path(store):
        return
    agents = list_configured(config)
    for agent in agents if "{agentId}" in store else agents[:1]:
        yield agent, store.strip().replace("{agentId}", agent)


def _read_folders(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Read which agents keep their own files elsewhere, in both forms of the configuration."""
    agents = read_section(config, "agents")
    listed, entries = agents.get("list"), read_section(agents, "entries")
    named = [
        (each.get("id"), each)
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict)
    ]
    for agent, settings in (*named, *entries.items()):
        folder = settings.get("agentDir") if isinstance(settings, dict) else None
        if isinstance(agent, str) and isinstance(folder, str) and can_be_path(folder):
            yield normalise_agent_id(agent), folder


def _may_hold_sessions(path: Path) -> bool:
    """Say whether an agent's database has sessions; one that cannot be read may have some."""
    try:
        return has_sessions(path)
    except (OSError, sqlite3.Error):
        return True


def has_sessions(database: Path) -> bool:
    """Say whether an agent's database holds sessions.

    Raises:
        OSError: the database cannot be read.
        sqlite3.Error: the database is damaged.
    """
    return read_database(database, has_nodes)


def has_nodes(db: sqlite3.Connection) -> bool:
    """Say whether an agent's open database holds sessions."""
    try:
        return db.execute("SELECT 1 FROM session_nodes LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return False
        raise


class Schemas(NamedTuple):
    """The schemas of databases by their paths, and what could not be read, with the reason."""

    found: tuple[tuple[Path, int], ...]
    unread: tuple[str, ...]


def read_schemas(databases: Iterable[Path]) -> Schemas:
    """Read the schema of each database; one that is missing or empty has none."""
    found, unread = [], []
    for path in databases:
        try:
            [schema] = read_database(path, lambda db: db.execute("PRAGMA user_version").fetchone())
        except FileNotFoundError:
            continue
        except (OSError, sqlite3.Error) as error:
            unread.append(f"{path} cannot be read: {error}")
        else:
            found += [(path, int(schema))] if schema else []
    return Schemas(tuple(found), tuple(unread))


def normalise_agent_id(value: str) -> str:
    """Write an agent id as the gateway does: lower case, `-` for what is not allowed."""
    text = re.sub(r"[^a-z0-9_-]+", "-", value.strip().lower())
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text):
        return text
    return text.strip("-")[:64] or MAIN_AGENT


def list_configured(config: dict[str, Any]) -> list[str]:
    """List the agents that the configuration names; `main` where it names none."""
    listed = read_section(config, "agents").get("list")
    ids = [
        normalise_agent_id(agent["id"])
        for agent in (listed if isinstance(listed, list) else [])
        if isinstance(agent, dict) and isinstance(agent.get("id"), str)
    ]
    return list(dict.fromkeys(ids)) or [MAIN_AGENT]


def list_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Find agents' folders; one with another name that *normalises* to `main` is skipped."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError:
        return  # ignored: no agents, or no right to look; the stores' own errors say so
    for name in names:
        agent = normalise_agent_id(name)
        if agent != MAIN_AGENT or name.strip().lower() == MAIN_AGENT:
            yield agent, root / name


def read_section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of the configuration; empty where there is none."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}
