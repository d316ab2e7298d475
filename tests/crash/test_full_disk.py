"""A disk that is really full: a database on a small file system in memory, as root."""

from __future__ import annotations

import os
import random
import shutil
import string
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from support.agent_database import connect, dump, make_database
from support.stores import NOW_MS, list_tree, make_entries
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.stores.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounts a disk"),
]
DONE, NO_ROOM = 0, 73
KIB = 1024
RUNS, NOTE_CHARS = 300, 9_000
# Free when it begins: nothing, too little, enough for some of the steps, for all, for VACUUM too.
ROOMS_KIB = (0, 1_000, 1_600, 2_000, 3_000, 4_000, 6_000, 12_000)


class Disk:
    """A small disk with an agent's database; our own folder is on it too, or elsewhere."""

    def __init__(self, mount: Path, own: Path) -> None:
        self.mount, self.home = mount, Home(own)
        self.state = mount / "openclaw"
        self.database = self.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
        shift_ms = clock.now_ms() - NOW_MS
        letters = random.Random(1)
        entries = {
            key: entry
            | {name: entry[name] + shift_ms for name in entry if name.endswith("At")}
            | {"note": "".join(letters.choices(string.ascii_letters, k=NOTE_CHARS))}
            for key, entry in make_entries(old_runs=RUNS).items()
        }
        make_database(self.database, entries)
        self.whole = dump(self.database)

    def resize(self, free_kib: int) -> None:
        """Leave so much free."""
        room = os.statvfs(self.mount)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        size = f"remount,size={used // KIB + free_kib}k"
        subprocess.run(["mount", "-o", size, self.mount], check=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        env |= {
            "HOME": str(self.home.root),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_GATEWAY_PORT": "1",
            "TAILFLIP_STATE_DIR": str(self.home.root),
        }
        argv = [sys.executable, "-m", "tailflip", *words, "--apply"]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    def name_newest(self) -> str:
        """Name the action whose archive is the newest."""
        return max(self.home.archives.iterdir(), key=lambda each: each.stat().st_mtime_ns).name

    def check(self) -> None:
        """What left is in the archive; a second recovery finds nothing to do."""
        recover(Workspace(self.home, RealDisk()))
        settled = list_tree(self.mount)
        assert recover(Workspace(self.home, RealDisk())) == ()
        assert list_tree(self.mount) == settled
        assert [path.name for path in self.database.parent.iterdir()] == [self.database.name]
        with closing(connect(self.database)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        if dump(self.database) != self.whole:
            ran = self.run("restore", "--all")
            assert ran.returncode == DONE, ran.stderr
        assert dump(self.database) == self.whole


@contextmanager
def made(root: Path, own: str) -> Iterator[Disk]:
    mount = root / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mount], check=True)
    try:
        yield Disk(mount, root / own)
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("own", ["disk/own", "own"], ids=["all on it", "the database on it"])
@pytest.mark.parametrize("act", ["compact", "restore"])
def test_a_full_disk_loses_nothing_and_is_told(folder: Path, act: str, own: str) -> None:
    codes = set()
    with made(folder, own) as disk:
        for free_kib in ROOMS_KIB:
            if act == "restore":
                disk.resize(64_000)
                assert disk.run("compact").returncode == DONE
            disk.resize(free_kib)
            # Each archive of the same runs would count for a `--all`, before it is looked into.
            ran = disk.run(*(("compact",) if act == "compact" else ("restore", disk.name_newest())))
            disk.resize(64_000)
            assert ran.returncode in (DONE, NO_ROOM), f"{free_kib} KiB: {ran.stderr}"
            if ran.returncode == NO_ROOM:
                assert "not enough room" in ran.stderr or "disk is full" in ran.stderr
                assert "free some room" in ran.stderr
            codes.add(ran.returncode)
            disk.check()
    assert codes == {DONE, NO_ROOM}
