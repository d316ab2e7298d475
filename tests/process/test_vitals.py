"""Real processes, real descendants, real listeners, a real memory cgroup where there is one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cgroups import memory_cgroup
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.gateway.vitals import find_address, find_life, read_cgroup, read_tree

MIB = 1 << 20
DEADLINE_S = 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="environments are read from /proc")

WAIT = "import sys; print('up', flush=True); sys.stdin.read()"
GROW = "import sys; b = b'x' * (64 << 20); print('up', flush=True); sys.stdin.read()"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {GROW!r}], stdin=0, stdout=subprocess.PIPE)
child.stdout.readline()
print("up", flush=True)
sys.stdin.read()
"""
BURN = """
import sys, time
until = time.process_time() + 0.3
while time.process_time() < until: pass
print("up", flush=True)
sys.stdin.read()
"""
ORPHAN = f"""
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", {WAIT!r}], stdin=0, stdout=1, start_new_session=True
)
print(child.pid, flush=True)
"""


@contextmanager
def running(code, **options):
    """A python that runs `code`, has said that it is up, and ends when its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )
    try:
        child.first_line = child.stdout.readline()
        yield child
    finally:
        child.stdin.close()
        try:
            child.wait(DEADLINE_S)
        finally:
            child.kill()
            child.stdout.close()


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
    return found


def test_a_tree_is_measured_whole():
    """The wrapper alone has a few MiB: the gateway's heap is in its child."""
    with running(PARENT) as parent:
        found = read_tree(parent.pid)
        assert found.processes == 2
        assert found.rss_bytes > 64 * MIB
    assert read_tree(parent.pid).processes == 0


def test_cpu_time_is_counted():
    with running(BURN) as child:
        assert 0.25 <= read_tree(child.pid).cpu_s < 10


def test_a_zombie_and_a_number_that_is_no_process_are_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert read_tree(child.pid).processes == 0
    child.wait()
    for pid in (child.pid, 0x7FFFFFFF, -1, 2**70):
        assert (read_tree(pid).rss_bytes, read_tree(pid).processes) == (0, 0)


def test_processes_that_come_and_go_while_they_are_counted_do_no_harm():
    churn = """
import subprocess, sys
print("up", flush=True)
for _ in range(60): subprocess.run(["true"])
"""
    child = subprocess.Popen([sys.executable, "-c", churn], stdout=subprocess.PIPE)
    child.stdout.readline()
    counts = []
    while child.poll() is None:
        counts.append(read_tree(child.pid).processes)
    child.stdout.close()
    assert len(counts) > 5
    assert set(counts) <= {0, 1, 2}


@linux
def test_the_processes_of_a_life_are_found_by_their_mark():
    life = uuid.uuid4().hex
    with running(PARENT, env={**os.environ, "TAILFLIP_LIFE": life}) as parent:
        found = dict(find_life(life))
        assert len(found) == 2
        assert found[parent.pid] == start_ticks(parent.pid)
        assert find_life(life[:-1]) == []
    wait_for(lambda: find_life(life) == [])


@linux
def test_an_orphan_is_found_though_its_parent_is_gone():
    """SIGKILL of a wrapper leaves the gateway behind, holding the port."""
    life = uuid.uuid4().hex
    with running(ORPHAN, env={**os.environ, "TAILFLIP_LIFE": life}) as parent:
        orphan = int(parent.first_line)
        parent.wait(DEADLINE_S)
        try:
            wait_for(lambda: [pid for pid, _ in find_life(life)] == [orphan])
        finally:
            os.kill(orphan, signal.SIGKILL)
    wait_for(lambda: find_life(life) == [])


@linux
def test_a_zombie_is_of_no_life():
    life = uuid.uuid4().hex
    child = subprocess.Popen([sys.executable, "-c", ""], env={**os.environ, "TAILFLIP_LIFE": life})
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert find_life(life) == []
    child.wait()


def test_we_are_of_no_life_of_ours():
    """`gate` becomes the gateway by exec: a `tailflip` inside a life must not end itself."""
    life = uuid.uuid4().hex
    code = (
        "import os; from tailflip.observe.gateway.vitals import find_life;"
        "print(find_life(os.environ['TAILFLIP_LIFE']), flush=True)"
    )
    with running(code, env={**os.environ, "TAILFLIP_LIFE": life}) as child:
        assert child.first_line.strip() == b"[]"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104
def test_a_listener_on_any_address_that_loopback_reaches_answers_there(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"cannot listen on {host}: {error}")
    with server:
        port = server.getsockname()[1]
        assert find_address(os.getpid(), port) == "127.0.0.1"
    assert find_address(os.getpid(), port) is None


def test_a_connection_is_not_a_listener():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as link,
    ):
        assert find_address(os.getpid(), link.getsockname()[1]) is None


# --- cgroups -------------------------------------------------------------------------------


@pytest.fixture
def cgroup():
    """A fresh memory cgroup of 48 MiB without swap, below ours; skipped where not allowed."""
    with memory_cgroup(48 * MIB) as made:
        yield made


EAT = """
import pathlib, sys
print("up", flush=True)
sys.stdin.readline()
for _ in range(200): blocks = globals().setdefault("b", []); blocks.append(b"x" * (1 << 20))
"""


def test_a_kill_by_the_kernel_is_counted_in_the_cgroup(cgroup):
    """Through the wrapper this is exit 1 without a word on stderr: only the counter tells."""
    with running(WAIT) as witness, running(EAT) as victim:
        for child in (witness, victim):
            cgroup.members.write_text(str(child.pid))
        before = read_cgroup(victim.pid)
        assert before.path == cgroup.folder
        assert before.max_bytes == 48 * MIB
        victim.stdin.write(b"go\n")
        victim.stdin.flush()
        assert victim.wait(DEADLINE_S) == -signal.SIGKILL
        after = read_cgroup(witness.pid)
        assert after.path == cgroup.folder
        assert after.oom_kills - before.oom_kills == cgroup.oom_kills == 1
        assert 0 < after.current_bytes <= 48 * MIB


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".", 1)).write_text(text)


@linux
@pytest.mark.parametrize("where", ["", "elsewhere"])
def test_a_cgroup_is_read_in_both_versions(tmp_path, monkeypatch, where):
    """The kernel's files, laid out by hand: this machine has only one of the versions."""
    lines = {}
    monkeypatch.setattr(Path, "read_text", faked(Path.read_text, lines))
    lines["/proc/7/cgroup"] = f"0::/{where}/user.slice/gw.service\n"
    inner = tmp_path / "user.slice/gw.service"
    write(tmp_path / "user.slice", memory__max="1000\n")
    events = "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 1\n"
    target = inner if not where else tmp_path
    write(target, memory__max="max\n", memory__current="77\n", memory__events=events)
    found = read_cgroup(7, tmp_path)
    assert (found.path, found.current_bytes) == (target, 77)
    assert (found.oom_kills, found.oom_group_kills) == (2, 1)
    assert found.max_bytes == (None if where else 1000)

    lines["/proc/8/cgroup"] = "12:memory:/docker/abc\n1:name=systemd:/x\n0::/x\n"
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"
    write(
        tmp_path / "memory/docker/abc",
        memory__limit_in_bytes="9223372036854771712\n",
        memory__usage_in_bytes="5\n",
        memory__oom_control=control,
    )
    write(tmp_path / "memory", memory__limit_in_bytes="500\n", memory__oom_control=control)
    found = read_cgroup(8, tmp_path)
    assert found.path == tmp_path / "memory/docker/abc"
    assert (found.current_bytes, found.max_bytes, found.oom_kills) == (5, 500, 4)


def faked(real, lines):
    return lambda path, *a, **k: lines.get(str(path)) or real(path, *a, **k)


def test_without_cgroups_there_is_none(tmp_path):
    assert read_cgroup(os.getpid(), tmp_path) is None
    assert read_cgroup(0x7FFFFFFF) is None
