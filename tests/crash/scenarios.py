"""Everything tailflip does to an installation, small: how it begins, what is done, what must hold.

A scenario lives below one folder. `act` is done under faults, `check` afterwards without.
The clock stands still, so that what is done twice gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from support.heap import make_roomy
from support.stores import (
    GONE,
    HOUR_MS,
    format_store,
    list_tree,
    make_entries,
    make_entry,
    make_store,
)
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import load
from tailflip.flow.lives import Cause, Confidence, Death, Life, LifeMode
from tailflip.flow.observed import Store
from tailflip.flow.work import Work, WorkKind
from tailflip.ledger.history import History
from tailflip.plan.policy import Policy
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import reconcile_all
from tailflip.reconcile.write import undo
from tailflip.stores import archive
from tailflip.stores.lock import hold
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.salvage import apply_salvage, plan_salvage
from tailflip.stores.transaction import compact_store
from tailflip.stores.unfinished import FOLDER
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.gate import judge_start
from tailflip.supervise.new_life import new_life

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk

DONE, FAILED = 0, 3
# Of actions, and of temporary files and lives.
_ID = re.compile(
    rb"\d{8}T\d{6}Z-[0-9a-f]{6}|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
NOW_MS = clock.now_ms()
MIN_MS = 60_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
# Source: `ensureSchema` of 2026.4.14's `task-registry.store.sqlite.ts`; columns that we use.
TASKS = """CREATE TABLE task_runs (
  task_id TEXT PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT, source_id TEXT,
  requester_session_key TEXT, owner_key TEXT NOT NULL, scope_kind TEXT NOT NULL,
  child_session_key TEXT, parent_flow_id TEXT, parent_task_id TEXT, agent_id TEXT, run_id TEXT,
  label TEXT, task TEXT NOT NULL, status TEXT NOT NULL, delivery_status TEXT NOT NULL,
  notify_policy TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER,
  ended_at INTEGER, last_event_at INTEGER, cleanup_after INTEGER, error TEXT,
  progress_summary TEXT, terminal_summary TEXT, terminal_outcome TEXT)"""


def try_to(act: Any) -> int:
    """Do something; a TailflipError is an answer, anything else a bug."""
    try:
        act()
    except TailflipError:
        return FAILED
    return DONE


def _read(path: Path) -> bytes:
    """Read what a file says, whoever wrote it: nothing of locks, of databases their rows."""
    if path.is_dir():
        return b"/"
    if path.name.endswith((".lock", "-wal", "-shm", "-journal")):
        return b""
    data = path.read_bytes()
    if not data.startswith(b"SQLite format 3"):
        return data
    with closing(sqlite3.connect(path)) as db:
        return "\n".join(db.iterdump()).encode()


class Scenario:
    """One store with its transcripts, and a state directory of ours."""

    name = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "openclaw" / "agents" / "main" / "sessions" / "sessions.json"
        self.home = Home(root / "state")
        self.seen: set[int] = set()
        self.went_on = False

    def prepare(self) -> None:
        """Make the tree in which it begins."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.original = make_store(self.path)
        self.transcripts = self.list_transcripts()

    def learn(self) -> None:
        """Do it undisturbed, and keep what comes of it."""
        assert self.act(RealDisk()) == DONE
        self.final = self.path.read_bytes()
        assert self.final != self.original

    def act(self, disk: Disk) -> int:
        return try_to(lambda: self.do(disk))

    def do(self, disk: Disk) -> object:
        raise NotImplementedError

    def check(self, *, went_on: bool = False) -> None:
        """Start again, and hold it against every promise.

        Args:
            went_on: it was not stopped, but met an error and may have done the rest.
        """
        self.went_on = went_on
        self.check_recovers_once()
        # Most faults end in one of a few states: each needs to be seen through once.
        mark = self.mark_state()
        if mark not in self.seen:
            self.check_outcome()
            self.seen.add(mark)

    def check_outcome(self) -> None:
        raise NotImplementedError

    def mark_state(self) -> int:
        """Name what is on disk: bytes of files, rows of databases; ids by their order there.

        An id's random end differs in every run, and so would all states.
        """
        texts = {os.fsencode(p): _read(p) for p in self.root.rglob("*")}
        known = list(dict.fromkeys(_ID.findall(texts.get(os.fsencode(self.home.ledger), b""))))
        known += sorted({each for path in texts for each in _ID.findall(path)} - {*known})
        order = {each: b"#%d" % number for number, each in enumerate(known)}

        def name(text: bytes) -> bytes:
            return _ID.sub(lambda found: order.get(found[0], found[0]), text)

        return hash(frozenset((name(path), name(text)) for path, text in texts.items()))

    def list_transcripts(self) -> set[str]:
        """Name the transcripts; one that could not be renamed back still has all its bytes."""
        found = self.path.parent.rglob("*") if self.went_on else self.path.parent.iterdir()
        return {p.name for p in found if ".jsonl" in p.name}

    def check_recovers_once(self) -> None:
        """The store is whole, recovery leaves it alone, and a second one does nothing."""
        before = self.path.read_bytes()
        recover(Workspace(self.home, RealDisk()))
        assert self.path.read_bytes() == before
        settled = list_tree(self.path.parent), list_tree(self.home.root)
        assert recover(Workspace(self.home, RealDisk())) == ()
        assert (list_tree(self.path.parent), list_tree(self.home.root)) == settled
        self.check_litter()

    def check_litter(self) -> None:
        """No temporary file is left, and the store can be locked at once.

        But for one case the gateway has too: death between making a lock and writing into
        it. Nobody can tell whose it is, and all wait until it is half a minute old.
        """
        for lock in self.root.rglob("*.lock"):
            if b"}" not in lock.read_bytes():
                os.utime(lock, (1, 1))
        assert [p.name for p in self.path.parent.iterdir() if p.name.endswith(".tmp")] == []
        with hold(self.path, RealDisk(), timeout_s=0.1):
            pass

    def list_kept(self) -> tuple[archive.Archived, ...]:
        return archive.list_actions(Workspace(self.home, RealDisk()))

    def check_no_litter_at_home(self) -> None:
        """Our own folders hold what the ledger knows, and nothing else."""
        known = {kept.action.id for kept in self.list_kept()}
        if self.home.archives.is_dir():
            assert {p.name for p in self.home.archives.iterdir()} <= known
        if self.home.quarantine.is_dir():
            assert {p.stem for p in self.home.quarantine.iterdir()} <= known
        aside = self.path.parent / FOLDER
        if aside.is_dir():
            assert {p.name for p in aside.iterdir()} <= known


class Compaction(Scenario):
    """`compact --apply`."""

    name = "compact"

    def do(self, disk: Disk) -> object:
        store = Store(self.path, "main")
        return compact_store(
            store, Policy(), GONE, workspace=Workspace(self.home, disk), now_ms=NOW_MS
        )

    def undo(self) -> None:
        restore(Workspace(self.home, RealDisk()), everything=True, apply=True, now_ms=NOW_MS + 1)

    def check_outcome(self) -> None:
        assert self.path.read_bytes() in (self.original, self.final)
        self.check_no_litter_at_home()
        if self.path.read_bytes() == self.final:
            (done,) = self.list_kept()
            archive.verify(Workspace(self.home, RealDisk()), done.action.id)
        else:
            assert self.list_kept() == ()
            self.do(RealDisk())
            assert self.path.read_bytes() == self.final
        self.undo()
        assert json.loads(self.path.read_bytes()) == json.loads(self.original)
        assert self.list_transcripts() == self.transcripts


class Restoring(Compaction):
    """`restore --all --apply`, after a compaction."""

    name = "restore"

    def prepare(self) -> None:
        super().prepare()
        self.whole = self.original
        super().do(RealDisk())
        self.original = self.path.read_bytes()

    def do(self, disk: Disk) -> object:
        return restore(Workspace(self.home, disk), everything=True, apply=True, now_ms=NOW_MS + 1)

    def check_outcome(self) -> None:
        assert self.path.read_bytes() in (self.original, self.final)
        self.check_no_litter_at_home()
        compaction = self.list_kept()[-1]
        archive.verify(Workspace(self.home, RealDisk()), compaction.action.id)
        self.undo()
        assert json.loads(self.path.read_bytes()) == json.loads(self.whole)
        assert self.list_transcripts() == self.transcripts


class Salvaging(Scenario):
    """`compact --apply` of a store that breaks off."""

    name = "salvage"

    def prepare(self) -> None:
        super().prepare()
        self.original = self.original[:-40]
        self.path.write_bytes(self.original)

    def do(self, disk: Disk) -> object:
        plan = plan_salvage(Store(self.path, "main"))
        return apply_salvage(plan, workspace=Workspace(self.home, disk), now_ms=NOW_MS)

    def check_outcome(self) -> None:
        self.check_no_litter_at_home()
        kept = self.list_quarantined()
        if self.path.read_bytes() == self.original:
            assert kept == []
            self.do(RealDisk())
        else:
            assert kept == [self.original]
        assert self.path.read_bytes() == self.final
        assert set(json.loads(self.final)) == set(list(make_entries())[:-1])
        (done,) = self.list_kept()
        restore(
            Workspace(self.home, RealDisk()),
            action_id=done.action.id,
            apply=True,
            now_ms=NOW_MS + 1,
        )
        assert self.path.read_bytes() == self.original

    def list_quarantined(self) -> list[bytes]:
        if not self.home.quarantine.is_dir():
            return []
        return [p.read_bytes() for p in self.home.quarantine.iterdir()]


class Unsalvaging(Salvaging):
    """`restore ACTION --apply` of a salvage: the damaged bytes come back."""

    name = "salvage undone"

    def prepare(self) -> None:
        super().prepare()
        self.damaged = self.original
        super().do(RealDisk())
        self.original = self.path.read_bytes()
        (self.salvage,) = self.list_kept()

    def do(self, disk: Disk) -> object:
        return restore(
            Workspace(self.home, disk),
            action_id=self.salvage.action.id,
            apply=True,
            now_ms=NOW_MS + 1,
        )

    def check_outcome(self) -> None:
        self.check_no_litter_at_home()
        assert self.damaged in self.list_quarantined()
        if self.path.read_bytes() == self.original:
            assert len(self.list_quarantined()) == 1
            self.do(RealDisk())
        assert self.path.read_bytes() == self.damaged == self.final
        assert sorted(self.list_quarantined()) == sorted([self.damaged, self.original])


class Expiry(Compaction):
    """`archive expire --apply`."""

    name = "expire"

    def prepare(self) -> None:
        super().prepare()
        super().do(RealDisk())
        (self.kept,) = self.list_kept()

    def learn(self) -> None:
        assert self.act(RealDisk()) == DONE
        assert self.list_kept() == ()

    def do(self, disk: Disk) -> object:
        return archive.expire(
            Workspace(self.home, disk), older_than_ms=0, now_ms=NOW_MS + 1, apply=True
        )

    def check_outcome(self) -> None:
        self.check_no_litter_at_home()
        if self.list_kept():
            archive.verify(Workspace(self.home, RealDisk()), self.kept.action.id)


class Ledgers(Scenario):
    """An installation whose ledgers disagree: what is done to it is left to others."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.state = root / "openclaw"
        self.jobs = self.state / "cron" / "jobs.json"
        self.tasks = self.state / "tasks" / "runs.sqlite"
        self.env = {
            "HOME": str(root),
            "PATH": str(root / "bin"),
            "TMPDIR": str(root),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_GATEWAY_PORT": "1",  # nobody listens there
            "TAILFLIP_STATE_DIR": str(self.home.root),
            "TAILFLIP_RECONCILE_HOLD_JOBS": "true",
            "TAILFLIP_RECONCILE_WRITE_TASK_LEDGER": "true",
        }

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._write_store()
        self._write_jobs()
        self._write_tasks()
        self._write_deaths()
        self.original = self.path.read_bytes()
        self.transcripts = self.list_transcripts()
        self.jobs_original, self.rows_original = self.jobs.read_bytes(), self.read_rows()

    def _write_store(self) -> None:
        entries = make_entries(0)
        for n in range(3):
            began_ms = NOW_MS - (30 + n) * HOUR_MS
            key = f"agent:main:cron:{JOB}:run:z{n}"
            entries[key] = make_entry(f"z{n}", status="running", pad="x" * 1_000)
            entries[key] |= {"updatedAt": began_ms, "startedAt": began_ms}
        # Everything else is of today, and stays.
        for key, entry in entries.items():
            if ":run:z" not in key:
                entry["updatedAt"] = NOW_MS - MIN_MS
        make_store(self.path, entries)
        assert self.path.read_bytes() == format_store(entries)

    def _write_jobs(self) -> None:
        job = {
            "id": JOB,
            "name": "a job",
            "enabled": True,
            "schedule": {"kind": "cron", "expr": "0 * * * *"},
            "state": {"runningAtMs": NOW_MS - HOUR_MS, "nextRunAtMs": NOW_MS - HOUR_MS},
        }
        (self.jobs.parent / "runs").mkdir(parents=True)
        self.jobs.write_text(json.dumps({"version": 1, "jobs": [job]}, indent=2))
        lines = []
        for n in range(3):
            began_ms = NOW_MS - (30 + n) * HOUR_MS
            line = {"ts": began_ms + MIN_MS, "jobId": JOB, "action": "finished", "status": "ok"}
            line |= {"runAtMs": began_ms, "durationMs": MIN_MS, "sessionId": f"z{n}"}
            lines.append(json.dumps(line | {"sessionKey": f"agent:main:cron:{JOB}:run:z{n}"}))
        (self.jobs.parent / "runs" / f"{JOB}.jsonl").write_text("\n".join(lines) + "\n")

    def _write_tasks(self) -> None:
        self.tasks.parent.mkdir()
        with closing(sqlite3.connect(self.tasks, isolation_level=None)) as db:
            db.execute("PRAGMA page_size = 1024")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(TASKS)
            for n in range(2):
                began_ms = NOW_MS - (30 + n) * HOUR_MS
                db.execute(
                    "INSERT INTO task_runs (task_id, runtime, source_id, run_id, label, status, "
                    "created_at, started_at, ended_at, last_event_at, error, owner_key, "
                    "scope_kind, task, delivery_status, notify_policy) VALUES "
                    "(?, 'cron', ?, ?, 'l', 'lost', ?, ?, ?, ?, 'backing session missing', '', "
                    "'system', 't', 'not_applicable', 'silent')",
                    (f"t{n}", JOB, f"cron:{JOB}:{began_ms}", *(began_ms,) * 4),
                )

    def _write_deaths(self) -> None:
        """Three deaths in a row, the job in flight at each."""
        history = History(Workspace(self.home, RealDisk()), os.path.realpath(self.state))
        history.workspace.create()
        death = Death(cause=Cause.V8_HEAP, signature="x", confidence=Confidence.PROVEN, evidence=())
        for n in range(3, 0, -1):
            start = NOW_MS - n * HOUR_MS - 1_000
            life = Life(
                id=str(n),
                guard=history.guard,
                mode="run",
                started_ms=start,
                ended_ms=start + 2_000,
                death=death,
                in_flight=(Work(kind=WorkKind.JOB, key=JOB),),
            )
            history.lives.begin(life)

    def read_rows(self) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.tasks)) as db:
            return db.execute("SELECT * FROM task_runs ORDER BY task_id").fetchall()

    def learn(self) -> None:
        """Also keep every state in between in which a file may be found."""
        self.stores, self.jobs_seen = [self.original], [self.jobs_original]
        self.rows_seen = [self.rows_original]
        scenario = self

        class Noting(RealDisk):
            def note(self) -> None:
                scenario.stores.append(scenario.path.read_bytes())
                scenario.jobs_seen.append(scenario.jobs.read_bytes())
                if scenario.tasks.exists():
                    scenario.rows_seen.append(scenario.read_rows())

            def rename(self, old: Path, new: Path) -> None:
                super().rename(old, new)
                self.note()

            def commit(self, db: sqlite3.Connection) -> None:
                super().commit(db)
                self.note()

        assert self.act(Noting()) == DONE
        self.final = self.path.read_bytes()
        self.jobs_final, self.rows_final = self.jobs.read_bytes(), self.read_rows()
        assert self.final != self.original
        assert self.jobs_final != self.jobs_original
        assert self.rows_final != self.rows_original
        self.check_undone()

    def check_outcome(self) -> None:
        if not self.went_on:  # else a step may have worked on what another could not change
            assert self.path.read_bytes() in self.stores
            assert self.jobs.read_bytes() in self.jobs_seen
            assert self.read_rows() in self.rows_seen
        self.check_no_litter_at_home()
        assert self.act(RealDisk()) == DONE
        left = {p.name for p in self.jobs.parent.iterdir()} - {"jobs.json.lock"}
        assert left == {"jobs.json", "runs"}
        assert self.path.read_bytes() == self.final
        assert self.jobs.read_bytes() in self.jobs_at_last()
        assert self.read_rows() in self.rows_at_last()
        self.check_undone()

    def jobs_at_last(self) -> list[bytes]:
        return [self.jobs_final]

    def rows_at_last(self) -> list[list[tuple[object, ...]]]:
        """What the task ledger may say when all is done."""
        return [self.rows_final]

    def check_undone(self) -> None:
        """Every action can be taken back, and then everything is as it was."""
        for number, kept in enumerate(self.list_kept()):
            action, now_ms = kept.action, NOW_MS + 1_000 + number
            if action.kind in undo.KINDS:
                undo.undo(
                    action,
                    env=self.env,
                    workspace=Workspace(self.home, RealDisk()),
                    apply=True,
                    now_ms=now_ms,
                )
            elif action.kind == "compact":
                restore(
                    Workspace(self.home, RealDisk()), action_id=action.id, apply=True, now_ms=now_ms
                )
        assert json.loads(self.path.read_bytes()) == json.loads(self.original)
        assert self.jobs.read_bytes() == self.jobs_original
        assert self.read_rows() == self.rows_original
        assert self.list_transcripts() == self.transcripts


class Reconciling(Ledgers):
    """`reconcile --apply`: markers, a hold, tasks, zombies, retention, findings."""

    name = "reconcile"

    def do(self, disk: Disk) -> object:
        recover(Workspace(self.home, disk))
        work = begin(
            self.env, workspace=Workspace(self.home, disk), apply=True, on_progress=lambda *_: None
        )
        result = reconcile_all(work)
        for error in result.errors:
            raise error
        return result


class Gating(Ledgers):
    """`gate`: recovery, compaction by forecast, markers, a hold, tasks, and a life begun."""

    name = "gate"

    def prepare(self) -> None:
        super().prepare()
        # Too little for the store as it is, enough for what a compaction leaves of it.
        limit = make_roomy(len(self.original)) - 22_223
        self.flags = {"gateway.heap_limit": f"{limit}b"}

    def jobs_at_last(self) -> list[bytes]:
        # Where the hold was refused once, the gateway started; it then ended with nothing in
        # flight, which is a reason not to hold the job any more.
        return self.jobs_seen[1:] if self.went_on else [self.jobs_final]

    def rows_at_last(self) -> list[list[tuple[object, ...]]]:
        # A start looks at tasks only where a marker, or a run that claims to be running,
        # says that there is something to mend.
        return self.rows_seen

    def do(self, disk: Disk) -> object:
        config = load(self.env, self.flags).config
        gateway = GuardedGateway.prepare(("openclaw", "gateway"), self.env, config, disk=disk)
        verdict = judge_start(gateway)
        if verdict.refusal is not None:
            raise verdict.refusal
        gateway.history.lives.begin(new_life(gateway, LifeMode.GATE, clock.now_ms()))
        failed = [note for note in verdict.admission.notes if "not " in note]
        if failed:
            raise TailflipError("; ".join(failed))
        return verdict


ALL: dict[str, type[Scenario]] = {
    each.name: each
    for each in (Compaction, Restoring, Salvaging, Unsalvaging, Expiry, Reconciling, Gating)
}
