"""Each file system is told once, also for a folder that is not there yet."""

from __future__ import annotations

import shutil
from pathlib import Path

from tailflip.observe.host.space import Space, read_space


def test_room_of_a_folder_that_will_be_made(tmp_path):
    (found,) = read_space(tmp_path / "a" / "b", tmp_path)
    told = shutil.disk_usage(tmp_path)
    assert found.total_bytes == told.total
    assert abs(found.free_bytes - told.free) < 1 << 30  # others write meanwhile


def test_scarce_is_what_the_next_save_may_not_find():
    def is_scarce(free, total):
        return Space(Path("/"), 1, free, total).is_scarce

    assert is_scarce((64 << 20) - 1, 1 << 40)
    assert not is_scarce(64 << 20, 1 << 40)
    assert is_scarce(99, 2_000)  # a small one is full below a twentieth
    assert not is_scarce(100, 2_000)


def test_a_file_system_without_room_for_a_file_is_full_whatever_its_bytes():
    def is_scarce(files):
        return Space(Path("/"), 1, 1 << 40, 1 << 41, files).is_scarce

    assert is_scarce(0)
    assert is_scarce(99)
    assert not is_scarce(100)
    assert not is_scarce(None)  # it does not count them
