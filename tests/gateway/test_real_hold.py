"""A job that kills the gateway whenever it runs, and that runs again at every boot."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import guarded
import pytest

from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from held_runs import Scene

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1200)]

EATER = Path(__file__).with_name("eat_heap.cjs")
HEAP_MIB = 512
DEATHS = 3  # the default of `reconcile.hold_deaths`
DEADLINE_S = 600  # three deaths; 60 s where nothing else runs
FLAGS = ("--session", "isolated", "--message", "say ok", "--no-deliver")
KINDS = {"every": ("--every", "10m", *FLAGS), "at": ("--at", "10m", "--keep-after-run", *FLAGS)}


def arm(scene: Scene, kind: str) -> Path:
    """Leave a job that is overdue, and whose call of the model is the end of its gateway."""
    with scene.started():
        scene.add_job(*KINDS[kind])
    due = datetime.now(UTC) - timedelta(seconds=30)

    def make_overdue(job: dict[str, Any]) -> None:
        job["state"]["nextRunAtMs"] = int(due.timestamp() * 1000)
        if kind == "at":
            job["schedule"]["at"] = due.isoformat().replace("+00:00", "Z")
            job["createdAtMs"] -= 3_600_000

    scene.change_job(make_overdue)
    scene.model.on_call = (scene.state.parent / "eat").touch
    return scene.state.parent / "eat"


@pytest.mark.parametrize(
    ("kind", "consent"),
    [pytest.param("every", False, id="pushed-out"), pytest.param("at", True, id="disabled")],
)
def test_job_that_kills_is_held_by_run(scene: Scene, kind: str, consent: bool) -> None:
    if (scene.install.version, kind) == ("2026.3.28", "every"):
        pytest.skip("there an interrupted recurring job waits for its next slot")
    arm(scene, kind)
    program = [
        str(scene.install.node),
        "--require",
        str(EATER),
        *guarded.command(scene.install)[1:],
    ]
    with guarded.run(
        scene.install,
        scene.state,
        "--set",
        f"reconcile.hold_jobs={json.dumps(consent)}",
        port=scene.port,
        heap_mib=HEAP_MIB,
        argv=program,
    ) as running:
        running.wait_for_life(DEATHS + 1, DEADLINE_S)
        assert [death.cause for death in running.deaths()] == [Cause.V8_HEAP] * DEATHS
        assert running.lives()[DEATHS - 1].cured, "a held job is a cure"
        assert running.stays_up(20), running.tell()
        assert scene.model.calls == DEATHS
        assert "in flight at the last 3 deaths in a row" in running.output()
        check_held(scene, consent=consent)
    assert len(running.deaths()) == DEATHS


def test_job_that_kills_is_held_by_gate(scene: Scene) -> None:
    """Nobody sees it die; Node's reports and the lock tell the next gate."""
    arm(scene, "at")
    node_options = f"--require {EATER} --report-on-fatalerror --report-dir={scene.state}"
    for death in range(DEATHS):
        with guarded.gate(
            scene.install,
            scene.state,
            port=scene.port,
            heap_mib=HEAP_MIB,
            node_options=node_options,
        ) as running:
            running.process.wait(240)
            assert scene.model.calls == death + 1, running.output()[-3000:]
    with guarded.gate(
        scene.install, scene.state, port=scene.port, heap_mib=HEAP_MIB, node_options=node_options
    ) as running:
        assert running.settle(), running.tell()
        assert [death.cause for death in running.deaths()] == [Cause.V8_HEAP] * DEATHS
        assert running.stays_up(20), running.tell()
        assert scene.model.calls == DEATHS
        check_held(scene, consent=False)


def check_held(scene: Scene, *, consent: bool) -> None:
    job = scene.read_job()
    assert "runningAtMs" not in job["state"]
    assert job["enabled"] is not consent
    if not consent:
        left_h = (job["state"]["nextRunAtMs"] / 1000 - time.time()) / 3600
        assert 5 < left_h <= 6
