"""A disk that is really full gains room; as root, on a small file system in memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.folders import Folders
from support.leftovers import LIVING, Leftovers, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounts a disk"),
]
DISK_MIB, FREE_KIB = 16, 160  # one of a hundred parts is free
EACH_BYTES = 60_000


class Disk(Folders):
    def __init__(self, root: Path) -> None:
        self.root = root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """State directory and archives are both on it."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    size = f"size={DISK_MIB}m"
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", mounted], check=False
    ).returncode:
        pytest.skip("may not mount")
    try:
        yield Disk(mounted)
    finally:
        subprocess.run(["umount", mounted], check=True)


def free_kib(path: Path) -> int:
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize // 1024


def fill(path: Path) -> None:
    with (path / "filler").open("wb") as file:
        file.write(b"x" * 1024 * (free_kib(path) - FREE_KIB))


def reclaim(disk: Disk, *argv: str) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-m", "tailflip", "reclaim", "--apply", "--json", *argv],
        env=disk.make_env() | {"TMPDIR": str(disk.root.parent), "OPENCLAW_GATEWAY_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


def test_debris_gives_room_first_and_then_history_is_packed(disk: Disk) -> None:
    left = Leftovers(disk.store)
    for n in range(100):
        left.put_temporary(n, size=0).write_bytes(b"x" * EACH_BYTES)
    history = {}
    for n in range(40):
        session = f"77777777-0000-4000-8000-{n:012d}"
        data = make_transcript(session) + os.urandom(EACH_BYTES)
        history[left.put(f"{session}.jsonl", data).name] = data
    for path in left.folder.glob("*.tmp"):
        left.age(path)
    fill(disk.root)
    assert free_kib(disk.root) <= FREE_KIB
    answer = reclaim(disk)
    assert left.list() == {"sessions.json", f"{LIVING}.jsonl"}
    assert free_kib(disk.root) > 5_000
    for action in answer["action_ids"]:  # type: ignore[attr-defined]
        subprocess.run(
            [sys.executable, "-m", "tailflip", "restore", action, "--apply"],
            env=disk.make_env(),
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert {name: (left.folder / name).read_bytes() for name in history} == history


def test_history_alone_is_packed_in_as_much_room_as_there_is(disk: Disk) -> None:
    left = Leftovers(disk.store)
    for n in range(60):
        session = f"77777777-0000-4000-8000-{n:012d}"
        left.put(f"{session}.jsonl", make_transcript(session, 3000))
    fill(disk.root)
    before = free_kib(disk.root)
    reclaim(disk)
    assert left.list() == {"sessions.json", f"{LIVING}.jsonl"}
    assert free_kib(disk.root) > before + 4_000
