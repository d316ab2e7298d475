"""Proof about runs of a database by its gateway's receipts, tasks, leases and boots."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from support.agent_database import WINDOWS, connect, make_database
from support.state_rows import JSON_ONLY, StateRows
from tailflip.flow.observed import Gateway, Store
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.installation import locate
from tailflip.stores.proof.judge import judge_store

NOW = 1_800_000_000_000
MIN = 60_000
START = NOW - 40 * MIN
SEEN = START + 3 * MIN
JOB = "job-with-an-owner"  # no process of another test works for it
KEY = f"agent:main:cron:{JOB}:run:s"
STOPPED = Gateway(False, None, None, "test")
LIVING = Gateway(True, 7, START - MIN, "test")
RESTARTED = Gateway(True, 8, NOW - MIN, "test")
INTERRUPTED = "cron: job interrupted by gateway restart"
GONE_PID = 2**22 + 5


class Scene:
    """A run that began at START, and wrote its transcript last at SEEN."""

    def __init__(self, root):
        self.root = root
        self.store = root / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
        entry = {"sessionId": "s", "updatedAt": START + 50, "startedAt": START + 60}
        make_database(self.store, {KEY: entry | {"status": "running"}})
        with closing(connect(self.store)) as db, db:
            db.execute(f"UPDATE {WINDOWS} SET transcript_updated_at = ?", (SEEN,))  # noqa: S608
        self.rows = StateRows(root, JSON_ONLY)

    def judge(self, gateway=STOPPED):
        found = locate({"OPENCLAW_STATE_DIR": str(self.root)})
        return judge_store(found, Store(self.store, "main", self.root), gateway, NOW)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path / "state")


def tell(judged):
    """The one verdict, and what the engine is told of it."""
    [verdict] = judged.told
    return verdict.proof.fate, judged.evidence.over.find(KEY), "; ".join(verdict.proof.words)


def repair(scene, status="interrupted"):
    """What the next start of a gateway makes of a run that was killed, half an hour later."""
    scene.rows.add_receipt(JOB, START, GONE_PID, 1, status=status, lasted_ms=30 * MIN)
    scene.rows.add_run(JOB, START, lasted_ms=30 * MIN, status="error", error=INTERRUPTED)


def test_without_an_end_on_record_it_ended_at_its_last_sign_of_life(scene):
    scene.rows.add_receipt(JOB, START, GONE_PID, 1)
    scene.rows.add_task("t", job_id=JOB, status="running", began_ms=START, key=KEY)
    fate, end, words = tell(scene.judge())
    assert (fate, end) == ("dead", ("killed", SEEN, SEEN - START)), "it began with its receipt"
    assert "no ledger has an end of it" in words


@pytest.mark.parametrize("gateway", [STOPPED, RESTARTED])
def test_the_time_of_the_gateways_own_repair_is_not_that_of_the_end(scene, gateway):
    """A run that lived four seconds was recorded with an hour: the time until the next start."""
    repair(scene)
    fate, end, words = tell(scene.judge(gateway))
    assert (fate, end) == ("over", ("killed", SEEN, SEEN - START))
    assert "says it was killed, at" in words


def test_a_receipt_alone_tells_that_it_was_interrupted(scene):
    scene.rows.add_receipt(JOB, START, GONE_PID, 1, status="interrupted", lasted_ms=30 * MIN)
    assert tell(scene.judge())[1] == ("killed", SEEN, SEEN - START)


def test_a_task_alone_tells_that_it_was_interrupted(scene):
    scene.rows.add_task(
        "t", job_id=JOB, status="failed", began_ms=START, ended_ms=NOW - MIN, error=INTERRUPTED
    )
    assert tell(scene.judge())[1] == ("killed", SEEN, SEEN - START)


def test_a_finished_task_has_the_verdict_and_its_time(scene):
    """Its receipt and marker still say "running": that is the gateway's to mend, from the task."""
    scene.rows.add_receipt(JOB, START, GONE_PID, 1)
    scene.rows.add_run(JOB, START, lasted_ms=4 * MIN, key=KEY, session="s")
    fate, end, words = tell(scene.judge())
    assert (fate, end) == ("over", ("done", START + 4 * MIN, 4 * MIN))
    assert "ended done" in words


def test_the_detail_of_a_task_counts_over_its_status_and_its_receipt(scene):
    """A delivery that nobody confirmed makes a task "failed" whose run ended well."""
    scene.rows.add_receipt(JOB, START, GONE_PID, 1, status="error", lasted_ms=4 * MIN)
    scene.rows.add_run(JOB, START, lasted_ms=4 * MIN, key=KEY, session="s")
    scene.rows.change("UPDATE task_runs SET status = 'failed'")
    assert tell(scene.judge())[1] == ("done", START + 4 * MIN, 4 * MIN)


def test_a_lost_task_proves_nothing(scene):
    scene.rows.add_task("t", job_id=JOB, status="lost", began_ms=START, ended_ms=NOW - MIN)
    assert tell(scene.judge())[:2] == ("dead", ("killed", SEEN, SEEN - START - 50))


@pytest.mark.parametrize("gateway", [STOPPED, LIVING, Gateway(None, None, None, "test")])
def test_the_living_owner_of_a_receipt_is_proof_of_life(scene, gateway):
    pid = os.getpid()
    scene.rows.add_receipt(JOB, START, pid, start_ticks(pid))
    judged = scene.judge(gateway)
    fate, end, words = tell(judged)
    assert (fate, end, words) == ("alive", None, f"its receipt names pid {pid}, which lives")
    assert judged.evidence.over.is_kept("s")


@pytest.mark.parametrize(
    ("pid", "ticks", "began"),
    [(GONE_PID, 1, START), (os.getpid(), 1, START), (os.getpid(), start_ticks(os.getpid()), NOW)],
    ids=["gone", "another process now", "of a later run"],
)
def test_another_receipt_is_none(scene, pid, ticks, began):
    scene.rows.add_receipt(JOB, began, pid, ticks)
    assert tell(scene.judge())[0] == "dead"
    assert tell(scene.judge(LIVING))[0] == "unknown", "a pid that is gone is no proof of death"


def test_a_living_process_with_a_lease_on_the_database_may_be_at_work(scene):
    pid = os.getpid()
    scene.rows.add_lease(scene.store, pid, start_ticks(pid), START)
    judged = scene.judge()
    fate, end, words = tell(judged)
    assert (fate, end) == ("unknown", None)
    assert f"pid {pid} has its store open by a lease" in words
    assert judged.evidence.over.is_kept("s")


def test_leases_of_the_dead_and_of_other_databases_count_for_nothing(scene):
    pid = os.getpid()
    scene.rows.add_lease(scene.store, GONE_PID, 1, START)
    scene.rows.add_lease(scene.root / "other.sqlite", pid, start_ticks(pid), START)
    assert tell(scene.judge())[0] == "dead"


def test_a_boot_that_ended_ends_what_it_left_running(scene):
    scene.rows.add_boot(7, START - MIN, SEEN + 9_000)
    assert tell(scene.judge())[1] == ("killed", SEEN + 9_000, SEEN + 9_000 - START - 50)


def test_a_run_beside_its_living_gateway_is_unknown_without_a_sign(scene):
    assert tell(scene.judge(LIVING))[:2] == ("unknown", None)


def test_without_a_state_database_nothing_is_missed(scene):
    scene.rows.path.unlink()
    judged = scene.judge()
    assert tell(judged)[0] == "dead"
    assert judged.evidence.notes == ()


def test_records_that_cannot_be_read_prove_nothing(scene):
    scene.rows.change("PRAGMA user_version = 99")
    fate, end, words = tell(scene.judge())
    assert (fate, end) == ("unknown", None)
    assert "records that are not read" in words
