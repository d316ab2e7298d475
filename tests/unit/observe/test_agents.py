"""Whether a gateway keeps its sessions in databases is told from the disk."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

from tailflip.observe import agents
from tailflip.observe.agents import AGENT_DATABASE, read_schemas
from tailflip.observe.installation import locate


@pytest.fixture
def agent(tmp_path):
    """The folder of one agent's database."""
    folder = tmp_path / "agents" / "main" / "agent"
    folder.mkdir(parents=True)
    return folder


def ask(tmp_path):
    found = locate({"OPENCLAW_STATE_DIR": str(tmp_path)})
    return bool([store for store in found.stores if store.path.name == AGENT_DATABASE])


def fill(agent, *statements):
    with closing(sqlite3.connect(agent / AGENT_DATABASE)) as db, db:
        for statement in statements:
            db.execute(statement)


def test_without_a_database_sessions_are_in_files(tmp_path, agent):
    assert ask(tmp_path) is False


@pytest.mark.parametrize(
    ("rows", "told"), [((), False), (("INSERT INTO session_nodes VALUES ('a')",), True)]
)
def test_a_database_counts_once_it_holds_a_session(tmp_path, agent, rows, told):
    fill(agent, "CREATE TABLE session_nodes (id)", *rows)
    assert ask(tmp_path) is told


def test_a_database_of_something_else_holds_none(tmp_path, agent):
    fill(agent, "CREATE TABLE other (id)")
    assert ask(tmp_path) is False


def test_one_agent_with_sessions_is_enough(tmp_path, agent):
    fill(agent, "CREATE TABLE session_nodes (id)")
    other = tmp_path / "agents" / "zoe" / "agent"
    other.mkdir(parents=True)
    fill(other, "CREATE TABLE session_nodes (id)", "INSERT INTO session_nodes VALUES ('a')")
    assert ask(tmp_path) is True


# Where a real 2026.8.1, 2026.9.5 and 2026.9.6 have the databases of the agents main and ops.
PLACES = {
    "{root}/one/sessions.json": ("one/openclaw-agent.sqlite", "one/openclaw-agent.ops.sqlite"),
    "{root}/{agentId}/sessions.json": (
        "main/openclaw-agent.sqlite",
        "ops/openclaw-agent.ops.sqlite",
    ),
    "{root}/stores/{agentId}.json": ("stores/main.sqlite", "stores/ops.ops.sqlite"),
    "{root}/agents/{agentId}/sessions/sessions.json": (
        "agents/main/agent/openclaw-agent.sqlite",
        "agents/ops/agent/openclaw-agent.sqlite",
    ),
    "{root}/one/{agentId}.sqlite": ("one/main.sqlite", "one/ops.sqlite"),
    None: (
        "state/agents/main/agent/openclaw-agent.sqlite",
        "state/agents/ops/agent/openclaw-agent.sqlite",
    ),
}


def make(path, owner):
    """Make a database with a session, of an agent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE schema_meta (meta_key, agent_id)")
        db.execute("INSERT INTO schema_meta VALUES ('primary', ?)", (owner,))
        db.execute("CREATE TABLE session_nodes (id)")
        db.execute("INSERT INTO session_nodes VALUES ('a')")


def configure(tmp_path, agents, store):
    (tmp_path / "state").mkdir(exist_ok=True)
    config = {"agents": {"ownership": "explicit", **agents}}
    if store is not None:
        config["session"] = {"store": store.replace("{root}", str(tmp_path))}
    (tmp_path / "state" / "openclaw.json").write_text(json.dumps(config))


def find(tmp_path):
    found = locate({"OPENCLAW_STATE_DIR": str(tmp_path / "state")})
    assert found.missing == ()
    return [(each.agent_id, os.path.relpath(each.path, tmp_path)) for each in found.stores]


@pytest.mark.parametrize("roster", ["list", "entries"])
@pytest.mark.parametrize("store", PLACES)
def test_the_database_of_every_agent_is_found_where_its_gateway_has_it(tmp_path, store, roster):
    """One of two was found, or none: the other stayed large, and its gateway died."""
    entries = {"main": {}, "ops": {"agentDir": str(tmp_path / "elsewhere")}}
    agents = entries if roster == "entries" else [{"id": each, **entries[each]} for each in entries]
    configure(tmp_path, {roster: agents}, store)
    expected = list(zip(entries, PLACES[store], strict=True))
    for agent, name in expected:
        make(tmp_path / name, agent)
    assert sorted(find(tmp_path)) == expected


def test_an_agents_own_folder_counts_with_its_usual_place(tmp_path):
    """With an `agentDir` only that was looked at; sessions are in the usual place."""
    configure(tmp_path, {"entries": {"ops": {"agentDir": str(tmp_path / "elsewhere")}}}, None)
    names = ("elsewhere/openclaw-agent.sqlite", "state/agents/ops/agent/openclaw-agent.sqlite")
    for name in names:
        make(tmp_path / name, "ops")
    assert sorted(find(tmp_path)) == [("ops", name) for name in names]


def test_a_copy_beside_a_database_is_no_store(tmp_path):
    configure(tmp_path, {"entries": {"main": {}, "ops": {}}}, "{root}/one/sessions.json")
    make(tmp_path / "one" / "openclaw-agent.sqlite", "main")
    make(tmp_path / "one" / "openclaw-agent.old.sqlite", "main")
    make(tmp_path / "one" / "openclaw-agent.ops.2.sqlite", "ops")
    (tmp_path / "one" / "openclaw-agent.bad.sqlite").write_bytes(b"no database" * 100)
    assert find(tmp_path) == [
        ("main", "one/openclaw-agent.sqlite"),
        ("ops", "one/openclaw-agent.ops.2.sqlite"),
    ]


def test_a_store_without_a_name_has_no_database(tmp_path):
    configure(tmp_path, {"entries": {"main": {}}}, "/")
    make(tmp_path / "state/agents/main/agent/openclaw-agent.sqlite", "main")
    assert ("main", "state/agents/main/agent/openclaw-agent.sqlite") in find(tmp_path)


def test_a_database_is_opened_once_until_it_changes(tmp_path, agent, monkeypatch):
    """Each look for the stores opened each of them again; one with a log was copied for it."""
    opened = []
    read = agents.read_database
    monkeypatch.setattr(
        agents, "read_database", lambda path, work: opened.append(path) or read(path, work)
    )
    fill(agent, "CREATE TABLE session_nodes (id)")
    assert ask(tmp_path) is False
    assert ask(tmp_path) is False
    assert len(opened) == 1
    fill(agent, "INSERT INTO session_nodes VALUES ('a')")
    assert ask(tmp_path) is True
    assert len(opened) == 2


def test_a_database_that_cannot_be_read_may_hold_some(tmp_path, agent):
    (agent / AGENT_DATABASE).write_bytes(b"no database at all" * 300)
    assert ask(tmp_path) is True


def test_each_schema_is_read_and_what_cannot_be_read_is_told(tmp_path, agent):
    fill(agent, "PRAGMA user_version = 23")
    there, empty, broken = agent / AGENT_DATABASE, tmp_path / "empty", tmp_path / "broken"
    empty.touch()
    broken.write_bytes(b"no database" * 100)
    found, unread = read_schemas([there, empty, broken, tmp_path / "missing"])
    assert found == ((there, 23),)
    assert len(unread) == 1
    assert str(broken) in unread[0]
