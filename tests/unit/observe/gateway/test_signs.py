"""A gateway that lives is found on every road to it; that none lives is said only as a proof."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tailflip.base import platform_calls
from tailflip.observe.gateway import liveness as module
from tailflip.observe.gateway import signs
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.gateway.processes import Process, Table, read_run_keys
from tailflip.observe.installation import locate

pytestmark = pytest.mark.skipif(
    not isinstance(platform_calls.here, platform_calls.Linux), reason="asks /proc"
)

# What stands in for a gateway: does what it is told, says so, and waits.
_DO = """
import socket, sqlite3, sys
kept = []
for word in sys.argv[-1].split(","):
    what, _, name = word.partition(":")
    if what == "listen":
        kept.append(socket.create_server(("127.0.0.1", 0)))
    if what == "open":
        kept.append(open(name, "a"))
    if what == "read":
        kept.append(open(name))
    if what == "database":
        db = sqlite3.connect(name); kept.append(db)
        db.execute("PRAGMA journal_mode=WAL"); db.execute("CREATE TABLE IF NOT EXISTS t (x)")
        db.commit(); kept.append(db.execute("SELECT count(*) FROM t"))
print("ready", flush=True)
sys.stdin.read()
"""


class Place:
    """A state directory, and processes beside it."""

    def __init__(self, root):
        self.root, self.state = root, root / "state"
        (self.state / "agents/main/sessions").mkdir(parents=True)
        (self.state / "tasks").mkdir()
        (root / "home").mkdir()
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            self.port = server.getsockname()[1]
        # The shell that asks: neither the port nor the temp folder of the service.
        self.shell = {"HOME": str(root / "home"), "OPENCLAW_STATE_DIR": str(self.state)}
        self.shell |= {"OPENCLAW_GATEWAY_PORT": str(self.port), "TMPDIR": str(root)}

    def look(self, **env):
        env = {**self.shell, **env}
        return read_gateway(locate(env), env)

    @contextmanager
    def process(self, does, *, title="openclaw-gateway", args=(), **env):
        """Run a process under a name; arguments as a gateway that does not overwrite them."""
        env = {"HOME": self.shell["HOME"], "OPENCLAW_STATE_DIR": str(self.state), **env}
        argv = [title, "-c", _DO, *args, does] if args else [title, "-c", _DO, does]
        with subprocess.Popen(
            argv,
            executable=sys.executable,
            env={name: value for name, value in env.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            try:
                assert child.stdout.readline() == b"ready\n"
                yield child.pid
            finally:
                child.kill()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_nobody_at_all_is_a_proof(place):
    found = place.look()
    assert (found.alive, found.pid, found.in_the_way) == (False, None, False)


def test_a_gateway_is_found_by_its_environment(place):
    """Another port, another temp folder, its lock gone: its marker was cleared under its run."""
    with place.process("listen", TMPDIR="/elsewhere") as pid:
        found = place.look()
        assert (found.alive, found.pid, found.in_the_way) == (True, pid, True)
        assert found.started_ms is not None
        assert str(pid) in found.evidence
    assert place.look().alive is False


@pytest.mark.parametrize(
    "env",
    [
        {"OPENCLAW_STATE_DIR": None, "HOME": "{root}/other"},
        {"OPENCLAW_STATE_DIR": "{root}/link"},
        {"OPENCLAW_STATE_DIR": None, "OPENCLAW_HOME": "{root}/other"},
        {"OPENCLAW_STATE_DIR": None, "HOME": "{root}/other", "OPENCLAW_PROFILE": "work"},
    ],
    ids=["home", "symlink", "openclaw-home", "profile"],
)
def test_whatever_leads_to_the_state_directory_counts(place, env):
    (place.root / "other").mkdir()
    (place.root / "other/.openclaw").symlink_to(place.state)
    (place.root / "other/.openclaw-work").symlink_to(place.state)
    (place.root / "link").symlink_to(place.state)
    env = {name: value and value.format(root=place.root) for name, value in env.items()}
    with place.process("listen", **env) as pid:
        assert place.look().pid == pid


def test_the_gateway_of_another_state_directory_is_not_ours(place):
    (place.root / "other").mkdir()
    with place.process("listen", OPENCLAW_STATE_DIR=str(place.root / "other")):
        assert place.look().alive is False


def test_one_that_does_not_listen_yet_leaves_the_question_open(place):
    """`openclaw gateway status` has the same title as a gateway that is starting."""
    with place.process("nothing"):
        found = place.look()
        assert (found.alive, found.pid) == (None, None)
        assert not found.in_the_way  # a start does not wait for it


def test_a_ledger_that_it_holds_open_is_as_good_as_a_port(place):
    with place.process(f"open:{place.state}/tasks/runs.sqlite", OPENCLAW_STATE_DIR="/x") as pid:
        assert place.look().pid == pid


def test_any_writer_of_a_ledger_leaves_the_question_open(place):
    with place.process(f"open:{place.state}/agents/main/sessions/a.jsonl", title="agent") as pid:
        found = place.look()
        assert (found.alive, found.in_the_way, str(pid) in found.evidence) == (None, False, True)


def test_who_only_reads_is_nobody(place):
    log = place.state / "agents/main/sessions/a.jsonl"
    log.touch()
    with place.process(f"read:{log}", title="tail"):
        assert place.look().alive is False


def test_an_open_database_leaves_the_question_open(place):
    """From 2026.3.31 on a gateway keeps one open for life; the kernel knows, in any container."""
    database = place.state / "tasks/runs.sqlite"
    with place.process(f"database:{database}", title="x", OPENCLAW_STATE_DIR=None) as pid:
        found = signs.read_databases(place.state)
        assert found.users == ((database, pid),)
        assert place.look().alive is None
    assert signs.read_databases(place.state).closed
    assert place.look().alive is False


def test_who_holds_a_transcripts_lock_may_be_a_gateway(place):
    lock = place.state / "agents/main/sessions/s.jsonl.lock"
    with place.process("nothing", title="agent", OPENCLAW_STATE_DIR=None) as pid:
        lock.write_text(json.dumps({"pid": pid, "starttime": start_ticks(pid)}))
        found = place.look()
        assert (found.alive, str(pid) in found.evidence) == (None, True)
        lock.write_text(json.dumps({"pid": pid, "starttime": 1}))  # a number used again
        assert place.look().alive is False
    assert place.look().alive is False


def test_a_zombie_is_dead(place):
    with place.process("listen") as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert place.look().alive is False


def test_ourselves_are_no_gateway(place):
    with place.process("listen", title="tailflip", args=("--", "openclaw", "gateway", "run")):
        assert place.look().alive is False


@pytest.mark.parametrize("name", ["TMPDIR", "TMP", "TEMP"])
def test_a_lock_in_the_temp_folder_of_a_process_or_a_service_is_found(place, name):
    temp = place.root / "service-tmp"
    folder = temp / f"openclaw-{os.getuid()}"
    folder.mkdir(parents=True)
    owner = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
    owner["configPath"] = str(place.state / "openclaw.json")
    (folder / "gateway.0123abcd.lock").write_text(json.dumps(owner))
    assert place.look().alive is False
    units = place.root / "home/.config/systemd/user"
    units.mkdir(parents=True)
    unit = f"[Service]\nExecStart=openclaw gateway --port 1\nEnvironment={name}={temp}\n"
    unit += f"Environment=OPENCLAW_STATE_DIR={place.state}\n"
    (units / "openclaw-gateway.service").write_text(unit)
    assert place.look().pid == os.getpid()
    (units / "openclaw-gateway.service").unlink()
    with place.process("nothing", **{name: str(temp)}):
        assert place.look().pid == os.getpid()


def test_the_port_of_the_service_is_asked_too(place):
    units = place.root / "home/.config/systemd/user"
    units.mkdir(parents=True)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        unit = f"[Service]\nExecStart=openclaw gateway --port {port}\n"
        unit += f"Environment=OPENCLAW_STATE_DIR={place.state}\n"
        (units / "openclaw-gateway.service").write_text(unit)
        found = place.look()
        assert (found.alive, found.in_the_way, str(port) in found.evidence) == (None, True, True)
    assert place.look().alive is False


UNREAD = Process(2**22 + 7, "openclaw-gateway", (), serves=True, is_ours=None)


def test_a_gateway_whose_environment_cannot_be_read_leaves_the_question_open(place, monkeypatch):
    """Root's service, seen from a user's shell; only databases that nobody has open clear it."""
    monkeypatch.setattr(module, "read_processes", lambda _: Table((UNREAD,)))
    monkeypatch.setattr(module, "started_ms", lambda _: 1)
    found = place.look()
    assert (found.alive, found.in_the_way, str(UNREAD.pid) in found.evidence) == (None, False, True)
    with closing(sqlite3.connect(place.state / "tasks/runs.sqlite")) as db:
        db.execute("CREATE TABLE t (x)")
    assert place.look().alive is False
    monkeypatch.setattr(module, "started_ms", lambda _: None)  # it may not have opened them yet
    assert place.look().alive is None


def test_processes_that_are_hidden_leave_the_question_open(place, monkeypatch):
    monkeypatch.setattr(module, "read_processes", lambda _: Table((), "they are hidden"))
    found = place.look()
    assert (found.alive, "they are hidden" in found.evidence) == (None, True)


def test_a_volume_may_have_a_gateway_in_another_container(place, monkeypatch):
    monkeypatch.setattr(module, "may_be_shared", lambda _: "another container")
    assert place.look().alive is None
    with closing(sqlite3.connect(place.state / "tasks/runs.sqlite")) as db:
        db.execute("CREATE TABLE t (x)")
    assert place.look().alive is False  # the kernel would know of it there too


def test_a_state_directory_of_the_containers_own_is_nobody_elses(place, monkeypatch):
    class Inside(platform_calls.Linux):
        def is_in_container(self):
            return True

    monkeypatch.setattr(platform_calls, "here", Inside())
    same = place.state.stat().st_dev == Path("/").stat().st_dev
    assert (signs.may_be_shared(place.state) is None) is same


def test_a_command_line_agent_names_the_run_that_it_works_for(place):
    """It holds no lock: its run was taken for dead."""
    with place.process("nothing", title="claude", OPENCLAW_MCP_SESSION_KEY="agent:main:cron:j"):
        assert "agent:main:cron:j" in read_run_keys()
    assert "agent:main:cron:j" not in read_run_keys()
