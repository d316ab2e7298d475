from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.stores import NOW_MS, format_store, make_entries, make_store, split_members
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreInvalid, TryLater, Usage
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.stores.restore import restore
from tailflip.stores.salvage import apply_salvage, plan_salvage

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home

DISK = RealDisk()


def test_every_complete_entry_before_the_damage_survives(store_path: Path, home: Home) -> None:
    whole = make_store(store_path)
    members = split_members(whole)
    for cut in range(1, len(whole) - 2, 97):
        damaged = whole[:cut]
        store_path.write_bytes(damaged)
        text = damaged.decode(errors="ignore")
        complete = [k for k, raw in members if raw in text]
        if not complete:
            continue
        plan = plan_salvage(Store(store_path, None))
        assert store_path.read_bytes() == damaged
        assert plan.best.written.entries == len(complete)
        report = apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
        new = split_members(store_path.read_bytes())
        assert new == members[: len(complete)]
        assert home.quarantined(report.action_id).read_bytes() == damaged


def test_a_backup_that_holds_more_is_preferred_and_shown(store_path: Path, home: Home) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(whole[:300])
    backup = store_path.with_name("sessions.json.bak.1770000000000")
    backup.write_bytes(whole)
    store_path.with_name("sessions.json.bak.9").write_bytes(b"{}")
    plan = plan_salvage(Store(store_path, None))
    assert [c.path.name for c in plan.candidates] == [
        "sessions.json",
        "sessions.json.bak.1770000000000",
        "sessions.json.bak.9",
    ]
    assert plan.best.path == backup
    apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
    assert store_path.read_bytes() == whole == backup.read_bytes()


def test_the_user_may_choose_otherwise(store_path: Path, home: Home) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(whole[:-30])
    backup = store_path.with_name("sessions.json.bak.1")
    backup.write_bytes(b'{"only": {}}')
    plan = plan_salvage(Store(store_path, None))
    apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS, source=backup)
    assert store_path.read_bytes() == b'{"only": {}}'
    with pytest.raises(Usage):
        apply_salvage(
            plan, workspace=Workspace(home, DISK), now_ms=NOW_MS, source=Path("/etc/passwd")
        )


def test_a_store_that_vanished_comes_back_from_its_backup(store_path: Path, home: Home) -> None:
    """The gateway renames a big store away and then writes nothing: all chats seem gone."""
    whole = make_store(store_path)
    store_path.rename(store_path.with_name("sessions.json.bak.1770000000000"))
    report = apply_salvage(
        plan_salvage(Store(store_path, None)), workspace=Workspace(home, DISK), now_ms=NOW_MS
    )
    assert store_path.read_bytes() == whole
    assert report.undo is None
    with pytest.raises(Usage, match="no store before"):
        restore(Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS)


def test_a_sound_store_is_not_salvaged(store_path: Path, home: Home) -> None:
    whole = make_store(store_path)
    plan = plan_salvage(Store(store_path, None))
    with pytest.raises(TryLater, match="not the one that was looked at"):
        apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
    assert store_path.read_bytes() == whole


def test_undo_gives_the_damaged_bytes_back_but_not_over_newer_work(
    store_path: Path, home: Home
) -> None:
    damaged = make_store(store_path)[:-30]
    store_path.write_bytes(damaged)
    report = apply_salvage(
        plan_salvage(Store(store_path, None)), workspace=Workspace(home, DISK), now_ms=NOW_MS
    )
    salvaged = store_path.read_bytes()
    newer = format_store(make_entries(old_runs=1))
    store_path.write_bytes(newer)
    with pytest.raises(TryLater, match="written to since"):
        restore(Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS + 1)
    assert store_path.read_bytes() == newer
    store_path.write_bytes(salvaged)
    restore(Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS + 1)
    assert store_path.read_bytes() == damaged
    assert len(list(home.quarantine.iterdir())) == 2


def test_what_changed_since_the_plan_is_looked_at_again(store_path: Path, home: Home) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(whole[:-30])
    plan = plan_salvage(Store(store_path, None))
    store_path.write_bytes(whole)
    with pytest.raises(TryLater):
        apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
    assert store_path.read_bytes() == whole


def test_a_byte_order_mark_costs_nothing(store_path: Path, home: Home) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(b"\xef\xbb\xbf" + whole)
    apply_salvage(
        plan_salvage(Store(store_path, None)), workspace=Workspace(home, DISK), now_ms=NOW_MS
    )
    assert json.loads(store_path.read_bytes()) == make_entries()


def test_garbage_is_not_replaced_by_an_empty_store(store_path: Path) -> None:
    make_store(store_path)
    store_path.write_bytes(b"\0" * 5_000 + b"x")
    with pytest.raises(StoreInvalid, match="nothing can be salvaged") as refused:
        plan_salvage(Store(store_path, None))
    assert "--accept-loss --apply" in (refused.value.hint or "")


def test_a_person_may_begin_anew(store_path: Path, home: Home) -> None:
    make_store(store_path)
    store_path.write_bytes(b"garbage")
    plan = plan_salvage(Store(store_path, None), accept_loss=True)
    with pytest.raises(StoreInvalid, match="nothing in it is proven"):
        apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
    report = apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS, accept_loss=True)
    assert store_path.read_bytes() == b"{}"
    assert home.quarantined(report.action_id).read_bytes() == b"garbage"


UUID = "0a1b2c3d-0000-4000-8000-00000000000"


def test_temporary_files_of_every_release_are_candidates(store_path: Path) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(b"")
    names = [f"{UUID}1.tmp", f"2600.{UUID}2.tmp", "2600.0123456789abcdef.tmp"]
    for at, name in enumerate(names):
        temp = store_path.with_name(f"sessions.json.{name}")
        temp.write_bytes(whole[: -30 if at else None])
    store_path.with_name("sessions.json.mine.tmp").write_bytes(whole)
    plan = plan_salvage(Store(store_path, None))
    assert {c.path.name for c in plan.candidates[1:]} == {f"sessions.json.{n}" for n in names}
    assert plan.best.path.name == f"sessions.json.{names[0]}"


def test_an_older_backup_does_not_replace_what_lost_one_entry(store_path: Path) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(whole.replace(b'"main-1"', b'"main\n-1"'))
    backup = store_path.with_name("sessions.json.bak.1770000000000")
    backup.write_bytes(whole)
    os.utime(backup, (1, 1))
    plan = plan_salvage(Store(store_path, None))
    assert plan.best.path == store_path
    assert plan.doubt is None


def test_an_empty_store_beside_what_cannot_be_read_is_not_begun_anew(store_path: Path) -> None:
    make_store(store_path)
    store_path.write_bytes(b"")
    store_path.with_name(f"sessions.json.{UUID}1.tmp").write_bytes(b'{"in": {"one": "line')
    with pytest.raises(StoreInvalid, match="nothing can be salvaged"):
        plan_salvage(Store(store_path, None))


@pytest.mark.parametrize(
    "name", ["sessions.json~", "sessions.json.orig", "sessions.json.bak-2026", "sessions.json.tmp"]
)
def test_a_copy_under_a_common_name_is_a_candidate(store_path: Path, name: str) -> None:
    whole = make_store(store_path)
    store_path.write_bytes(b"\0" * 40)
    copy = store_path.with_name(name)
    copy.write_bytes(whole)
    receipt = store_path.with_name("sessions.json.migrated")
    receipt.write_bytes(whole)
    plan = plan_salvage(Store(store_path, None))
    assert plan.best.path == copy
    assert receipt not in [each.path for each in plan.candidates]


def test_an_entry_pasted_in_another_indentation_is_left_to_a_person(
    store_path: Path, home: Home
) -> None:
    """In the damage it is proven by nothing; it may be whole all the same."""
    make_store(store_path)
    head = b'{\n  "agent:main:a": {\n    "sessionId": "a"\n  },\n'
    pasted = b'"agent:main:b": {"sessionId": "b"},\n        "agent:main:c": {"sessionId": "c"},\n'
    tail = b'  "agent:main:d": {\n    "sessionId": "d"\n  }\n}'
    damaged = head + b"\x00\x00" + pasted + tail
    store_path.write_bytes(damaged)
    plan = plan_salvage(Store(store_path, None))
    assert plan.best.unsure is not None
    with pytest.raises(StoreInvalid, match="may be a whole entry"):
        apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
    assert store_path.read_bytes() == damaged
