"""Several agents, stores of their own places, profiles, and files of another user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.agent_database import dump, make_database, read_entries
from support.stores import NOW_MS, make_entries
from tailflip.base import clock
from tailflip.observe.gateway.process import start_ticks

USER = 1000  # some user who is not root
LAYOUTS = {
    "usual": (None, "openclaw/agents/{agent}/agent/openclaw-agent.sqlite"),
    "a folder each": ("{root}/stores/{agentId}/sessions.json", "stores/{agent}/{own}.sqlite"),
    "a file each": ("{root}/stores/{agentId}.json", "stores/{agent}{suffix}.sqlite"),
    "one for all": ("{root}/stores/sessions.json", "stores/{own}.sqlite"),
}


def write_agents(place, layout, state=None):
    """Make a database with runs to expire for two agents; one has a folder of its own."""
    template, name = LAYOUTS[layout]
    state = state or place.state
    config = {
        "agents": {
            "ownership": "explicit",
            "entries": {"main": {}, "ops": {"agentDir": str(place.root / "folder of ops")}},
        }
    }
    if template is not None:
        config["session"] = {"store": template.replace("{root}", str(place.root))}
    state.mkdir(exist_ok=True)
    (state / "openclaw.json").write_text(json.dumps(config))
    shift_ms = clock.now_ms() - NOW_MS
    found = {}
    for agent in ("main", "ops"):
        suffix = "" if agent == "main" else f".{agent}"
        own = f"openclaw-agent{suffix}"
        path = place.root / name.format(agent=agent, own=own, suffix=suffix)
        entries = {
            key.replace("agent:main:", f"agent:{agent}:"): shift(entry, shift_ms)
            for key, entry in make_entries().items()
        }
        make_database(path, entries, agent=agent)
        found[agent] = path
    return found


def shift(entry, shift_ms):
    moments = {name: entry[name] + shift_ms for name in entry if name.endswith(("At", "AtMs"))}
    return entry | moments


def count_runs(path):
    return len([key for key in read_entries(path) if ":run:" in key])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_agents_database_is_made_small_and_put_back(place, layout):
    """With `agents.entries` or an `agentDir`, that of one agent was not even looked at."""
    databases = write_agents(place, layout)
    _, out, _ = place.run("inspect", "--json")
    told = {each["agent"]: each["path"] for each in json.loads(out)["stores"]}
    assert told == {agent: str(path) for agent, path in databases.items()}
    before = {agent: dump(path) for agent, path in databases.items()}
    code, _, err = place.run("compact", "--apply")
    assert code == 0, err
    assert [count_runs(path) for path in databases.values()] == [1, 1]
    for path in databases.values():
        code, _, err = place.run("restore", "--all", "--apply", "--store", str(path))
        assert code == 0, err
    assert {agent: dump(path) for agent, path in databases.items()} == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_agent_can_be_chosen(place, layout):
    databases = write_agents(place, layout)
    code, _, err = place.run("compact", "--apply", "--agent", "ops")
    assert code == 0, err
    assert [count_runs(path) for path in databases.values()] == [4, 1]


@pytest.mark.parametrize(
    "words", [("preflight", "--profile", "work"), ("preflight", "--", "openclaw", "--profile=work")]
)
def test_a_start_with_a_profile_heals_that_profiles_stores(place, monkeypatch, words):
    """What the forecast does not ask for stays: a start removes runs where memory is short."""
    monkeypatch.delenv("OPENCLAW_STATE_DIR")
    state = place.root / ".openclaw-work"
    database = state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    entries = {key: shift(each, clock.now_ms() - NOW_MS) for key, each in make_entries().items()}
    make_database(database, entries)
    code, out, _ = place.run(*words)
    assert (code, out, count_runs(database)) == (0, "go\n", 4)
    small = (words[0], "--heap-limit", "64mb", *words[1:])
    code, _, err = place.run(*small)
    assert code == 0, err
    assert count_runs(database) == 1
    assert str(database) in err


def test_the_variable_alone_moves_no_state_directory(place, monkeypatch):
    """As with the gateway itself: it names services, and `--profile` names the directory."""
    monkeypatch.delenv("OPENCLAW_STATE_DIR")
    monkeypatch.setenv("OPENCLAW_PROFILE", "work")
    database = place.root / ".openclaw-work/agents/main/agent/openclaw-agent.sqlite"
    make_database(database, make_entries())
    before = database.stat()
    code, _, err = place.run("preflight", "--heap-limit", "64mb")
    assert (code, database.stat()) == (0, before)
    assert "no state directory yet" in err


def test_a_restore_closes_the_fence_of_the_stores_own_gateway(place, monkeypatch):
    """It took the lock of the person's own directory, or failed because there was none."""
    databases = write_agents(place, "usual")
    monkeypatch.delenv("OPENCLAW_STATE_DIR")
    database = databases["main"]
    code, _, err = place.run("compact", "--apply", str(database))
    assert code == 0, err
    restores = ("restore", "--all", "--apply", "--store", str(database))
    lock = place.state / "tmp" / f"openclaw-{os.getuid()}" / "gateway.state.lock"
    lock.write_text(json.dumps({"pid": os.getppid(), "startTime": start_ticks(os.getppid())}))
    code, _, err = place.run(*restores)
    assert code == 75, err
    assert str(lock) in err
    lock.unlink()
    code, _, err = place.run(*restores)
    assert code == 0, err
    assert count_runs(database) == 4
    assert not (place.root / ".openclaw").exists()


def find_python(user):
    """Find a Python that a user may run, with our packages: root's own may lie in root's home."""
    ours = [path for path in sys.path if path.endswith(("site-packages", "/python"))]
    env = {"PYTHONPATH": os.pathsep.join(ours)}
    for program in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            words = [program, "-c", "import tailflip.cli.app"]
            if subprocess.run(words, env=env, user=user, check=False).returncode == 0:
                return program, env
    pytest.skip(f"user {user} can run no Python that has our packages")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("runs_as", [0, USER], ids=["root", "the gateway's user"])
def test_a_gateways_user_keeps_all_that_is_his(place, runs_as):
    """Root leaves nothing that he cannot write; he needs no root at all."""
    program, env = find_python(runs_as)
    with TemporaryDirectory(prefix="tailflip-user-") as folder:
        there = replace(place, root=Path(folder))
        databases = write_agents(there, "usual")
        for each in (there.root, *there.root.rglob("*")):
            os.chown(each, USER, USER)
        was = {path: path.stat() for path in databases.values()}
        restores = [("restore", "--all", "--apply", "--store", str(path)) for path in was]
        for words, left in ((("compact", "--apply"), [1, 1]), (restores[0], [4, 1]),
                            (restores[1], [4, 4])):  # fmt: skip
            ran = subprocess.run(
                [program, "-m", "tailflip", *words],
                env=there.make_env() | env,
                user=runs_as,
                group=runs_as,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr
            assert [count_runs(path) for path in databases.values()] == left
            foreign = [each for each in there.state.rglob("*") if each.lstat().st_uid != USER]
            assert foreign == []
        for path, before in was.items():
            now = path.stat()
            assert (now.st_ino, now.st_mode) == (before.st_ino, before.st_mode)
