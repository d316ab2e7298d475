"""Several agents, with stores and folders of their own places, on the real 2026.9.6."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import real_gateway
from imported_store import ImportedStore
from sqlite_states import import_sessions, is_up

from support.agent_database import dump, read_entries
from tailflip.base import clock
from tailflip.demo.incident import DAY_MS, write_incident

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

READY_S = 240
AGENTS = ("main", "ops")
# `session.store`, and where the release has the databases of the two.
LAYOUTS = {
    "folders of the agents' own": (
        None,
        "state/agents/main/agent/openclaw-agent.sqlite",
        "state/agents/ops/agent/openclaw-agent.sqlite",
    ),
    "a folder for each agent": (
        "{root}/stores/{agentId}/sessions.json",
        "stores/main/openclaw-agent.sqlite",
        "stores/ops/openclaw-agent.ops.sqlite",
    ),
    "a file for each agent": (
        "{root}/stores/{agentId}.json",
        "stores/main.sqlite",
        "stores/ops.ops.sqlite",
    ),
    "agents elsewhere": (
        "{root}/far/agents/{agentId}/sessions/sessions.json",
        "far/agents/main/agent/openclaw-agent.sqlite",
        "far/agents/ops/agent/openclaw-agent.sqlite",
    ),
    "one file for all": (
        "{root}/stores/sessions.json",
        "stores/openclaw-agent.sqlite",
        "stores/openclaw-agent.ops.sqlite",
    ),
}


def write_state(root: Path, template: str | None) -> None:
    """Write the incident of three days ago for two agents, one of them with an `agentDir`."""
    state = root / "state"
    now_ms = clock.now_ms() - 3 * DAY_MS
    usual = write_incident(state, size_bytes=1_000_000, now_ms=now_ms)["store"]
    real_gateway.configure(state)
    text = usual.read_bytes()
    usual.unlink()
    stores: dict[Path, dict[str, object]] = {}
    for agent in AGENTS:
        own = json.loads(text.replace(b'"agent:main:', f'"agent:{agent}:'.encode()))
        place = (template or "{root}/state/agents/{agentId}/sessions/sessions.json").format(
            root=root, agentId=agent
        )
        stores.setdefault(root / place, {}).update(own)
    for path, entries in stores.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries, indent=2))
    config = json.loads((state / "openclaw.json").read_text())
    config["agents"] |= {
        "ownership": "explicit",
        "entries": {"main": {}, "ops": {"agentDir": str(root / "folder of ops")}},
    }
    if template is not None:
        config["session"] = {"store": template.replace("{root}", str(root))}
    (state / "openclaw.json").write_text(json.dumps(config))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_agents_database_is_made_small_accepted_and_put_back(
    sqlite_install: Install, tmp_path: Path, layout: str
) -> None:
    """One of two was found, or none; the gateway died of the other."""
    template, *names = LAYOUTS[layout]
    write_state(tmp_path, template)
    store = ImportedStore(sqlite_install, import_sessions(sqlite_install, tmp_path / "state").state)
    databases = [tmp_path / name for name in names]
    told = real_gateway.tailflip(sqlite_install, store.state, "inspect", "--json")
    found = {each["agent"]: each["path"] for each in json.loads(told.stdout)["stores"]}
    assert found == dict(zip(AGENTS, map(str, databases), strict=True))
    before = [dump(each) for each in databases]
    store.compact()
    assert not [key for each in databases for key in read_entries(each) if ":run:" in key]
    assert list(map(dump, databases)) != before
    with store.started() as running:
        assert is_up(running, 5)
        assert store.is_left_alone()
    for each, was in zip(databases, before, strict=True):
        store.restore(each)
        keys = {row[0] for row in was["session_nodes"]}
        assert set(read_entries(each)) >= keys
    with store.started():
        pass
