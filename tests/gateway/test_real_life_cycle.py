"""The rows of a run's life-cycle, written by the real gateway, and what we say of each.

The same rows are invented for the matrix in tests/unit; here their shapes are compared.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from held_runs import prepare, until

from support.life_cycle import ROWS, ago
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import locate
from tailflip.stores.proof import judge
from tailflip.stores.proof.prove import prove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import real_gateway
    from held_runs import Scene

    from tailflip.flow.numbers import ListedEntry
    from tailflip.stores.proof.judge import Judgement
    from tailflip.stores.proof.prove import Facts, Proof

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

FLAGS = ("--every", "1h", "--message", "say ok", "--no-deliver")
ISOLATED = ("--session", "isolated", *FLAGS)


class Judge:
    """Judges the store as it is now, and keeps what was known of each entry."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene = scene
        self.facts: dict[str, Facts] = {}
        collect = judge._Ledgers.collect

        def keep(ledgers: judge._Ledgers, entry: ListedEntry) -> Facts:
            self.facts[entry.key] = collect(ledgers, entry)
            return self.facts[entry.key]

        monkeypatch.setattr(judge._Ledgers, "collect", keep)

    def look(self) -> Judgement:
        self.facts.clear()
        env = self.scene.install.environment(self.scene.state)
        installation = locate(env)
        gateway = read_gateway(installation, env)
        now_ms = int(time.time() * 1000)
        return judge.judge_store(installation, installation.stores[0], gateway, now_ms)

    def prove(self, key: str) -> Proof:
        self.look()
        return prove(self.facts[key])

    def check(self, row: str, key: str, began_ms: int, fate: str, status: str | None, *words: str):
        """Compare verdict and words of an entry, and its shape with the invented row's."""
        proof = self.prove(key)
        assert (proof.fate, proof.status) == (fate, status), (row, proof, self.facts[key])
        for word in words:
            assert word in "; ".join(proof.words), (row, proof)
        assert shape(self.facts[key], began_ms) == shape(ROWS[row], ago(40)), (
            row,
            self.facts[key],
            began_ms,
        )


def shape(facts: Facts, began_ms: int) -> dict[str, object]:
    """Say of a run that began at a moment which of its times are there, and whose they are."""
    started = "none"
    if facts.started_ms is not None:
        started = "own" if facts.started_ms >= began_ms else "of a run of old"
    updated = facts.updated_ms is not None and facts.updated_ms >= began_ms
    return {"updated by itself": updated, "started": started, "is_current": facts.is_current}


@pytest.fixture
def scene(plain_install: real_gateway.Install, tmp_path: Path) -> Iterator[Scene]:
    with prepare(plain_install, tmp_path) as made:
        yield made


def begin(scene: Scene) -> tuple[str, int]:
    """Begin a run that is held; return the key of its own entry, and when it began."""
    scene.begin_run()
    return scene.newest_run()[0], scene.read_job()["state"]["runningAtMs"]


def test_rows_of_an_isolated_job(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(scene, monkeypatch)
    with scene.started():
        scene.add_job(*ISOLATED)
        run, began_ms = begin(scene)
        base = run.partition(":run:")[0]
        locked = ("its transcript is locked by pid ", "which lives")
        judge.check("first run in flight, base", base, began_ms, "alive", None, *locked)
        judge.check("first run in flight, run", run, began_ms, "alive", None, *locked)
        scene.kill()
    outlived = ("no gateway is running", "the marker outlived its owner")
    judge.check("killed mid-run, base", base, began_ms, "dead", "killed", *outlived)
    judge.check("first run in flight, run", run, began_ms, "dead", "killed", *outlived)

    with scene.started():
        since = ("its last sign of life is older than the gateway, which started at",)
        judge.check("killed mid-run, base", base, began_ms, "dead", "killed", *since)
        sticky, began_ms = begin(scene)
        row = "later success, sticky running"
        judge.check(row, sticky, began_ms, "alive", None, *locked)
        killed = judge.prove(run)
        assert (killed.fate, killed.status) == ("dead", "killed")
        assert judge.facts[run].is_current is False
        scene.end_run()
        done = ("the run log says it ended done at", "(by its session key)")
        judge.check(row, sticky, began_ms, "over", "done", *done)
        assert scene.entries()[sticky]["status"] == "running", "the row is that of a lie"

        scene.model.status = 400
        failed, failed_ms = begin(scene)
        row = "sticky, and a newer run began"
        judge.check(row, sticky, began_ms, "over", "done", *done)
        scene.end_run()
        words = ("the run log says it ended failed at",)
        judge.check("provider error", failed, failed_ms, "over", "failed", *words)


def test_rows_of_a_job_that_never_crashed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(scene, monkeypatch)
    with scene.started():
        scene.add_job(*ISOLATED)
        run, began_ms = begin(scene)
        scene.end_run()
        assert "status" not in scene.entries()[run]
        done = ("the run log says it ended done at", "(by its session key)")
        judge.check("healthy run without status", run, began_ms, "over", "done", *done)
        assert judge.look().running == {}, "nothing says it runs"

        scene.add_job(*ISOLATED, "--timeout-seconds", "6")
        scene.begin_run()
        slow, slow_ms = scene.newest_run()[0], scene.read_job()["state"]["runningAtMs"]
        until(scene.lines, "the time-out's line")
        line = scene.lines()[-1]
        assert line["status"] == "error"
        assert "sessionKey" not in line
        words = ("the run log says it ended timeout at", "(by job and time)")
        judge.check("time-out without key", slow, slow_ms, "over", "timeout", *words)
        scene.model.release()
        until(lambda: "runningAtMs" not in scene.read_job()["state"], "the marker to go")


def test_rows_of_a_session_target(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(scene, monkeypatch)
    with scene.started():
        scene.add_job("--session", "session:daily", *FLAGS)
        scene.model.hold()
        scene.call("cron", "run", scene.job)
        scene.model.wait_for_call()
        began_ms = scene.read_job()["state"]["runningAtMs"]
        key = next(key for key in scene.entries() if key.endswith(":daily"))
        until(lambda: scene.entries()[key].get("startedAt", 0) >= began_ms, "it to say running")
        judge.check("session target", key, began_ms, "alive", None, "its transcript is locked")
        scene.kill()
    # Such an entry does not name its job, so the marker says nothing of it.
    killed = ("no gateway is running", "no ledger has an end of it; last sign of life at")
    judge.check("session target", key, began_ms, "dead", "killed", *killed)
    over = judge.look().evidence.over
    session = scene.entries()[key]["sessionId"]
    assert over is not None
    assert over.find(key, session) is None, "a session of its own stays"
    with scene.started():
        scene.call("cron", "run", scene.job)
        scene.model.release()
        until(scene.lines, "a line in the run log")
        line = scene.lines()[-1]
        assert line["sessionKey"] == key
        until(lambda: "runningAtMs" not in scene.read_job()["state"], "the marker to go")
        entry = scene.entries()[key]
        if entry.get("status") == "running":
            proof = judge.prove(key)
            assert (proof.fate, proof.status) == ("over", "done"), proof
