from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.stores import (
    GONE,
    HOUR_MS,
    NOW_MS,
    FaultyDisk,
    format_store,
    list_tree,
    make_entries,
    make_entry,
    make_store,
    run_key,
    split_members,
)
from tailflip.base.durable import RealDisk
from tailflip.base.errors import (
    ArchiveDamaged,
    InternalError,
    StoreInvalid,
    TailflipError,
    TryLater,
    Usage,
)
from tailflip.base.workspace import Workspace
from tailflip.flow.numbers import VerifyNumbers
from tailflip.flow.observed import Evidence, Store
from tailflip.ledger.actions import Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.json import native
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.state_dir import Home
    from tailflip.flow.outcomes import Report

DISK = RealDisk()


def compact(path: Path, home: Home, evidence: Evidence = GONE, **kwargs: Any) -> Report:
    disk = kwargs.pop("disk", DISK)
    settings: dict[str, Any] = {"workspace": Workspace(home, disk), "now_ms": NOW_MS}
    return compact_store(Store(path, None), Policy(), evidence, **settings | kwargs)


def test_kept_entries_are_the_same_bytes_in_the_same_order(store_path: Path, home: Home) -> None:
    old = dict(split_members(make_store(store_path)))
    report = compact(store_path, home)
    new = split_members(store_path.read_bytes())
    assert [k for k, _ in new] == [
        k for k in old if k not in {run_key(f"run-{n}") for n in (0, 1, 2)}
    ]
    slimmed = [k for k, raw in new if raw != old[k]]
    assert slimmed == [k for k in old if "skillsSnapshot" in old[k]]
    before, after = json.loads(old[slimmed[0]]), json.loads(dict(new)[slimmed[0]])
    assert {k: v for k, v in before.items() if k != "skillsSnapshot"} == after
    assert (report.entries_before, report.entries_after) == (len(old), len(new))
    assert report.bytes_after == store_path.stat().st_size
    assert report.undo == f"tailflip restore {report.action_id} --apply"


def test_nothing_to_do_touches_nothing(store_path: Path, home: Home) -> None:
    make_store(store_path, {"agent:main:main": make_entry("m")})
    before = store_path.stat()
    report = compact(store_path, home)
    assert report.action_id == ""
    after = store_path.stat()  # whoever reads it may change the time of access
    assert (after.st_ino, after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert Ledger(Workspace(home, DISK)).read_all() == ()


def test_compacting_twice_is_compacting_once(store_path: Path, home: Home) -> None:
    make_store(store_path)
    assert compact(store_path, home).action_id
    assert compact(store_path, home).action_id == ""


def test_mode_is_kept_and_time_is_new(store_path: Path, home: Home) -> None:
    make_store(store_path)
    store_path.chmod(0o640)
    before = store_path.stat()
    compact(store_path, home)
    after = store_path.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_mtime_ns > before.st_mtime_ns


def test_a_link_stays_a_link(store_path: Path, home: Home, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "data.json"
    make_store(real)
    store_path.parent.mkdir(parents=True)
    store_path.symlink_to(real)
    compact(store_path, home)
    assert store_path.is_symlink()
    assert len(json.loads(real.read_bytes())) == 4
    assert [p.name for p in real.parent.iterdir() if p.suffix in {".lock", ".tmp"}] == []


def test_transcripts_follow_their_entries_and_come_back(store_path: Path, home: Home) -> None:
    entries = make_entries()
    shared, busy, alien = run_key("run-1"), run_key("run-2"), "../../../outside"
    entries["agent:main:direct:peer"]["sessionFile"] = "run-1.jsonl"
    entries[run_key("run-3")] = make_entry(alien, 70 * HOUR_MS)
    entries[run_key("run-4")] = make_entry("run-4", 70 * HOUR_MS, sessionFile="own-name.jsonl")
    outside = store_path.parent.parent.parent.parent / "outside.jsonl"
    store_path.parent.parent.mkdir(parents=True)
    entries[run_key("run-3")]["sessionId"] = "run-3"
    make_store(store_path, entries)
    entries[run_key("run-3")]["sessionId"] = alien
    store_path.write_bytes(format_store(entries))
    store_path.with_name("run-3.jsonl").unlink()
    (store_path.parent / "own-name.jsonl").write_text("{}")
    outside.write_text("{}")
    lock = store_path.with_name("run-2.jsonl.lock")
    lock.write_text(json.dumps({"pid": os.getpid()}))
    names = {p.name for p in store_path.parent.glob("*.jsonl")}
    report = compact(store_path, home)
    assert not {shared, busy, run_key("run-4")} & set(json.loads(store_path.read_bytes()))
    gone = names - {p.name for p in store_path.parent.glob("*.jsonl")}
    # run-0 is also the base entry's; run-1 another's file; run-2 is being written to.
    assert gone == {"run-4.jsonl", "own-name.jsonl"}
    assert report.transcripts == 2
    kept = store_path.parent / ".tailflip" / report.action_id
    assert {p.name for p in kept.iterdir()} == gone
    assert outside.exists()
    lock.unlink()
    restore(Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS + 5)
    assert {p.name for p in store_path.parent.glob("*.jsonl")} == names
    assert not kept.parent.exists()
    assert json.loads(store_path.read_bytes()) == entries


def test_duplicate_keys_are_refused(store_path: Path, home: Home) -> None:
    data = make_store(store_path)
    doubled = data[:-2] + b',\n  "agent:main:main": {}\n}'
    store_path.write_bytes(doubled)
    with pytest.raises(StoreInvalid, match="same key"):
        compact(store_path, home)
    assert store_path.read_bytes() == doubled
    assert Ledger(Workspace(home, DISK)).read_all() == ()


BAD = {
    "empty": b"",
    "bom": b"\xef\xbb\xbf{}",
    "utf16": '{"a": {}}'.encode("utf-16"),
    "truncated": format_store(make_entries())[:-30],
    "trailing": b"{}{}",
    "nul": b'{"a": {}}\0',
    "utf8": b'{"a": "\xff"}',
    "root": b"[]",
    "number": b'{"a": 01}',
    "deep": b'{"a": ' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}",
}


@pytest.mark.parametrize("name", BAD)
def test_a_store_that_is_not_valid_keeps_its_bytes(store_path: Path, home: Home, name: str) -> None:
    make_store(store_path)
    store_path.write_bytes(BAD[name])
    before = list_tree(store_path.parent)
    with pytest.raises(StoreInvalid) as caught:
        compact(store_path, home)
    assert str(store_path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert list_tree(store_path.parent) == before


class ChangingDisk(FaultyDisk):
    """Lets the gateway write to the store just when we take the lock, `times` times."""

    def __init__(self, store: Path, times: int) -> None:
        super().__init__()
        self._store, self._times = store, times

    def open_new(self, path: Path, mode: int) -> int:
        if path.suffix == ".lock" and self._times:
            self._times -= 1
            entries = json.loads(self._store.read_bytes())
            entries[f"agent:main:direct:new-{self._times}"] = make_entry(f"n{self._times}")
            beside = self._store.with_name("theirs")
            beside.write_bytes(format_store(entries))
            beside.rename(self._store)
        return super().open_new(path, mode)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_update_while_we_rewrite_is_never_lost(store_path: Path, home: Home, times: int) -> None:
    make_store(store_path)
    report = compact(store_path, home, disk=ChangingDisk(store_path, times))
    new = json.loads(store_path.read_bytes())
    assert {f"agent:main:direct:new-{n}" for n in range(times)} <= set(new)
    assert len(new) == 4 + times == report.entries_after
    states = [a.state for a in Ledger(Workspace(home, DISK)).read_all()]
    assert states.count(State.DONE) == 1
    assert len(list(home.archives.iterdir())) == 1
    assert [p.name for p in store_path.parent.iterdir() if p.name.endswith(".tmp")] == []


def test_a_write_in_place_while_we_rewrite_is_noticed(
    store_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some scripts write over the file instead of renaming: inode and size may stay."""
    data = make_store(store_path)
    real = native.verify

    def write_over(fd: int, *args: object) -> VerifyNumbers:
        store_path.write_bytes(data.replace(b'"n": 0', b'"n": 7'))
        return real(fd, *args)

    monkeypatch.setattr(native, "verify", write_over)
    with pytest.raises(TryLater, match="keeps changing"):
        compact(store_path, home)
    assert b'"n": 7' in store_path.read_bytes()
    assert list(home.archives.iterdir()) == []


def test_a_new_store_that_does_not_read_back_never_becomes_the_store(
    store_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_store(store_path)
    other = VerifyNumbers(bytes=0, entries=0, digest="", kept_digest="")
    monkeypatch.setattr(native, "verify", lambda *_: other)
    with pytest.raises(InternalError, match="the original is in place"):
        compact(store_path, home)
    assert store_path.read_bytes() == old
    assert list(home.archives.iterdir()) == []


def test_a_stolen_lock_stops_the_rename(store_path: Path, home: Home) -> None:
    old = make_store(store_path)

    class Thief(FaultyDisk):
        def write(self, fd: int, data: bytes) -> None:
            super().write(fd, data)
            if b"createdAt" in data:
                lock = store_path.with_name("sessions.json.lock")
                lock.unlink()
                lock.write_text(json.dumps({"pid": 1}))

    with pytest.raises(TryLater, match="lost the lock"):
        compact(store_path, home, disk=Thief())
    assert store_path.read_bytes() == old
    assert store_path.with_name("sessions.json.lock").exists()


def test_proof_of_life_keeps_an_old_run(store_path: Path, home: Home) -> None:
    make_store(store_path)
    alive = Evidence(gateway=GONE.gateway, live_sessions=frozenset({"run-1"}))
    compact(store_path, home, alive)
    assert run_key("run-1") in json.loads(store_path.read_bytes())


def test_a_survey_shown_before_is_used_and_a_stale_one_is_not(store_path: Path, home: Home) -> None:
    make_store(store_path)
    with store_path.open("rb") as file:
        shown = native.survey(file.fileno(), Policy(), GONE, NOW_MS)
    entries = make_entries(old_runs=5)
    store_path.write_bytes(format_store(entries))
    report = compact(store_path, home, expected=shown)
    assert report.entries_before == len(entries)
    assert len(json.loads(store_path.read_bytes())) == 4


def test_ctrl_c_leaves_the_original_and_no_litter(store_path: Path, home: Home) -> None:
    old = make_store(store_path)

    class Impatient(FaultyDisk):
        def fsync(self, fd: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(store_path, home, disk=Impatient())
    assert store_path.read_bytes() == old
    assert [p.name for p in store_path.parent.iterdir() if p.name.endswith(".tmp")] == []
    assert list(home.archives.iterdir()) == []


@pytest.mark.parametrize("by", ["action", "key", "job", "all"])
def test_restore_finds_what_was_removed(store_path: Path, home: Home, by: str) -> None:
    old = json.loads(make_store(store_path))
    report = compact(store_path, home)
    how: dict[str, dict[str, Any]] = {
        "action": {"action_id": report.action_id},
        "key": {"keys": (run_key("run-1"),)},
        "job": {"jobs": ("7c0f6b0e-0000-4000-8000-000000000001",)},
        "all": {"everything": True},
    }
    plan = restore(Workspace(home, DISK), **how[by], apply=False, now_ms=NOW_MS + 1)
    assert plan.report is None
    assert len(json.loads(store_path.read_bytes())) == 4
    done = restore(Workspace(home, DISK), **how[by], apply=True, now_ms=NOW_MS + 1)
    assert done.report is not None
    assert (done.added, done.replaced) == (plan.added, plan.replaced)
    new = json.loads(store_path.read_bytes())
    assert len(new) == 4 + (1 if by == "key" else 3)
    assert all(new[k] == old[k] for k in new if by != "key" or k == run_key("run-1"))
    again = restore(Workspace(home, DISK), **how[by], apply=True, now_ms=NOW_MS + 2)
    assert again.report is None
    assert (again.added, again.replaced, again.conflicts) == (0, 0, 0)


def test_a_key_that_lives_again_is_a_conflict_and_stays(store_path: Path, home: Home) -> None:
    make_store(store_path)
    report = compact(store_path, home)
    entries = json.loads(store_path.read_bytes())
    entries[run_key("run-1")] = {"reborn": True}
    store_path.write_bytes(format_store(entries))
    done = restore(Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS + 1)
    assert (done.conflicts, done.conflict_keys) == (1, (run_key("run-1"),))
    new = json.loads(store_path.read_bytes())
    assert new[run_key("run-1")] == {"reborn": True}
    assert run_key("run-2") in new


def test_what_was_slimmed_and_later_removed_comes_back_whole(store_path: Path, home: Home) -> None:
    key = run_key("big")
    entry = make_entry("big", 2 * HOUR_MS, status="done", skillsSnapshot={"prompt": "p" * 99})
    make_store(store_path, {"agent:main:main": make_entry("m"), key: entry})
    assert compact(store_path, home).rules
    assert "skillsSnapshot" not in json.loads(store_path.read_bytes())[key]
    compact(store_path, home, now_ms=NOW_MS + 48 * HOUR_MS)
    assert key not in json.loads(store_path.read_bytes())
    done = restore(Workspace(home, DISK), keys=(key,), apply=True, now_ms=NOW_MS + 49 * HOUR_MS)
    assert done.conflicts == 0
    assert json.loads(store_path.read_bytes())[key] == entry


def test_restore_without_a_match_says_so(store_path: Path, home: Home) -> None:
    make_store(store_path)
    with pytest.raises(Usage, match="no archive"):
        restore(Workspace(home, DISK), keys=("agent:main:main",), apply=True, now_ms=NOW_MS)
    with pytest.raises(Usage, match="no such action"):
        restore(Workspace(home, DISK), action_id="x", apply=True, now_ms=NOW_MS)
    with pytest.raises(Usage, match="nothing to restore"):
        restore(Workspace(home, DISK), apply=True, now_ms=NOW_MS)


def test_one_key_in_two_stores_must_be_told_apart(tmp_path: Path, home: Home) -> None:
    paths = [tmp_path / name / "sessions.json" for name in ("a", "b")]
    for path in paths:
        make_store(path)
        compact(path, home)
    with pytest.raises(Usage, match="2 stores"):
        restore(Workspace(home, DISK), keys=(run_key("run-1"),), apply=True, now_ms=NOW_MS + 1)
    done = restore(
        Workspace(home, DISK),
        keys=(run_key("run-1"),),
        store=paths[1],
        apply=True,
        now_ms=NOW_MS + 1,
    )
    assert done.store == paths[1]
    assert len(json.loads(paths[0].read_bytes())) == 4


def test_sigkill_between_commands_is_forgotten_by_the_next(store_path: Path, home: Home) -> None:
    """A tailflip killed under the lock: the next one neither waits nor asks."""
    make_store(store_path)
    script = (
        "import sys, time; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path\n"
        "from tailflip.stores.lock import hold\n"
        "from tailflip.base.durable import RealDisk\n"
        "with hold(Path(sys.argv[1]), RealDisk()):\n    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, store_path], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.kill()
    started = time.monotonic()
    assert compact(store_path, home).action_id
    assert time.monotonic() - started < 5


def test_archive_is_listed_checked_and_let_go(store_path: Path, home: Home) -> None:
    make_store(store_path)
    report = compact(store_path, home)
    (listed,) = archive.list_actions(Workspace(home, DISK))
    assert listed.manifest is not None
    assert listed.manifest.rewrite.records == 4
    shown = archive.show(Workspace(home, DISK), report.action_id)
    manifest, headers = shown.manifest, shown.headers
    found = list(headers)
    assert {h.key for h in found if h.after is None} == {run_key(f"run-{n}") for n in range(3)}
    assert (
        archive.verify(Workspace(home, DISK), report.action_id).records == manifest.rewrite.records
    )
    none = archive.expire(Workspace(home, DISK), older_than_ms=10, now_ms=NOW_MS + 10, apply=True)
    assert none.actions == ()
    (chosen,) = archive.expire(
        Workspace(home, DISK), older_than_ms=9, now_ms=NOW_MS + 10, apply=False
    ).actions
    assert home.records(chosen.id).exists()
    archive.expire(Workspace(home, DISK), older_than_ms=9, now_ms=NOW_MS + 10, apply=True)
    assert list(home.archives.iterdir()) == []
    with pytest.raises(Usage, match="was deleted"):
        archive.show(Workspace(home, DISK), report.action_id)


@pytest.mark.parametrize("where", ["first", "middle", "last", "cut", "manifest"])
def test_a_damaged_archive_is_found_out(store_path: Path, home: Home, where: str) -> None:
    make_store(store_path)
    report = compact(store_path, home)
    records = home.records(report.action_id)
    data = bytearray(records.read_bytes())
    if where == "manifest":
        (home.archive(report.action_id) / "manifest.json").write_text("{}")
    elif where == "cut":
        records.write_bytes(data[:-3])
    else:
        data[{"first": 0, "middle": len(data) // 2, "last": -1}[where]] ^= 0x40
        records.write_bytes(data)
    with pytest.raises(TailflipError) as caught:
        archive.verify(Workspace(home, DISK), report.action_id)
    assert caught.value.exit_code == 65
    assert "zstdcat" in str(caught.value.hint)
    assert len(archive.list_actions(Workspace(home, DISK))) == 1
    if where != "manifest":
        with pytest.raises(ArchiveDamaged) as caught:
            restore(
                Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS + 1
            )
        assert str(records) in caught.value.message
        assert str(store_path) not in caught.value.message, "the store is not what is damaged"
        assert "zstdcat" in str(caught.value.hint)


def test_archive_is_readable_without_tailflip(store_path: Path, home: Home) -> None:
    """Header line, then the member's own bytes: `zstdcat` is enough to get them out."""
    old = make_store(store_path)
    report = compact(store_path, home)
    try:
        plain = subprocess.run(
            ["zstdcat", home.records(report.action_id)], check=True, capture_output=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("zstdcat is not installed")
    magic, _, plain = plain.partition(b"\n")
    assert json.loads(magic)["tailflip"] == "archive"
    while plain:
        line, _, rest = plain.partition(b"\n")
        header = json.loads(line)
        assert rest[: header["bytes"]] == old[header["at"] : header["at"] + header["bytes"]]
        plain = rest[header["bytes"] + 1 :]


def test_a_disk_that_fills_up_inside_the_extension_is_an_answer(
    store_path: Path, home: Home
) -> None:
    """The file size limit stands in for a full disk: the extension's own write fails."""
    entries = make_entries()
    entries["agent:main:main"]["pad"] = "x" * 500_000
    make_store(store_path, entries)
    before = list_tree(store_path.parent)
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            compact(store_path, home)
        except TailflipError as e:
            code = e.exit_code if "the original is in place" in e.message else 70
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 73
    assert list_tree(store_path.parent) == before
    assert list(home.archives.iterdir()) == []
