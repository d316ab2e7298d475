"""What cures a gateway is seen, whatever its text or size says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tailflip.base import clock
from tailflip.config.load import load
from tailflip.observe.cures import (
    is_settled,
    list_program_files,
    list_service_files,
    list_state_files,
    mark,
    measure_room,
)
from tailflip.observe.gateway.release import read_release
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.fingerprints import Fingerprints

NOW_MS = 1_800_000_000_000


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def state(tmp_path):
    for name in (
        *("openclaw.json", "exec-approvals.json", "credentials/telegram-pairing.json"),
        *("state/openclaw.sqlite", "state/openclaw.sqlite-wal", "state/openclaw.sqlite-shm"),
        *("agents/main/agent/openclaw-agent.sqlite", "agents/main/sessions/sessions.json"),
    ):
        write(tmp_path / "oc" / name)
    return tmp_path / "oc"


@pytest.mark.parametrize(
    "name",
    [
        "exec-approvals.json",
        "credentials/telegram-pairing.json",
        "state/openclaw.sqlite",
        "state/openclaw.sqlite-wal",
        "agents/main/agent/openclaw-agent.sqlite",
        "agents/main/agent/openclaw-agent.sqlite-wal",
        "agents/main/sessions/sessions.json",
        "cron/jobs.json",
    ],
)
def test_each_file_that_doctor_may_change_shows(state, name):
    before = mark(list_state_files(state, None))
    write(state / name, "another")
    assert mark(list_state_files(state, None)) != before


def test_who_only_reads_a_database_changes_nothing(state):
    """A reader makes and removes the index of the write-ahead log."""
    before = mark(list_state_files(state, None))
    (state / "state/openclaw.sqlite-shm").unlink()
    write(state / "agents/main/agent/openclaw-agent.sqlite-shm")
    assert mark(list_state_files(state, None)) == before


def test_a_state_that_cannot_be_listed_has_a_mark_all_the_same(tmp_path):
    assert mark(list_state_files(tmp_path / "gone", None))
    assert mark(list_state_files(write(tmp_path / "file"), None))


def make_package(root):
    entry = write(root / "lib/node_modules/openclaw/dist/entry.js")
    package = {"name": "openclaw", "version": "1.2.3"}
    write(root / "lib/node_modules/openclaw/package.json", json.dumps(package))
    node = write(root / "bin/node")
    node.chmod(0o755)
    return [str(node), str(entry), "gateway"], entry


def test_the_same_package_installed_again_shows(tmp_path):
    command, entry = make_package(tmp_path)
    release = read_release(command, {"HOME": str(tmp_path)})
    package = entry.parent.parent / "package.json"
    before = mark(list_program_files(release, tmp_path / "oc"))
    stat = package.stat()
    again = write(package.with_suffix(".new"), package.read_text())
    os.utime(again, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again.replace(package)
    assert read_release(command, {}).text == release.text
    assert mark(list_program_files(release, tmp_path / "oc")) != before


@pytest.mark.parametrize("where", ["dist/chunk.js", "node_modules/dep/a.js", "package.json"])
def test_a_package_that_was_gone_shows_when_it_is_there(tmp_path, where):
    command, entry = make_package(tmp_path)
    root = entry.parent.parent
    if where == "package.json":
        (root / where).unlink()
    release = read_release(command, {"HOME": str(tmp_path)})
    before = mark(list_program_files(release, tmp_path / "oc"))
    write(root / where)
    assert mark(list_program_files(release, tmp_path / "oc")) != before


def test_the_service_and_what_overrides_it_are_listed(tmp_path):
    units = tmp_path / ".config/systemd/user"
    unit = write(units / "openclaw-gateway.service")
    override = write(units / "openclaw-gateway.service.d/10-env.conf")
    write(units / "other.service")
    found = list_service_files({"HOME": str(tmp_path)})
    assert [path for path in found if tmp_path in path.parents] == [unit, override]


def test_what_was_changed_just_now_is_not_settled(tmp_path):
    path = write(tmp_path / "a")
    changed_ms = path.stat().st_ctime_ns // 1_000_000
    assert not is_settled([path], changed_ms + 2999)
    assert is_settled([path], changed_ms + 3001)
    assert is_settled([path], changed_ms - 60_000), "what lies in the future is no change"
    assert is_settled([tmp_path / "gone"], changed_ms)


def test_room_is_told_of_each_disk(tmp_path):
    bytes_free, inodes_free, *gone = measure_room([tmp_path, tmp_path / "gone"])
    assert bytes_free > 0
    assert inodes_free >= 0
    assert gone == [0, 0]


def test_files_that_never_rest_hold_no_start_up_for_ever(tmp_path, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s[0])
    path = write(tmp_path / "home/.openclaw/state/openclaw.sqlite")
    monkeypatch.setattr(clock, "now_ms", lambda: path.stat().st_ctime_ns // 1_000_000 + 1)
    env = {"HOME": str(tmp_path / "home"), "PATH": os.defpath}
    gateway = GuardedGateway.prepare(["openclaw", "gateway"], env, load(env, {}).config)
    seen, prints = [], Fingerprints(gateway)
    for _ in range(62):
        seen.append(prints.is_settled())
        now_s[0] += 4.0
    assert seen.count(True) == 2, "once in two minutes"
    assert not any(seen[:30])
    assert Path(gateway.state_dir) == tmp_path / "home/.openclaw"
