"""Whether a gateway keeps its sessions in databases is told from the disk."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

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


@pytest.mark.parametrize("store", ["{root}/stores/sessions.json", "{root}/{agentId}/s.json"])
def test_a_store_of_ones_own_place_has_its_database_beside_it(tmp_path, store):
    """A real 2026.9.6 imports into that folder; none was found, and nothing was cured."""
    (tmp_path / "state").mkdir()
    template = store.replace("{root}", str(tmp_path))
    folder = (tmp_path / template.replace("{agentId}", "main")).parent
    folder.mkdir()
    config = {"session": {"store": template}}
    (tmp_path / "state" / "openclaw.json").write_text(json.dumps(config))
    fill(folder, "CREATE TABLE session_nodes (id)", "INSERT INTO session_nodes VALUES ('a')")
    found = locate({"OPENCLAW_STATE_DIR": str(tmp_path / "state")})
    assert [(each.path, each.agent_id) for each in found.stores] == [
        (folder / AGENT_DATABASE, "main")
    ]


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
