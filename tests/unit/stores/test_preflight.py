from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.stores import make_store
from tailflip.base import rights
from tailflip.base.errors import CannotCreate, NoPermission, StoreInvalid, TryLater
from tailflip.observe.gateway.process import start_ticks
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home

EXABYTE = 1 << 60


def messages(path: Path) -> str:
    return "\n".join(e.message for e in find_refusals(path))


def test_a_usual_store_is_not_refused(store_path: Path) -> None:
    make_store(store_path)
    assert find_refusals(store_path) == ()


@pytest.mark.parametrize("kind", ["directory", "FIFO", "missing", "loop", "device", "dangling"])
def test_what_is_not_a_file_is_refused_without_opening_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sessions.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "dangling":
        path.symlink_to("nowhere")
    refusals = find_refusals(path)
    assert [type(e) for e in refusals][:1] == [StoreInvalid]
    assert str(path) in refusals[0].message


def test_hard_links_are_refused(store_path: Path) -> None:
    make_store(store_path)
    os.link(store_path, store_path.with_name("other"))
    assert "2 names" in messages(store_path)


def test_another_users_store_is_refused_to_who_may_not_give_files_away(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(store_path)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    monkeypatch.setattr(rights, "has_right", lambda _: False)
    assert "may not give files away" in messages(store_path)


def test_a_lock_held_long_by_a_living_process_is_refused_early(store_path: Path) -> None:
    make_store(store_path)
    lock = store_path.with_name("sessions.json.lock")
    lock.write_text(json.dumps({"pid": os.getpid(), "starttime": start_ticks(os.getpid())}))
    assert find_refusals(store_path) == ()
    os.utime(lock, (1, 1))
    assert [type(e) for e in find_refusals(store_path)] == [TryLater]


def test_all_reasons_are_told_and_the_gravest_decides(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(store_path)
    os.link(store_path, store_path.with_name("other"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NoPermission) as caught:
        refuse(find_refusals(store_path))
    for reason in ("2 names", "cannot be read", "cannot be written to", "nothing was changed"):
        assert reason in caught.value.message
    refuse(())


def test_room_is_needed_for_store_and_archive_together(store_path: Path, home: Home) -> None:
    make_store(store_path)
    home.root.mkdir()
    room = os.statvfs(home.root)
    free = room.f_bavail * room.f_frsize
    assert find_missing_room(store_path, home, new_bytes=1, removed_bytes=1) == ()
    (refusal,) = find_missing_room(
        store_path, home, new_bytes=free * 2 // 3, removed_bytes=4 * (free * 2 // 3)
    )
    assert isinstance(refusal, CannotCreate)
    assert str(free // 1000) in refusal.message or "free" in refusal.message
