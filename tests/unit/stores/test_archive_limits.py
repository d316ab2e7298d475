"""Archives beyond the limits of the settings go, oldest first, and nothing else goes."""

from __future__ import annotations

import pytest

from support.stores import GONE, HOUR_MS, NOW_MS, make_store
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.config.schema import ArchiveSettings
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores import archive, archive_limits
from tailflip.stores.archive_limits import choose_beyond, keep_limits, observe_use
from tailflip.stores.archive_weight import Weighed, weigh
from tailflip.stores.transaction import compact_store
from tailflip.stores.unfinished import find_folder

DAY_MS = 24 * HOUR_MS


def action(name, store="/s", age_ms=0, kind="compact"):
    details = Details(temps=())
    return Action(
        id=name, kind=kind, store=store, state=State.DONE, created_ms=NOW_MS - age_ms,
        details=details,
    )  # fmt: skip


def choose(weighed, **limits):
    settings = ArchiveSettings(**{"keep": "false", "max_size": "false", **limits})
    return [each.action.id for each in choose_beyond(weighed, settings, NOW_MS)]


def test_packed_history_stays_until_a_person_deletes_it():
    """It may be the only place where a conversation is; and it drives no other archive out."""
    history = Weighed(action("history", age_ms=900 * DAY_MS, kind="reclaim"), 10_000)
    small = Weighed(action("small", store="/other", age_ms=DAY_MS), 100)
    older = Weighed(action("older", store="/other", age_ms=2 * DAY_MS), 100)
    assert choose((small, older, history), keep="90d", max_size="200") == []
    assert choose((small, older, history), keep="90d", max_size="100") == ["older"]


THREE = (
    Weighed(action("new", age_ms=DAY_MS), 100),
    Weighed(action("mid", age_ms=2 * DAY_MS), 100),
    Weighed(action("old", age_ms=3 * DAY_MS), 100),
)


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        ({}, []),
        ({"keep": "3d"}, []),
        ({"keep": "71h"}, ["old"]),
        ({"keep": "1m"}, ["old", "mid", "new"]),
        ({"max_size": "300"}, []),
        ({"max_size": "299"}, ["old"]),
        ({"max_size": "199"}, ["old", "mid"]),
        ({"max_size": "0"}, ["old", "mid"]),
        ({"keep": "71h", "max_size": "200"}, ["old"]),
    ],
)
def test_the_oldest_go_until_the_limits_are_kept(limits, gone):
    assert choose(THREE, **limits) == gone


def test_the_newest_of_each_store_stays_whatever_the_size():
    weighed = (*THREE, Weighed(action("other", store="/t", age_ms=9 * DAY_MS), 10**9))
    assert choose(weighed, max_size="0") == ["old", "mid"]


def test_an_archive_without_bytes_gives_none_back_and_stays():
    assert choose((*THREE, Weighed(action("empty", age_ms=9 * DAY_MS), 0)), max_size="0") == [
        "old",
        "mid",
    ]


def test_a_clock_that_began_in_1970_makes_no_archive_old():
    assert choose((Weighed(action("odd", age_ms=NOW_MS - 5), 100),), keep="1m") == []


def compact(store_path, home, now_ms):
    return compact_store(
        Store(store_path, "main"), Policy(), GONE, workspace=Workspace(home, RealDisk()),
        now_ms=now_ms,
    )  # fmt: skip


def test_weight_is_what_the_deletion_gives_back(store_path, home):
    make_store(store_path)
    report = compact(store_path, home, NOW_MS)
    workspace = Workspace(home, RealDisk())
    (weighed,) = weigh(workspace)
    assert report.transcripts
    kept = find_folder(weighed.action)
    files = [*home.archive(report.action_id).iterdir(), *kept.iterdir()]
    assert weighed.bytes == sum(path.stat().st_size for path in files)
    assert keep_limits(workspace, ArchiveSettings(), NOW_MS + 90 * DAY_MS) == ()
    (note,) = keep_limits(workspace, ArchiveSettings(), NOW_MS + 91 * DAY_MS)
    assert note.startswith("1 archive was deleted for ever, beyond archive.keep (90d)")
    assert not home.archive(report.action_id).exists()
    assert not kept.parent.exists()
    assert Ledger(workspace).find(report.action_id).state is State.EXPIRED
    assert keep_limits(workspace, ArchiveSettings(), NOW_MS + 91 * DAY_MS) == ()


def test_an_archive_of_a_store_on_record_stays_by_itself(store_path, home, monkeypatch):
    """Its bytes may be the ones that a gateway has on record: without them no start succeeds."""
    make_store(store_path)
    report = compact(store_path, home, NOW_MS)
    workspace, late_ms = Workspace(home, RealDisk()), NOW_MS + 91 * DAY_MS
    monkeypatch.setattr("tailflip.stores.ownership.find_claim", lambda _path: "a claim")
    assert keep_limits(workspace, ArchiveSettings(), late_ms) == ()
    use = observe_use(workspace, ArchiveSettings(), late_ms)
    assert (use.count, use.too_old, use.may_go) == (1, 1, 0)
    assert home.records(report.action_id).exists()


def test_where_nothing_was_ever_archived_no_ledger_is_read(home, monkeypatch):
    monkeypatch.setattr(archive_limits, "weigh", None)
    assert keep_limits(Workspace(home, RealDisk()), ArchiveSettings(), NOW_MS) == ()


def test_another_tailflip_at_work_is_no_fault(store_path, home):
    make_store(store_path)
    compact(store_path, home, NOW_MS)
    workspace = Workspace(home, RealDisk())
    with workspace.claim():
        assert keep_limits(workspace, ArchiveSettings(), NOW_MS + 91 * DAY_MS) == ()
    assert weigh(workspace)


def test_what_an_older_version_set_aside_as_deleted_goes_with_its_archive(store_path, home):
    """Once: 266 files named `.deleted.<time>` stayed behind, of use to nobody."""
    make_store(store_path)
    report = compact(store_path, home, NOW_MS)
    workspace = Workspace(home, RealDisk())
    done = archive.find_action(workspace, report.action_id)
    folder = find_folder(done)
    for path in folder.iterdir():
        path.rename(store_path.with_name(path.name + done.transcript_suffix))
    foreign = store_path.with_name(f"somebody-else.jsonl{done.transcript_suffix}")
    foreign.write_text("set aside by the gateway in the same millisecond")
    living = {path.name for path in store_path.parent.glob("*.jsonl")}
    archive.expire(workspace, action_ids=[report.action_id], now_ms=NOW_MS, apply=True)
    left = {path.name for path in store_path.parent.iterdir() if ".jsonl" in path.name}
    assert left == living | {foreign.name}
