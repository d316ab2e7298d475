"""An archive from before a gateway took its sessions into a database is put back after it.

OpenClaw's import is stood in for by a function that makes the database which a gateway would make
of the same files; the real one is asked in `tests/gateway/test_real_across.py`.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.agent_database import NODES, WINDOWS, connect, dump, make_database, read_entries
from support.stores import (
    GONE,
    HOUR_MS,
    JOB,
    NOW_MS,
    FaultyDisk,
    format_store,
    list_tree,
    make_entries,
    make_entry,
    make_store,
    run_key,
)
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, TryLater, Unavailable
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Gateway, Store
from tailflip.ledger.actions import Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores import across
from tailflip.stores.importing import Imported
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store
from tailflip.stores.unfinished import is_unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.observed import Evidence

DISK = RealDisk()
KILLED = 9
MOST_EFFECTS = 200  # more than any restore here has
ALIVE = Gateway(alive=True, pid=4121, started_ms=1, evidence="test")
PEER = "agent:main:direct:peer"


class OpenClaw:
    """Makes of each store in a state directory the database that a gateway would make of it."""

    def __init__(self, version: int = 23, leaves_out: str = "", cut_short: tuple[str, ...] = ()):
        self.version, self.leaves_out, self.cut_short = version, leaves_out, cut_short
        self.saw: list[tuple[dict[str, object], dict[str, str]]] = []
        self.times: dict[str, int] = {}

    def __call__(self, state: Path, disk: RealDisk) -> Imported:
        [store] = state.glob("agents/*/sessions/sessions.json")
        entries = json.loads(store.read_bytes())
        texts = {path.name: path.read_text() for path in store.parent.glob("*.jsonl")}
        self.saw.append((entries, texts))
        self.times |= {p.name: p.stat().st_mtime_ns for p in store.parent.glob("*.jsonl")}
        taken = {key: each for key, each in entries.items() if key != self.leaves_out}
        make_database(store.parent.parent / "agent" / "openclaw-agent.sqlite", taken, self.version)
        return Imported(self.cut_short)

    def find(self) -> OpenClaw:
        return self


class Place:
    """A gateway that took its store over after a compaction; `before` are the entries of JSON."""

    def __init__(self, root: Path, version: int = 23) -> None:
        self.state, self.home = root / "openclaw", Home(root / "own")
        self.store = self.state / "agents" / "main" / "sessions" / "sessions.json"
        self.database = self.store.parent.parent / "agent" / "openclaw-agent.sqlite"
        self.version = version
        self.openclaw = OpenClaw(version)
        self.before = make_entries()
        make_store(self.store, self.before)
        self.action = self.compact(slim=False)
        self.left = json.loads(self.store.read_bytes())
        self.gone = self.before.keys() - self.left.keys()

    def compact(self, number: int = 0, evidence: Evidence = GONE, **policy: bool) -> str:
        report = compact_store(
            Store(self.store, "main"),
            Policy(**policy),
            evidence,
            workspace=Workspace(self.home, DISK),
            now_ms=NOW_MS + number,
        )
        return report.action_id

    def take_over(self) -> Place:
        """Do what a gateway of 2026.9.6 does with its store at its first start."""
        make_database(self.database, json.loads(self.store.read_bytes()), self.version)
        aside = self.store.parent.parent / "session-sqlite-import-archive"
        aside.mkdir()
        for path in (self.store, *self.store.parent.glob("*.jsonl")):
            path.rename(aside / f"{path.name}.imported-1")
        return self

    def restore(self, disk: RealDisk = DISK, *, apply: bool = True, **what: object):
        what = what or {"everything": True, "store": self.store}
        return restore(
            Workspace(self.home, disk),
            apply=apply,
            now_ms=NOW_MS + 10,
            state_dir=self.state,
            find_importer=self.openclaw.find,
            **what,
        )

    def sessions_of(self, key: str) -> list[tuple[str, int]]:
        """Return each session of a node's windows, with the number of its events."""
        with closing(connect(self.database)) as db:
            return db.execute(
                f"SELECT session_id, (SELECT count(*) FROM transcript_events AS e"  # noqa: S608
                f" WHERE e.session_id = w.session_id) FROM {WINDOWS} AS w WHERE session_key = ?",
                (key,),
            ).fetchall()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path).take_over()


def check(database):
    with closing(connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


# --- what comes back


@pytest.mark.parametrize("version", [19, 21, 23])
def test_entries_and_events_from_before_the_import_come_back(tmp_path, version):
    """Before, the undo was lost with the import: `store is missing`, and a wrong hint."""
    place = Place(tmp_path, version).take_over()
    assert len(place.gone) == 3
    outcome = place.restore(action_id=place.action)
    assert (outcome.added, outcome.conflicts, outcome.across) == (3, 0, True)
    assert outcome.store == place.database
    assert outcome.report.entries_after == len(place.before)
    assert read_entries(place.database) == place.before
    assert place.sessions_of(run_key("run-1")) == [("run-1", 1)]
    with closing(connect(place.database)) as db:
        proven = db.execute(f"SELECT entry_valid FROM {NODES}").fetchall()  # noqa: S608
    assert set(proven) == {(1,)}
    check(place.database)


def test_what_a_whole_import_would_have_made_is_what_is_there(tmp_path):
    """Every row of every table, as if nothing had been taken out before the import."""
    place = Place(tmp_path / "one").take_over()
    place.restore()
    whole = tmp_path / "whole.sqlite"
    make_database(whole, place.before)
    found, wanted = dump(place.database), dump(whole)
    for each in (found, wanted):  # ids of the index follow the order of writing
        each["session_transcript_fts"] = sorted(row[:2] for row in each["session_transcript_fts"])
        each["session_transcript_fts_rows"] = sorted(
            row[1:] for row in each["session_transcript_fts_rows"]
        )
    assert found == wanted


def test_openclaw_gets_the_entries_with_their_transcripts_and_nothing_else(place):
    place.restore()
    [(entries, texts)] = place.openclaw.saw
    assert entries == {key: place.before[key] for key in place.gone}
    # The transcript of the base node's session is in the database already.
    assert {name: json.loads(text)["id"] for name, text in texts.items()} == {
        "run-1.jsonl": "run-1",
        "run-2.jsonl": "run-2",
    }


def test_a_transcript_keeps_its_time(place):
    """The gateway takes it for the session's last change, and counts ages from it."""
    folder = place.store.parent / ".tailflip" / place.action
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, ns=(number, 1_700_000_000 + number))
    place.restore()
    assert place.openclaw.times == {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}


def test_no_store_of_json_is_put_beside_the_database(place):
    """A `sessions.json` beside a database with sessions keeps the gateway down, with code 78."""
    before = list_tree(place.state)
    place.restore()
    after = list_tree(place.state)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    database = str(place.database.relative_to(place.state))
    assert changed == {database, f"tmp/openclaw-{os.getuid()}/gateway.state.lock.sqlite"}
    assert not place.home.scratch.exists()


def test_a_session_that_lives_under_another_key_is_there_once(place):
    """A job's node and its last run name the same session: the run comes, the transcript stays."""
    base, run = f"agent:main:cron:{JOB}", run_key("run-0")
    assert run in place.gone
    place.restore()
    assert place.sessions_of(base) == [("run-0", 1)]
    assert place.sessions_of(run) == []
    assert read_entries(place.database)[run] == place.before[run]


def test_the_archive_is_kept_and_a_second_restore_finds_all_alive(place):
    place.restore()
    once = dump(place.database)
    outcome = place.restore()
    assert (outcome.added, outcome.conflicts, outcome.report) == (0, 3, None)
    assert dump(place.database) == once
    assert len(place.openclaw.saw) == 1, "OpenClaw is not asked for what lives"


def test_an_entry_that_was_cut_and_then_removed_comes_back_whole(tmp_path):
    place = Place(tmp_path)
    cut = place.compact(1)
    key = run_key("fresh")
    assert json.loads(place.store.read_bytes())[key] != place.before[key]
    dropped = replace(GONE, dropped_keys=frozenset({key}))
    assert place.compact(2, dropped)
    place.take_over()
    outcome = place.restore()
    assert (outcome.added, outcome.conflicts, outcome.cut) == (4, 0, 0)
    assert cut in outcome.actions
    assert read_entries(place.database) == place.before


def test_an_entry_that_was_cut_and_lives_stays_as_it_is(tmp_path):
    """It is no conflict: it never left, and the gateway builds again what was cut."""
    place = Place(tmp_path)
    place.compact(1)
    place.take_over()
    slim = read_entries(place.database)[run_key("fresh")]
    for apply in (False, True):
        outcome = place.restore(apply=apply)
        assert (outcome.added, outcome.conflicts, outcome.cut) == (3, 0, 1)
    assert read_entries(place.database) == place.before | {run_key("fresh"): slim}


def test_of_two_generations_the_newest_comes_and_the_older_is_a_conflict(tmp_path):
    place = Place(tmp_path)
    key = run_key("run-1")
    entries = json.loads(place.store.read_bytes())
    entries[key] = make_entry("run-1", 70 * HOUR_MS, status="failed")
    place.store.write_bytes(format_store(entries))
    place.compact(1, slim=False)
    place.take_over()
    shown = place.restore(apply=False)
    assert (shown.added, shown.conflicts, shown.conflict_keys) == (3, 1, (key,))
    outcome = place.restore()
    assert (outcome.added, outcome.conflicts, outcome.conflict_keys) == (3, 1, (key,))
    assert read_entries(place.database)[key]["status"] == "failed"


def test_single_keys_and_the_runs_of_a_job_can_be_chosen(place):
    key = run_key("run-2")
    assert place.restore(keys=(key,), store=place.store).added == 1
    assert set(read_entries(place.database)) == {*place.left, key}
    assert place.restore(jobs=(JOB,), store=place.store).added == 2
    assert read_entries(place.database) == place.before


def test_a_large_archive_is_imported_in_lots(place, monkeypatch):
    """An import holds its whole store in memory: 185 MB took more than a gigabyte."""
    monkeypatch.setattr(across, "_LOT_BYTES", 1)
    assert place.restore().added == 3
    assert [len(entries) for entries, _ in place.openclaw.saw] == [1, 1, 1]
    assert read_entries(place.database) == place.before
    check(place.database)


# --- what stays


def test_a_dry_run_says_what_would_come_and_asks_nobody(place):
    before = list_tree(place.state), list_tree(place.home.root)
    outcome = place.restore(apply=False)
    assert (outcome.added, outcome.conflicts, outcome.across) == (3, 0, True)
    assert outcome.bytes_after > outcome.bytes_before > 0
    assert place.openclaw.saw == []
    assert (list_tree(place.state), list_tree(place.home.root)) == before


def test_a_key_that_lives_again_is_a_conflict_and_is_not_touched(tmp_path):
    place = Place(tmp_path)
    key = run_key("run-1")
    entries = json.loads(place.store.read_bytes())
    entries[key] = make_entry("again", status="done", mine="new")
    place.store.write_bytes(format_store(entries))
    place.take_over()
    for apply in (False, True):
        outcome = place.restore(apply=apply)
        assert (outcome.added, outcome.conflicts, outcome.conflict_keys) == (2, 1, (key,))
    assert read_entries(place.database)[key] == entries[key]
    assert key not in place.openclaw.saw[0][0]


def test_a_key_that_openclaw_writes_otherwise_is_a_conflict_too(tmp_path):
    """The database is asked again for the keys that the import made."""

    class Renames(OpenClaw):
        def __call__(self, state: Path, disk: RealDisk) -> Imported:
            [store] = state.glob("agents/*/sessions/sessions.json")
            text = store.read_text().replace(run_key("run-2"), PEER)
            store.write_text(text)
            return super().__call__(state, disk)

    place = Place(tmp_path).take_over()
    place.openclaw = Renames()
    outcome = place.restore()
    assert (outcome.added, outcome.conflicts, outcome.conflict_keys) == (2, 1, (PEER,))
    assert outcome.untaken == (run_key("run-2"),)
    assert read_entries(place.database)[PEER] == place.before[PEER]


def test_what_openclaw_leaves_out_is_named_and_the_rest_comes(place):
    place.openclaw = OpenClaw(leaves_out=run_key("run-1"), cut_short=(run_key("run-2"),))
    outcome = place.restore()
    assert (outcome.added, outcome.untaken) == (2, (run_key("run-1"),))
    assert "1 transcript could be read in part" in outcome.report.warnings[0]
    place.openclaw = OpenClaw()
    assert place.restore().added == 1
    assert read_entries(place.database) == place.before


def test_a_living_gateway_is_named_before_anything_is_imported(place):
    with pytest.raises(TryLater, match=r"running \(pid 4121\).*nothing was changed"):
        place.restore(everything=True, store=place.store, gateway=ALIVE)
    assert place.openclaw.saw == []


@pytest.mark.parametrize(
    ("openclaw", "said"),
    [
        (OpenClaw(version=21), "have version 21, the agent's has 23"),
        (OpenClaw(version=99), "have version 99"),
    ],
)
def test_another_release_of_openclaw_changes_nothing(place, openclaw, said):
    place.openclaw, before = openclaw, dump(place.database)
    if openclaw.version == 99:
        openclaw.version = 23

        def newer(state: Path, disk: RealDisk) -> Imported:
            openclaw(state, disk)
            with closing(connect(next(state.glob("agents/*/agent/*.sqlite")))) as db, db:
                db.execute("PRAGMA user_version = 99")
                db.execute("UPDATE schema_meta SET schema_version = 99")
            return Imported()

        place.openclaw = OpenClaw()
        place.openclaw.find = lambda: newer
    with pytest.raises(Unavailable, match=said) as raised:
        place.restore()
    assert "start the gateway once" in raised.value.hint
    assert dump(place.database) == before
    assert not place.home.scratch.exists()


def test_a_database_of_an_unknown_version_is_not_written(place):
    with closing(connect(place.database)) as db, db:
        db.execute("PRAGMA user_version = 99")
        db.execute("UPDATE schema_meta SET schema_version = 99")
    with pytest.raises(Unavailable, match="version 99, which this tailflip only reads"):
        place.restore()
    assert place.openclaw.saw == []


def test_without_openclaw_nothing_is_changed(place):
    def find():
        raise Unavailable("OpenClaw was not found")

    place.openclaw.find = find
    before = dump(place.database)
    with pytest.raises(Unavailable, match="not found"):
        place.restore()
    assert dump(place.database) == before


@pytest.mark.parametrize("lies", [None, "waits"])
def test_a_store_that_no_database_took_over_is_one_still(tmp_path, lies):
    """Also beside a database of its agent that has no sessions, as before 2026.8.1."""
    place = Place(tmp_path)
    if lies is not None:
        place.database.parent.mkdir()
        with closing(connect(place.database)) as db, db:
            db.executescript("CREATE TABLE memory_index_meta (key TEXT); PRAGMA user_version = 1")
    assert across.find_database(place.store) is None
    assert place.restore().store == place.store
    assert json.loads(place.store.read_bytes()) == place.before


def test_no_room_is_said_before_openclaw_is_asked(place, monkeypatch):
    monkeypatch.setattr("tailflip.stores.restore._SCRATCH", 1 << 60)
    with pytest.raises(CannotCreate, match="not enough room"):
        place.restore()
    assert place.openclaw.saw == []


# --- killed


def run_until(at, place):
    """Restore in a child process that dies at the `at`-th effect; return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            place.restore(FaultyDisk(at))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_killed_at_any_effect_the_next_start_cleans_up_and_a_second_restore_ends_it(tmp_path):
    for at in range(1, MOST_EFFECTS):
        root = tmp_path / f"{at}"
        place = Place(root).take_over()
        code = run_until(at, place)
        check(place.database)
        workspace = Workspace(place.home, DISK)
        assert is_unfinished(workspace) or not place.home.scratch.exists()
        recover(workspace)
        assert recover(workspace) == ()
        assert not place.home.scratch.exists(), at
        assert not list(place.database.parent.glob("*.tmp")), at
        assert {a.state for a in Ledger(workspace).read_all()} <= {State.DONE, State.UNDONE}, at
        place.restore()
        assert read_entries(place.database) == place.before, at
        check(place.database)
        shutil.rmtree(root)
        if code == 0:
            break
        assert code == KILLED, at
    assert code == 0
    assert at > 20, "it has many effects"
