"""Every agent's store is found once, wherever the configuration or the disk has it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tailflip.base.errors import CannotCreate, ConfigInvalid, Usage
from tailflip.observe.agents import normalise_agent_id
from tailflip.observe.installation import locate


def put(path, text="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def configure(state, **config):
    return put(state / "openclaw.json", json.dumps(config))


def store_of(state, agent):
    return state / "agents" / agent / "sessions" / "sessions.json"


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "home" / ".openclaw"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def env(tmp_path, state):
    return {"HOME": str(tmp_path / "home")}


def test_defaults(state, env):
    put(store_of(state, "main"))
    found = locate(env)
    assert found.state_dir == state
    assert found.config_path == state / "openclaw.json"
    assert found.agents == ("main",)
    assert [(s.path, s.agent_id) for s in found.stores] == [(store_of(state, "main"), "main")]
    assert found.missing == ()
    assert found.retention_ms == 86_400_000
    assert found.cron_store == state / "cron" / "jobs.json"
    assert found.port == 18789
    assert not found.enforces
    assert found.rotate_bytes == 10_485_760


def test_no_state_directory_is_said_with_a_hint(tmp_path):
    with pytest.raises(CannotCreate, match="no state directory") as caught:
        locate({"HOME": str(tmp_path)})
    assert caught.value.hint


@pytest.mark.parametrize("name", [".clawdbot", ".moldbot"])
def test_a_legacy_directory_is_used_only_without_the_new_one(tmp_path, name):
    (tmp_path / name).mkdir()
    assert locate({"HOME": str(tmp_path)}).state_dir == tmp_path / name
    (tmp_path / ".openclaw").mkdir()
    assert locate({"HOME": str(tmp_path)}).state_dir == tmp_path / ".openclaw"


def test_variables_move_the_directories(tmp_path, env):
    (tmp_path / "home/s").mkdir()
    config = put(tmp_path / "c.json", '{"gateway": {"port": 7}}')
    found = locate({**env, "OPENCLAW_STATE_DIR": "~/s", "OPENCLAW_CONFIG_PATH": str(config)})
    assert found.state_dir == tmp_path / "home/s"
    assert found.config_path == config
    assert found.port == 7
    assert locate({**env, "OPENCLAW_GATEWAY_PORT": "9"}).port == 9
    (tmp_path / "other/.openclaw").mkdir(parents=True)
    moved = locate({**env, "OPENCLAW_HOME": str(tmp_path / "other")})
    assert moved.state_dir == tmp_path / "other/.openclaw"


def test_a_directory_given_by_hand_wins_and_brings_its_own_configuration(tmp_path, state, env):
    other = tmp_path / "other"
    configure(other, gateway={"port": 8})
    foreign = put(tmp_path / "c.json", '{"gateway": {"port": 7}}')
    env = {**env, "OPENCLAW_CONFIG_PATH": str(foreign)}
    assert locate(env, state_dir=other).port == 8
    assert locate(env, state_dir=state).port == 7  # the environment speaks of that one


def test_profile(tmp_path, env):
    (tmp_path / "home/.openclaw-work").mkdir()
    assert locate(env, profile="work").state_dir == tmp_path / "home/.openclaw-work"
    assert locate(env, profile="default").state_dir == tmp_path / "home/.openclaw"
    override = {**env, "OPENCLAW_STATE_DIR": str(tmp_path)}
    assert locate(override, profile="work").state_dir == tmp_path
    for bad in ("../x", "", "-a", "a" * 65):
        with pytest.raises(Usage):
            locate(env, profile=bad)


def test_configured_agents_and_those_on_disk_are_united(state, env):
    configure(state, agents={"list": [{"id": "Work Bot"}, {"id": "idle"}, {"id": 3}, None]})
    put(store_of(state, "work-bot"))
    put(store_of(state, "orphan"))
    put(store_of(state, "#main"))  # only normalises to main: the gateway skips it
    (state / "agents/empty/sessions").mkdir(parents=True)
    (state / "agents/none").mkdir()
    found = locate(env)
    assert set(found.agents) == {"work-bot", "idle", "orphan", "empty", "none"}
    assert [s.agent_id for s in found.stores] == ["work-bot", "orphan"]
    assert {s.agent_id for s in found.missing} == {"idle", "empty"}


def test_template_with_agent(tmp_path, state, env):
    configure(
        state,
        session={"store": str(tmp_path / "data/agents/{agentId}/sessions/sessions.json")},
        agents={"list": [{"id": "a"}]},
    )
    put(store_of(tmp_path / "data", "a"))
    put(store_of(tmp_path / "data", "unlisted"))
    put(store_of(state, "old"))  # from before the template
    found = locate(env)
    assert [s.path for s in found.stores] == [
        store_of(tmp_path / "data", "a"),
        store_of(tmp_path / "data", "unlisted"),
        store_of(state, "old"),
    ]


def test_template_without_agent_is_one_store_of_all(state, env):
    configure(state, session={"store": "~/one.json"}, agents={"list": [{"id": "a"}, {"id": "b"}]})
    put(Path(env["HOME"]) / "one.json")
    assert [(s.path.name, s.agent_id) for s in locate(env).stores] == [("one.json", None)]


def test_a_store_under_two_names_is_found_once(state, env):
    configure(state, agents={"list": [{"id": "a"}, {"id": "b"}]})
    put(store_of(state, "a"))
    store_of(state, "b").parent.mkdir(parents=True)
    store_of(state, "b").symlink_to(store_of(state, "a"))
    assert [s.agent_id for s in locate(env).stores] == ["a"]


def test_a_dangling_or_looping_store_is_still_listed(state, env):
    configure(state, agents={"list": [{"id": "a"}, {"id": "b"}]})
    for agent, target in (("a", "nowhere"), ("b", "sessions.json")):
        store_of(state, agent).parent.mkdir(parents=True)
        store_of(state, agent).symlink_to(target)
    assert [s.agent_id for s in locate(env).stores] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "expected", "problem"),
    [
        ("36h", 129_600_000, False),
        ("90", 324_000_000, False),
        ("0", 0, False),
        (False, None, False),
        (None, 86_400_000, False),
        ("", 86_400_000, False),
        ("a week", 86_400_000, True),
        (True, 86_400_000, True),
        (12, 86_400_000, True),
    ],
)
def test_retention_is_what_the_gateways_reaper_makes_of_it(state, env, value, expected, problem):
    configure(state, cron={"sessionRetention": value})
    found = locate(env)
    assert found.retention_ms == expected
    assert (found.retention_problem is not None) == problem


def test_maintenance_is_read(state, env):
    configure(state, session={"maintenance": {"mode": "enforce", "rotateBytes": "5mb"}})
    found = locate(env)
    assert (found.enforces, found.rotate_bytes) == (True, 5 << 20)


@pytest.mark.parametrize("value", ["/x/${NOWHERE}/s.json", 7, "a\0b"])
def test_a_store_path_that_leads_nowhere_is_refused(state, env, value):
    configure(state, session={"store": value})
    with pytest.raises(ConfigInvalid, match=r"session\.store"):
        locate(env)


def test_a_relative_template_is_noted(state, env):
    configure(state, session={"store": "rel/s.json"})
    found = locate(env)
    assert any("relative" in note for note in found.notes)
    assert found.missing[0].path == Path(os.getcwd()) / "rel/s.json"  # noqa: PTH109


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("Main", "main"),
        (" a b ", "a-b"),
        ("--x--", "x"),
        ("", "main"),
        ("é", "main"),
        ("a_b", "a_b"),
    ],
)
def test_agent_ids(raw, normal):
    assert normalise_agent_id(raw) == normal
