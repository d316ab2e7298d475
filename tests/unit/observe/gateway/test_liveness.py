"""Only a dead owner and a free port together prove that no gateway runs."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tailflip.base import platform_calls
from tailflip.observe.gateway.liveness import read_dead_lock, read_gateway
from tailflip.observe.gateway.process import start_ticks, started_ms
from tailflip.observe.installation import locate


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def env(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "tmp").mkdir()
    return {"OPENCLAW_STATE_DIR": str(tmp_path / "state"), "TMPDIR": str(tmp_path / "tmp")}


def look(env, port):
    env = {**env, "OPENCLAW_GATEWAY_PORT": str(port)}
    return read_gateway(locate(env), env)


def lock(env, payload, *, name=None, age_s=0):
    config = os.path.join(env["OPENCLAW_STATE_DIR"], "openclaw.json")  # noqa: PTH118
    folder = os.path.join(env["TMPDIR"], f"openclaw-{os.getuid()}")  # noqa: PTH118
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    name = name or hashlib.sha256(config.encode()).hexdigest()[:8]
    path = os.path.join(folder, f"gateway.{name}.lock")  # noqa: PTH118
    text = payload if isinstance(payload, str) else json.dumps({"configPath": config, **payload})
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    if age_s:
        os.utime(path, (1, os.stat(path).st_mtime - age_s))  # noqa: PTH116
    return path


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_no_lock_and_a_free_port_is_no_gateway(env, free_port):
    found = look(env, free_port)
    assert (found.alive, found.pid, found.started_ms) == (False, None, None)
    assert str(free_port) in found.evidence


def test_no_lock_but_a_port_that_answers_is_unknown(env, listener):
    assert look(env, listener).alive is None


def test_a_living_owner_is_alive_even_before_it_listens(env, free_port):
    lock(env, {"pid": os.getpid(), "startTime": start_ticks(os.getpid())})
    found = look(env, free_port)
    assert (found.alive, found.pid) == (True, os.getpid())
    assert found.started_ms == started_ms(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="start ticks are read from /proc")
def test_a_pid_used_again_is_dead(env, free_port, listener):
    lock(env, {"pid": os.getpid(), "startTime": 1})
    assert look(env, free_port).alive is False
    assert look(env, listener).alive is None


def test_a_dead_owner_is_dead(env, free_port):
    lock(env, {"pid": dead_pid(), "startTime": 1})
    assert look(env, free_port).alive is False


@pytest.mark.parametrize(
    ("created", "alive"), [("2001-01-01T00:00:00.000Z", False), ("2999-01-01T00:00:00Z", True)]
)
def test_without_a_start_time_the_lock_must_be_younger_than_its_owner(
    env, free_port, created, alive
):
    lock(env, {"pid": os.getpid(), "createdAt": created})
    assert look(env, free_port).alive is alive


def test_a_lock_of_another_spelling_of_the_path_is_found_by_what_it_says(env, free_port, tmp_path):
    (tmp_path / "link").symlink_to(env["OPENCLAW_STATE_DIR"])
    owner = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
    lock(env, {**owner, "configPath": str(tmp_path / "link/openclaw.json")}, name="0123abcd")
    assert look(env, free_port).alive is True


def test_the_lock_of_another_installation_is_not_ours(env, free_port):
    owner = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
    lock(env, {**owner, "configPath": "/elsewhere/openclaw.json"}, name="0123abcd")
    assert look(env, free_port).alive is False


def test_a_fresh_lock_without_its_payload_is_unknown_an_old_one_is_litter(env, free_port):
    lock(env, "")
    assert look(env, free_port).alive is None
    lock(env, "{torn", age_s=60)
    assert look(env, free_port).alive is False


def test_a_fifo_in_the_locks_place_does_not_hang(env, free_port):
    path = lock(env, "")
    os.unlink(path)  # noqa: PTH108
    os.mkfifo(path)
    os.utime(path, (1, 1))
    assert look(env, free_port).alive is False


# --- locks of 2026.9.6, below the state directory -------------------------------------------


def state_lock(env, payload, name="state"):
    folder = Path(env["OPENCLAW_STATE_DIR"]) / "tmp" / f"openclaw-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"gateway.{name}.lock"
    config = str(Path(env["OPENCLAW_STATE_DIR"]) / "openclaw.json")
    path.write_text(json.dumps({"configPath": config, **payload}))
    return path


def test_the_lock_below_the_state_directory_counts(env, free_port):
    """A running 2026.9.6 was taken for dead, for its lock is not in TMPDIR."""
    owner = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
    path = state_lock(env, owner)
    assert look(env, free_port).pid == os.getpid()
    path.unlink()
    assert look(env, free_port).alive is False
    state_lock(env, owner, name="0123abcd")
    assert look(env, free_port).pid == os.getpid()


@pytest.mark.parametrize("role", ["agent-embedded", "sqlite-maintenance", "skill-workshop-apply"])
def test_a_living_helper_is_no_gateway_but_leaves_the_question_open(env, free_port, role):
    owner = {"pid": os.getpid(), "startTime": start_ticks(os.getpid()), "role": role}
    state_lock(env, owner)
    found = look(env, free_port)
    assert (found.alive, found.pid) == (None, None)
    state_lock(env, {**owner, "pid": dead_pid()})
    assert look(env, free_port).alive is False
    assert dead_lock(env) is None


def test_a_gateway_beside_a_helper_is_found(env, free_port):
    owner = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
    state_lock(env, {**owner, "role": "agent-embedded"})
    lock(env, owner)
    assert look(env, free_port).alive is True


# --- what a dead one left -------------------------------------------------------------------


def dead_lock(env):
    return read_dead_lock(locate(env), env)


def stamp(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def test_a_lock_of_the_dead_tells_who_and_when(env):
    now = int(time.time())
    pid = dead_pid()
    path = lock(env, {"pid": pid, "startTime": 7, "createdAt": stamp(now)})
    found = dead_lock(env)
    assert (str(found.path), found.pid, found.ticks) == (path, pid, 7)
    assert found.created_ms == now * 1000
    assert not found.before_boot


def test_the_newest_of_several_is_the_last_one(env):
    now = int(time.time())
    lock(env, {"pid": dead_pid(), "createdAt": stamp(now - 500)})
    newest = dead_pid()
    state_lock(env, {"pid": newest, "createdAt": stamp(now)})
    assert dead_lock(env).pid == newest


def test_a_lock_from_before_the_boot_says_so(env):
    lock(env, {"pid": dead_pid(), "startTime": 7, "createdAt": "2001-01-01T00:00:00.000Z"})
    assert dead_lock(env).before_boot


def test_without_a_date_the_files_own_counts(env):
    path = lock(env, {"pid": dead_pid(), "createdAt": "yesterday"})
    assert dead_lock(env).created_ms == os.stat(path).st_mtime_ns // 1_000_000  # noqa: PTH116


def test_no_lock_a_living_owner_and_a_torn_one_are_not_dead(env):
    assert dead_lock(env) is None
    lock(env, {"pid": os.getpid(), "startTime": start_ticks(os.getpid())})
    assert dead_lock(env) is None
    lock(env, "{torn")
    assert dead_lock(env) is None


_HOLD = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"  # noqa: E501  # fmt: skip


def test_an_owner_in_another_container_is_seen_by_its_lock_of_the_kernel(env, free_port):
    """2026.9.6 on a volume: its pid is nobody's here, and it was taken for dead."""
    if not isinstance(platform_calls.here, platform_calls.Linux):
        pytest.skip("containers on a Mac run on another machine, whose locks are not seen")
    path = lock(env, {"pid": 2**22 + 1, "startTime": 1})
    assert look(env, free_port).alive is False
    argv = [sys.executable, "-c", _HOLD, f"{path}.sqlite"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        found = look(env, free_port)
        assert (found.alive, "cannot be seen from here" in found.evidence) == (None, True)
        assert dead_lock(env) is None
        holder.stdin.close()
        holder.wait(10)
    assert look(env, free_port).alive is False
    assert dead_lock(env) is not None
