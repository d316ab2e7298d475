"""What Linux and macOS answer differently: the calls, and those who make them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import psutil
import pytest

from support import macos
from support.guarded_gateway import find_free_port
from tailflip.base import clock, platform_calls
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TryLater
from tailflip.base.platform_calls import Linux, MacOS
from tailflip.base.workspace import Workspace
from tailflip.ledger.database import Database
from tailflip.observe.gateway.cgroup import read_cgroup, read_limit
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.gateway.process import is_alive, start_ticks
from tailflip.observe.host.systemd import find_unit
from tailflip.observe.installation import locate
from tailflip.stores.json.lock import hold, is_stale

ME = os.getpid()
NOBODY = 2**22 + 1  # beyond the largest pid of Linux


@pytest.fixture(scope="module")
def libc(tmp_path_factory):
    return str(macos.build_libc(tmp_path_factory.mktemp("macos")))


@pytest.fixture
def mac(libc, monkeypatch):
    made = MacOS(libc)
    monkeypatch.setattr(platform_calls, "here", made)
    return made


# --- processes ---------------------------------------------------------------------------


def test_on_macos_a_process_is_known_by_the_second_of_its_start(mac):
    started = start_ticks(ME)
    assert started == int(psutil.Process().create_time())
    assert is_alive(ME, started)
    assert not is_alive(ME, started - 1)
    assert is_alive(ME, None)


def test_on_macos_a_zombie_is_dead_and_so_is_what_was_reaped(mac):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert mac.look_at(child.pid).is_zombie
    assert not is_alive(child.pid, start_ticks(child.pid))
    child.wait()
    assert start_ticks(child.pid) is None


@pytest.mark.parametrize(
    "pid", [NOBODY, 2**31 - 1, pytest.param(2**32 + ME, id="ours and a bit too large")]
)
def test_on_macos_nobody_is_nobody(mac, pid):
    """A pid that is cut to 32 bits would be that of somebody else."""
    assert start_ticks(pid) is None
    assert not is_alive(pid, None)


def test_on_macos_a_boot_has_a_name(mac):
    assert mac.boot_id() == "5E6FFEBE-0000-4000-8000-C0FFEE000001"


def test_a_process_that_linux_hides_is_alive(tmp_path, monkeypatch):
    """/proc may be mounted with hidepid=2: others' processes are not in it, but they run."""
    monkeypatch.setattr(platform_calls, "here", Linux(tmp_path))
    assert is_alive(ME, 123)
    assert not is_alive(NOBODY, None)
    assert start_ticks(ME) is None


# --- locks -------------------------------------------------------------------------------


def test_on_macos_our_lock_says_the_second_of_our_start(mac, tmp_path):
    """As the gateway's own locks do there, from 2026.9.6 on."""
    with hold(tmp_path / "sessions.json", RealDisk()) as lock:
        said = json.loads(lock.payload)
        assert said["starttime"] == int(psutil.Process().create_time())
        with (
            pytest.raises(TryLater, match=f"locked by pid {ME}"),
            hold(tmp_path / "sessions.json", RealDisk(), timeout_s=0.0),
        ):
            pass


@pytest.mark.parametrize(("later_s", "stale"), [(0, False), (1, True)])
def test_on_macos_a_lock_of_a_pid_that_was_used_again_is_stale(mac, tmp_path, later_s, stale):
    path = tmp_path / "sessions.json.lock"
    now = datetime.now(UTC).isoformat()
    written = {"pid": ME, "createdAt": now, "starttime": start_ticks(ME) - later_s}
    path.write_text(json.dumps(written))
    assert is_stale(read_owner(path), clock.now_ms()) is stale


@pytest.mark.parametrize(("later_s", "alive"), [(0, True), (1, False)])
def test_on_macos_the_gateway_is_found_by_its_lock(mac, tmp_path, later_s, alive):
    state, temporary = tmp_path / "state", tmp_path / "tmp"
    state.mkdir()
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": find_free_port()}}))
    env = {"OPENCLAW_STATE_DIR": str(state), "TMPDIR": str(temporary), "HOME": str(tmp_path)}
    folder = temporary / f"openclaw-{os.getuid()}"
    folder.mkdir(parents=True)
    owner = {
        "pid": ME,
        "createdAt": datetime.now(UTC).isoformat(),
        "configPath": str(state / "openclaw.json"),
        "startTime": start_ticks(ME) - later_s,
    }
    (folder / "gateway.01234567.lock").write_text(json.dumps(owner))
    assert read_gateway(locate(env), env).alive is alive


# --- disks -------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch, mac):
    """What was asked of the disk, in order; `refuse` makes F_FULLFSYNC fail."""
    calls: list[str] = []
    refuse: list[int] = []

    def call(fd, cmd, arg=0):
        assert cmd == 51
        os.fstat(fd)
        calls.append("full")
        if refuse:
            raise OSError(refuse[0], os.strerror(refuse[0]))
        return 0

    monkeypatch.setattr(fcntl, "fcntl", call)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync"))
    return calls, refuse


def sync_both(folder):
    fd = os.open(folder / "file", os.O_RDWR | os.O_CREAT)
    try:
        RealDisk().fsync(fd)
    finally:
        os.close(fd)
    RealDisk().fsync_dir(folder)


def test_on_macos_files_and_folders_are_synced_past_the_drives_cache(synced, tmp_path):
    calls, _ = synced
    sync_both(tmp_path)
    assert calls == ["full", "full"]


@pytest.mark.parametrize("why", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_a_file_system_that_does_not_know_it_is_synced_as_it_can(synced, tmp_path, why):
    calls, refuse = synced
    refuse.append(why)
    sync_both(tmp_path)
    assert calls == ["full", "fsync", "full", "fsync"]


@pytest.mark.parametrize("why", [errno.EIO, errno.ENOSPC])
def test_a_sync_that_fails_is_an_error_and_is_not_tried_more_weakly(synced, tmp_path, why):
    calls, refuse = synced
    refuse.append(why)
    with pytest.raises(OSError, match=os.strerror(why)):
        sync_both(tmp_path)
    assert calls == ["full"]


def test_sqlite_syncs_past_the_drives_cache_where_that_must_be_asked_for(home):
    """What is not macOS ignores it."""
    home.create(RealDisk())
    with Database(Workspace(home, RealDisk())).connected() as db:
        assert db.execute("PRAGMA fullfsync").fetchone() == (1,)


# --- what macOS has not ------------------------------------------------------------------


def test_on_macos_there_are_no_cgroups_units_or_orphans(mac):
    assert read_cgroup(ME) is None
    assert read_limit(None) is None
    assert not mac.become_subreaper()
    env = {"INVOCATION_ID": "a" * 32, "SYSTEMD_EXEC_PID": str(ME)}
    assert find_unit(env, None) is None
    assert find_unit({}, "ai.openclaw.gateway") is None


def test_the_one_that_runs_is_that_of_this_system():
    expected = Linux() if sys.platform == "linux" else MacOS()
    assert platform_calls.here == expected
