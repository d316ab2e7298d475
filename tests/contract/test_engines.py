"""What every engine promises. A store engine that passes this may stand behind all verbs."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest

from support.stores import (
    BROKEN,
    FULL,
    GONE,
    HOUR_MS,
    JOB,
    NOW_MS,
    FaultyDisk,
    list_tree,
    make_entries,
    make_entry,
    run_key,
)
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreChanged, StoreInvalid, TailflipError, TryLater
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.numbers import Selection, VerifyNumbers
from tailflip.flow.observed import Evidence, Gateway, OverRun, Store
from tailflip.ledger.actions import Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.formats import ENGINES, find_engine
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.salvage import apply_salvage, plan_salvage
from tailflip.stores.tables import Ends
from tailflip.stores.transaction import compact_store

DISK = RealDisk()
MOST_EFFECTS = 120  # more than any action has
KILLED = 9
DAY_MS = 86_400_000
BASE = f"agent:main:cron:{JOB}"
END_RUNS = Policy(slim=False, retention_ms=None, max_lifetime_ms=None, single_flight=False)
TOUCH_NOTHING = Policy(
    slim=False, retire=False, retention_ms=None, max_lifetime_ms=None, single_flight=False
)


def compact(path, home, disk=DISK, policy=None, evidence=GONE, **options):
    return compact_store(
        Store(path, "main"),
        policy or Policy(),
        evidence,
        workspace=Workspace(home, disk),
        now_ms=NOW_MS,
        **options,
    )  # fmt: skip


def put_back(path, home, disk=DISK):
    return restore(
        Workspace(home, disk), everything=True, apply=True, now_ms=NOW_MS + 1, store=path
    )


def survey(kind, path, policy=None, evidence=GONE):
    return kind.engine.survey(path, policy or Policy(), evidence, NOW_MS)


def draft(kind, path, tmp_path, surveyed):
    """Write a draft and an archive of it; return their numbers, and where they are."""
    new, kept = tmp_path / "draft", tmp_path / "records"
    with new.open("w+b") as out, kept.open("w+b") as records, kind.engine.opening(path) as opened:
        return kind.engine.draft(opened, surveyed, out.fileno(), records.fileno()), new, kept


# --- which engine, and what it finds


def test_every_engine_is_under_contract_and_is_found_by_what_lies_there(kind, path):
    kind.make(path)
    assert find_engine(path) is kind.engine
    assert kind.engine in ENGINES
    assert kind.engine.recognises(path)


def test_a_survey_counts_what_is_there_and_changes_nothing(kind, path):
    entries = make_entries(old_runs=5)
    kind.make(path, entries)
    before = list_tree(path.parent)
    numbers = survey(kind, path).numbers
    assert (numbers.entries, numbers.duplicate) == (len(entries), None)
    assert {tally.name: tally.entries for tally in numbers.rules}["expire"] == 5
    assert numbers.entries_after == len(entries) - 5
    assert numbers.bytes_after < numbers.bytes
    assert list_tree(path.parent) == before


def test_what_fills_a_store_is_told_or_none_and_nothing_is_changed(kind, path):
    kind.make(path)
    before = list_tree(path.parent)
    fill = kind.engine.describe_fill(path, NOW_MS, DAY_MS)
    assert (fill is None) is kind.is_replaced
    if fill is not None:
        assert fill.bytes == path.stat().st_size
        assert fill.expired_runs > 0
    assert list_tree(path.parent) == before


def test_a_policy_that_allows_nothing_takes_nothing(kind, path):
    kind.make(path)
    numbers = survey(kind, path, TOUCH_NOTHING).numbers
    assert not [tally for tally in numbers.rules if tally.entries]
    assert (numbers.entries_after, numbers.bytes_after) == (numbers.entries, numbers.bytes)


def test_proof_of_life_protects_and_a_named_key_goes(kind, path):
    kind.make(path)
    alive = replace(GONE, live_sessions=frozenset({"run-1"}))
    named = replace(GONE, dropped_keys=frozenset({"agent:main:direct:peer"}))
    plain = survey(kind, path).numbers.entries_after
    assert survey(kind, path, evidence=alive).numbers.entries_after == plain + 1
    assert survey(kind, path, evidence=named).numbers.entries_after == plain - 1


def test_entries_are_streamed_with_what_evidence_judges(kind, path):
    entries = make_entries()
    kind.make(path, entries)
    told = {entry.key: entry for entry in kind.engine.entries(path)}
    assert set(told) <= set(entries)
    runs = {key for key in entries if ":run:" in key}
    assert runs <= set(told)
    one = told[run_key("run-0")]
    assert (one.session, one.status, one.kind) == ("run-0", "done", "cron run")
    needed = kind.engine.gather_sessions(path)
    assert needed.has("run-0")
    assert not needed.has("nobody")


def survey_it(kind, path):
    survey(kind, path)


def list_it(kind, path):
    list(kind.engine.entries(path))


def verify_it(kind, path):
    with kind.engine.opening(path) as opened:
        kind.engine.verify_opened(opened)


@pytest.mark.parametrize("read", [survey_it, list_it, verify_it])
def test_a_damaged_store_is_none_whoever_reads_it(kind, path, read):
    kind.make(path)
    kind.damage(path)
    with pytest.raises(StoreInvalid):
        read(kind, path)


def test_a_missing_store_is_told_from_an_empty_one(kind, path, home):
    path.parent.mkdir(parents=True)
    with kind.engine.opening(path) as opened:
        assert (opened.is_missing, opened.size_bytes) == (True, 0)
    with pytest.raises(TailflipError, match=r"missing|no such file|does not exist"):
        compact(path, home)


# --- a draft


def test_a_draft_leaves_the_store_alone_and_holds_what_was_surveyed(kind, path, tmp_path):
    kind.make(path)
    before = list_tree(path.parent)
    surveyed = survey(kind, path)
    written, new, kept = draft(kind, path, tmp_path, surveyed)
    assert list_tree(path.parent) == before
    assert written.entries == surveyed.numbers.entries_after
    assert written.bytes == surveyed.numbers.bytes_after
    assert not kind.is_replaced or written.bytes == new.stat().st_size
    assert written.records == surveyed.numbers.entries - written.entries + slimmed(surveyed)
    assert kept.stat().st_size == written.archive_bytes
    with new.open("rb") as file:
        assert kind.engine.verify(file.fileno()) == VerifyNumbers.of(written)


def slimmed(surveyed):
    """Count the entries that are changed and stay."""
    changed = {"slim", "retire"}
    return sum(tally.entries for tally in surveyed.numbers.rules if tally.name in changed)


def test_a_draft_that_lost_a_byte_is_not_what_was_written(kind, path, tmp_path):
    kind.make(path)
    written, new, _ = draft(kind, path, tmp_path, survey(kind, path))
    data = bytearray(new.read_bytes())
    data[len(data) // 2] ^= 1
    new.write_bytes(data)
    with new.open("rb") as file:
        try:
            found = kind.engine.verify(file.fileno())
        except StoreInvalid:
            return
    assert found != VerifyNumbers.of(written)


def test_a_draft_of_a_store_that_changed_since_it_was_surveyed_is_refused(kind, path, tmp_path):
    kind.make(path)
    surveyed = survey(kind, path)
    kind.write(path, make_entries(old_runs=7))
    with pytest.raises(StoreChanged):
        draft(kind, path, tmp_path, surveyed)


def test_put_back_measures_as_it_writes(kind, path, tmp_path):
    kind.make(path)
    entries = kind.read(path)
    written, new, kept = draft(kind, path, tmp_path, survey(kind, path))
    whole = tmp_path / "whole"
    everything = Selection(all=True)
    with new.open("rb") as store, kept.open("rb") as records, whole.open("w+b") as out:
        told = kind.engine.put_back(store.fileno(), None, records.fileno(), everything)
        done = kind.engine.put_back(store.fileno(), out.fileno(), records.fileno(), everything)
        assert kind.engine.verify(out.fileno()) == VerifyNumbers.of(done)
    assert told == done
    assert done.added == len(entries) - written.entries
    assert (done.conflicts, done.entries) == (0, len(entries))


# --- from intent to done


def test_what_goes_is_kept_and_what_stays_is_as_it_was(kind, path, home):
    kind.make(path)
    before = kind.read(path)
    report = compact(path, home)
    after = kind.read(path)
    gone = set(before) - set(after)
    assert gone == {run_key(f"run-{n}") for n in range(3)}
    assert all(after[key] == before[key] for key in after if "skillsSnapshot" not in before[key])
    with archive.reading_records(home, report.action_id):
        shown = archive.show(Workspace(home, DISK), report.action_id)
        assert gone <= {header.key for header in shown.headers}
    assert archive.verify(Workspace(home, DISK), report.action_id).records >= len(gone)
    [action] = Ledger(Workspace(home, DISK)).read_all()
    assert action.state is State.DONE


def test_doing_it_again_finds_nothing_to_do(kind, path, home):
    kind.make(path)
    compact(path, home)
    settled = list_tree(path.parent)
    assert compact(path, home).action_id == ""
    assert list_tree(path.parent) == settled


def test_a_survey_that_was_shown_is_executed_and_a_stale_one_is_not(kind, path, home):
    kind.make(path)
    shown = survey(kind, path)
    entries = make_entries(old_runs=6)
    kind.write(path, entries)
    report = compact(path, home, expected=shown)
    assert report.entries_before == len(entries)


def test_a_store_that_never_holds_still_is_left_for_another_time(kind, path, home):
    kind.make(path)
    count = 0

    class Restless(RealDisk):
        def fsync(self, fd):
            nonlocal count
            count += 1
            kind.write(path, make_entries(old_runs=3 + count))
            super().fsync(fd)

    with pytest.raises(TryLater):
        compact(path, home, Restless())
    assert len(kind.read(path)) == len(make_entries(old_runs=3 + count))
    assert list(home.archives.iterdir()) == []


def test_what_can_be_read_in_two_ways_is_refused_and_stays(kind, path, home):
    if not kind.make_ambiguous(path):
        return
    before = list_tree(path.parent)
    assert kind.engine.refuse(path, survey(kind, path)) != ()
    with pytest.raises(StoreInvalid, match="nothing was changed"):
        compact(path, home, policy=Policy(retention_ms=0))
    assert list_tree(path.parent) == before


def test_a_healthy_store_gives_no_reason_to_refuse(kind, path):
    kind.make(path)
    assert kind.engine.refuse(path, survey(kind, path)) == ()


def test_a_restore_gives_back_every_entry(kind, path, home):
    kind.make(path)
    before = kind.read(path)
    compact(path, home)
    outcome = put_back(path, home)
    assert outcome.conflicts == 0
    assert kind.read(path) == before
    assert put_back(path, home).report is None, "and again finds nothing to do"


def make_running():
    """Make entries of which some say "running": a run, its job's own, a sub-agent, a chat."""
    running = {"status": "running", "startedAt": NOW_MS - HOUR_MS}
    return make_entries() | {
        run_key("stuck"): make_entry("stuck", HOUR_MS // 2, **running, note="grüß dich"),
        BASE: make_entry("stuck", HOUR_MS // 2, **running),
        "agent:main:subagent:s": make_entry("sub", HOUR_MS // 2, **running),
        "agent:main:main": make_entry("main-1", HOUR_MS // 2, **running),
    }


def test_runs_that_are_over_get_their_own_end_and_all_else_stays(kind, path, home):
    entries = make_running()
    kind.make(path, entries)
    ends = [
        OverRun(run_key("stuck"), "failed", NOW_MS - 7_000, 11_000),
        OverRun(BASE, "killed", NOW_MS - 9_000, 12_000, "stuck"),
        OverRun("agent:main:subagent:s", "done", NOW_MS - 8_000, 13_000, "another session"),
    ]
    report = compact(path, home, policy=END_RUNS, evidence=replace(GONE, over=Ends.of(ends)))
    assert [(tally.name, tally.entries) for tally in report.rules if tally.entries] == [
        ("retire", 2)
    ]
    expected = entries | {
        end.key: entries[end.key]
        | {"status": end.status, "endedAt": end.ended_at_ms, "runtimeMs": end.runtime_ms}
        for end in ends[:2]
    }
    assert kind.read(path) == expected
    assert {header.key for header in show(home, report)} == {BASE, run_key("stuck")}
    assert compact(path, home, policy=END_RUNS).action_id == ""


def show(home, report):
    return archive.show(Workspace(home, DISK), report.action_id).headers


def test_a_run_in_flight_stays_whatever_its_age(kind, path, home):
    living = Gateway(alive=True, pid=7, started_ms=NOW_MS - 40 * HOUR_MS, evidence="test")
    entries = make_running()
    kind.make(path, entries)
    alive = Evidence(gateway=living, live_sessions=frozenset({"stuck"}))
    assert compact(path, home, policy=END_RUNS, evidence=alive).action_id == ""
    assert compact(path, home, policy=END_RUNS, evidence=Evidence(living)).action_id == ""
    assert kind.read(path) == entries


def test_an_end_is_undone_to_what_was_there_before(kind, path, home):
    kind.make(path, make_running())
    before, rows = kind.read(path), kind.snapshot(path)
    report = compact(path, home, policy=END_RUNS)
    assert kind.read(path) != before
    assert report.entries_after == report.entries_before
    outcome = put_back(path, home)
    assert (outcome.conflicts, outcome.replaced) == (0, 1)
    assert kind.read(path) == before
    assert kind.is_replaced or kind.snapshot(path) == rows


def test_an_end_is_not_undone_where_the_entry_has_changed_since(kind, path, home):
    kind.make(path, make_running())
    compact(path, home, policy=END_RUNS)
    later = kind.read(path)
    later[run_key("stuck")]["updatedAt"] = NOW_MS
    kind.write(path, later)
    outcome = put_back(path, home)
    assert (outcome.conflicts, outcome.conflict_keys) == (1, (run_key("stuck"),))
    assert kind.read(path) == later


def test_an_entry_that_lives_again_is_a_conflict_and_stays(kind, path, home):
    kind.make(path)
    compact(path, home)
    key = run_key("run-1")
    alive = {"sessionId": "run-1", "updatedAt": NOW_MS, "status": "running"}
    kind.write(path, kind.read(path) | {key: alive})
    outcome = put_back(path, home)
    assert (outcome.conflicts, outcome.conflict_keys) == (1, (key,))
    assert kind.read(path)[key] == alive


def test_salvage_keeps_what_is_proven_and_can_be_undone(kind, path, home):
    kind.make(path)
    before = kind.read(path)
    kind.damage(path)
    damaged = path.read_bytes()
    if kind.engine.salvager is None:
        with pytest.raises(StoreInvalid):
            plan_salvage(Store(path, "main"))
        return
    plan = plan_salvage(Store(path, "main"))
    report = apply_salvage(plan, workspace=Workspace(home, DISK), now_ms=NOW_MS)
    kept = kind.read(path)
    assert 0 < len(kept) < len(before)
    assert all(before[key] == entry for key, entry in kept.items())
    restore(Workspace(home, DISK), action_id=report.action_id, apply=True, now_ms=NOW_MS + 1)
    assert path.read_bytes() == damaged


# --- a kill at every effect


def do_compact(kind, path, home, disk):
    compact(path, home, disk)


def do_end(kind, path, home, disk):
    compact(path, home, disk, END_RUNS)


def do_undo_end(kind, path, home, disk):
    put_back(path, home, disk)


def do_restore(kind, path, home, disk):
    put_back(path, home, disk)


def do_salvage(kind, path, home, disk):
    if kind.engine.salvager is not None:
        plan = plan_salvage(Store(path, "main"))
        apply_salvage(plan, workspace=Workspace(home, disk), now_ms=NOW_MS + 2)


def run_until(at, act):
    """Act in a child process that dies at the `at`-th effect; return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            act(FaultyDisk(at))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def prepare(kind, root, act):
    """Make the store on which something is done, and where we keep things."""
    path = root / "openclaw" / "agents" / "main" / kind.place
    home = Home(root / "state")
    kind.make(path, make_running() if act in (do_end, do_undo_end) else None)
    if act is do_restore:
        compact(path, home)
    if act is do_undo_end:
        compact(path, home, policy=END_RUNS)
    if act is do_salvage:
        kind.damage(path)
    return path, home


@pytest.mark.parametrize("act", [do_compact, do_restore, do_end, do_undo_end, do_salvage])
def test_a_kill_at_any_effect_leaves_the_old_or_the_new_and_recovery_ends_it(kind, tmp_path, act):
    if act is do_salvage and kind.engine.salvager is None:
        return
    path, home = prepare(kind, tmp_path / "clean", act)
    old = kind.snapshot(path)
    act(kind, path, home, DISK)
    new = kind.snapshot(path)
    assert new != old
    seen = []
    for at in range(1, MOST_EFFECTS):
        root = tmp_path / f"{at}"
        path, home = prepare(kind, root, act)
        code = run_until(at, lambda disk, p=path, h=home: act(kind, p, h, disk))
        found = kind.snapshot(path)
        assert found in (old, new), at
        recover(Workspace(home, DISK))
        assert kind.snapshot(path) == found, at
        settled = list_tree(root)
        assert recover(Workspace(home, DISK)) == ()
        assert list_tree(root) == settled
        assert not list(path.parent.glob("*.tmp"))
        ended = {action.state for action in Ledger(Workspace(home, DISK)).read_all()}
        assert ended <= {State.DONE, State.UNDONE}, at
        seen.append(found)
        shutil.rmtree(root)
        if code == 0:
            break
        assert code == KILLED, at
    assert code == 0
    assert old in seen
    assert new in seen


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("error", [FULL, BROKEN])
@pytest.mark.parametrize("act", [do_compact, do_restore, do_end])
def test_a_disk_that_fails_at_any_effect(kind, tmp_path, act, error, for_good):
    """Every fourth effect, from another one on in each case; the crash suite takes all of them."""
    path, home = prepare(kind, tmp_path / "clean", act)
    old = kind.snapshot(path)
    act(kind, path, home, DISK)
    new = kind.snapshot(path)
    for at in range(1 + 2 * (error is FULL) + for_good, MOST_EFFECTS, 4):
        path, home = prepare(kind, tmp_path / f"{at}", act)
        disk = FaultyDisk(at, error=error, for_good=for_good)
        with suppress(TailflipError):
            act(kind, path, home, disk)
        assert kind.snapshot(path) in (old, new), at
        recover(Workspace(home, DISK))
        assert kind.snapshot(path) in (old, new), at
        assert recover(Workspace(home, DISK)) == ()
        assert not list(path.parent.glob("*.tmp"))
        ended = {action.state for action in Ledger(Workspace(home, DISK)).read_all()}
        assert ended <= {State.DONE, State.UNDONE}, at
        shutil.rmtree(tmp_path / f"{at}")
        if len(disk.effects) < at:
            return
    raise AssertionError("the action has more effects than were tried")
