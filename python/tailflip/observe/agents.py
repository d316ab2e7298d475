"""Finds the agents of an installation, and their databases."""

from __future__ import annotations

import glob
import os
import re
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tailflip.observe.files import can_be_path
from tailflip.observe.records.database import read_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MAIN_AGENT = "main"
AGENT_DATABASE = "openclaw-agent.sqlite"
_STORE, _SUFFIX = "sessions.json", ".sqlite"
_MOST_KNOWN = 256
_ROOT_ABOVE = 2  # ROOT/AGENT/sessions/sessions.json
_OTHERS = frozenset({"openclaw.sqlite", "openclaw-quarantine.sqlite", "runs.sqlite"})


class AgentDatabase(NamedTuple):
    """An agent's database; `is_store` says that it holds sessions, or cannot be read."""

    agent: str
    path: Path
    is_store: bool


class _Told(NamedTuple):
    """What a database says of itself: whose it is, and whether it holds sessions."""

    owner: str | None
    is_store: bool


def find_databases(
    config: dict[str, Any], state: Path, expand: Callable[[str], Path]
) -> tuple[AgentDatabase, ...]:
    """Find every agent's database that exists: in its usual place, or where the configuration says.

    Sessions lie where `session.store` leads, also for an agent with an `agentDir`. That has a
    database for other matters of the agent, and had one with sessions once.
    Source: OpenClaw 2026.9.6, `resolveSqliteTargetFromSessionStorePath`, run.

    Args:
        config: the gateway's.
        state: its state directory.
        expand: makes a configured path absolute.
    """
    on_disk = [agent for agent, _ in list_below(state / "agents")]
    agents = list(dict.fromkeys([*list_configured(config), *on_disk]))
    found: dict[Path, AgentDatabase] = {}
    for agent, path in _list_places(config, state, agents, expand):
        if path in found or not os.path.lexists(path):
            continue
        told = _ask(path)
        if told is None:
            found[path] = AgentDatabase(agent, path, is_store=True)  # it may hold some
        else:
            found[path] = AgentDatabase(told.owner or agent, path, told.is_store)
    return tuple(found.values())


def _list_places(
    config: dict[str, Any], state: Path, agents: list[str], expand: Callable[[str], Path]
) -> Iterator[tuple[str, Path]]:
    """List where databases may be, each with the agent whose it is by its place."""
    roots = {state / "agents"}
    for agent, text in _list_stores(config, agents):
        store = expand(text)
        if not store.name:  # the root of all folders
            continue
        usual = _find_usual(store)
        if usual is not None:
            roots.add(usual.parents[2])
            continue
        own, *others = find_store_databases(store)
        yield agent, own
        for other in others:
            owner = _find_owner(other, own.stem, agents)
            if owner is not None:
                yield owner, other
    for agent, text in _read_folders(config):
        yield agent, expand(text) / AGENT_DATABASE
    for root in sorted(roots):
        for agent, folder in list_below(root):
            yield agent, folder / "agent" / AGENT_DATABASE


def find_store_databases(store: Path) -> tuple[Path, ...]:
    """Name the database that takes a store of JSON over, and find others that may have.

    The first need not exist. The others lie beside it: of several agents with one folder, only one
    has the plain name. Source: as for `find_databases`.
    """
    usual = _find_usual(store)
    if usual is not None:
        return (usual,)
    if store.suffix == _SUFFIX:
        return (store,)
    name = AGENT_DATABASE.removesuffix(_SUFFIX) if store.name == _STORE else store.stem
    own = store.with_name(f"{name}{_SUFFIX}")
    others = sorted(store.parent.glob(f"{glob.escape(name)}.*{_SUFFIX}"))
    return (own, *others)


def _find_usual(store: Path) -> Path | None:
    """Name the database of a store that lies as usual: `agents/ID/sessions/sessions.json`."""
    folder = store.parents[1] if len(store.parents) > _ROOT_ABOVE else None
    if folder is None or (store.name, store.parent.name) != (_STORE, "sessions"):
        return None
    return folder / "agent" / AGENT_DATABASE if folder.parent.name == "agents" else None


def _find_owner(path: Path, name: str, agents: list[str]) -> str | None:
    """Find whose a database `NAME.AGENT.sqlite` or `NAME.AGENT.2.sqlite` is; None for a copy."""
    agent = path.stem.removeprefix(f"{name}.")
    named = {agent, re.sub(r"\.[1-9][0-9]*$", "", agent)}
    told = _ask(path)
    owned = named & (set(agents) if told is None else {told.owner})
    return next(iter(owned), None)


def is_agent_database(path: Path) -> bool:
    """Say whether a database is an agent's by its name: what is none of the gateway's others."""
    return path.suffix == _SUFFIX and path.name not in _OTHERS


def _list_stores(config: dict[str, Any], agents: list[str]) -> Iterator[tuple[str, str]]:
    """List the stores that `session.store` names; one for all agents is told as the first one's."""
    store = read_section(config, "session").get("store")
    if not isinstance(store, str) or not store.strip() or not can_be_path(store):
        return
    for agent in agents if "{agentId}" in store else agents[:1]:
        yield agent, store.strip().replace("{agentId}", agent)


def _read_folders(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Read which agents keep their own files elsewhere."""
    for agent, settings in _read_roster(config):
        folder = settings.get("agentDir")
        if isinstance(folder, str) and can_be_path(folder):
            yield agent, folder


def _read_roster(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the agents of a configuration with their settings; `entries` hides `list`."""
    agents = read_section(config, "agents")
    listed: Any = agents.get("list")
    named = [(each.get("id"), each) for each in _only_sections(listed)]
    if agents.get("entries") is not None:
        named = list(read_section(agents, "entries").items())
    for agent, settings in named:
        if isinstance(agent, str) and isinstance(settings, dict):
            yield normalise_agent_id(agent), settings


def _only_sections(listed: object) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _ask(path: Path) -> _Told | None:
    """Ask a database whose it is, and whether it has sessions; None if it cannot be read."""
    try:
        return _ask_once(path, (_mark(path), _mark(path.with_name(f"{path.name}-wal"))))
    except (OSError, sqlite3.Error):
        return None


@lru_cache(maxsize=_MOST_KNOWN)
def _ask_once(path: Path, state: object) -> _Told:  # noqa: ARG001 - another one is asked again
    """Ask a database that is in some state: a command looks for its stores many times."""
    return read_database(path, lambda db: _Told(_read_owner(db), has_nodes(db)))


def _mark(path: Path) -> tuple[int, ...] | None:
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


def _read_owner(db: sqlite3.Connection) -> str | None:
    try:
        row = db.execute("SELECT agent_id FROM schema_meta WHERE meta_key = 'primary'").fetchone()
    except sqlite3.OperationalError:  # another table of that name, or none
        return None
    return normalise_agent_id(row[0]) if row is not None and isinstance(row[0], str) else None


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
    return list(dict.fromkeys(agent for agent, _ in _read_roster(config))) or [MAIN_AGENT]


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
