"""A job's run on a real gateway of any release: asked for, left in flight, and killed."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import guarded
import held_runs
import real_gateway

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from held_runs import Scene

_RUNS_WITHIN_S = 700  # a machine may be busy


def crash_in_mid_run(scene: Scene) -> None:
    """Let one run end well, and leave what a killed gateway leaves of the next.

    2026.2 keeps no word of a run that is asked for until its end; one of its timer it writes down.
    """
    scene.add_job(*known_flags(scene))
    scene.model.release()
    run_job(scene)
    time.sleep(4)  # its end is written
    scene.model.hold()
    run_job(scene)
    time.sleep(2)  # so is this one's beginning
    if not is_marked(scene.state):
        scene.model.release()
        time.sleep(4)
        _run_by_timer(scene)
        time.sleep(2)
    scene.kill()
    guarded.end_all(scene.state)


def is_marked(state: Path) -> bool:
    """Say whether the gateway has written anywhere that a run is in flight."""
    files = [*state.glob("cron/*.json"), *state.glob("state/*.sqlite*")]
    texts = (path.read_bytes() for path in files)
    return any(b"runningAtMs" in text or b"running_at_ms" in text for text in texts)


def _run_by_timer(scene: Scene) -> None:
    scene.model.hold()
    scene.model.forget_calls()
    scene.call("cron", "edit", scene.job, "--every", "20s")
    scene.model.wait_for_call()


def known_flags(scene: Scene) -> tuple[str, ...]:
    """The flags of `cron add`; the first releases deliver only when they are told to."""
    offered = _offered(scene, "add")
    return tuple(x for x in held_runs.JOB_FLAGS if x != "--no-deliver" or x in offered)


_help: dict[tuple[str, str], str] = {}  # of this process: each answer costs seconds


def _offered(scene: Scene, verb: str) -> str:
    asked = (scene.install.version, verb)
    if asked not in _help:
        _help[asked] = scene.install.openclaw(scene.state, "cron", verb, "--help").stdout
    return _help[asked]


def run_job(scene: Scene, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Ask for a run until it calls its model, or the gateway does not go on.

    Some releases answer when the run is over, so nobody waits for the answer. Where there is none
    in time, or a run before is not over yet, it is asked for again.
    """
    forced = ["--force"] if "--force" in _offered(scene, "run") else []
    where = ["--url", f"ws://127.0.0.1:{scene.port}", "--token", real_gateway.TOKEN]
    program = [str(scene.install.node), str(scene.install.package / "openclaw.mjs")]
    said = scene.state.parent / "run.log"
    before, until, asked = scene.model.calls, time.monotonic() + _RUNS_WITHIN_S, None
    while scene.model.calls == before and goes_on():
        assert time.monotonic() < until, f"no run begins: {said.read_text('utf-8')[-300:]}"
        if asked is None or asked.poll():
            with said.open("w", encoding="utf-8") as out:
                asked = subprocess.Popen(
                    [*program, "cron", "run", scene.job, *forced, *where, "--timeout", "150000"],
                    env=scene.install.environment(scene.state),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )
        time.sleep(0.3)
