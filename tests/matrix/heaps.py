"""The smallest heap that an idle boot and a first cron run survive, at two sizes of store.

Found by bisection between bounds. Two such heaps give factor and base: what the gateway takes for
each byte of store, and what it takes without any.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import guarded
import held_runs
import real_gateway

from matrix.lines import SIZES_MB, Line, NotThere, name_of
from matrix.release import INSTALL, MB, REFUSED, known_flags, run_job
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from pathlib import Path

    from held_runs import Scene
    from real_gateway import Install

_LEAST_MIB, _MOST_MIB = 96, 1536
_CLOSE = 1.08  # the answer is at most so much above the smallest
_CALLS_WITHIN_S = 60  # a gateway without room does not come to call its model
_AFTER_S = 10  # some die a while after the run is over


def try_release(line: Line, folder: Path) -> None:
    with line.asking(INSTALL, 900):
        install = real_gateway.install(line.release)
    least = _LEAST_MIB
    for size_mb in SIZES_MB:
        with line.asking(name_of(size_mb), 900) as told:
            line.need(INSTALL)
            least = _find_smallest(install, folder, size_mb, least, told)
            told.insert(0, f"{least} MiB")


def _find_smallest(
    install: Install, folder: Path, size_mb: int, least: int, told: list[str]
) -> int:
    """Bisect; a larger store never needs less than `least`, the heap of a smaller one."""
    dies, lives = least, 0
    guess = max(2 * least, 384) if least == _LEAST_MIB else round(least * 1.3)
    while not lives or lives > dies * _CLOSE:
        lived = survives(install, folder, size_mb, guess)
        told.append(f"{guess} {'lives' if lived else 'dies'}")
        if lived:
            lives = guess
        elif guess >= _MOST_MIB:
            raise AssertionError("dies with the largest heap of the search")
        else:
            dies = guess
        guess = min(2 * dies, _MOST_MIB) if not lives else round((dies * lives) ** 0.5)
    return lives


def survives(install: Install, folder: Path, size_mb: int, heap_mib: int) -> bool:
    """Boot on a store and let one cron run end, all with this heap limit; True if it lives on."""
    place = folder / "heap"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with held_runs.prepare(install, place) as scene:
        scene.model.release()
        now_ms = int(time.time() * 1000)
        write_incident(scene.state, size_bytes=size_mb * MB, now_ms=now_ms)
        scene.port = real_gateway.configure(scene.state, scene.model.port)
        try:
            return _runs_once(scene, heap_mib)
        finally:
            guarded.end_all(scene.state)


def _runs_once(scene: Scene, heap_mib: int) -> bool:
    with real_gateway.gateway(
        scene.install, scene.state, heap_mib=heap_mib, port=scene.port
    ) as running:
        if not running.settle(120):
            if running.process.wait() == REFUSED:
                raise NotThere("it refuses a `sessions.json` with exit 78")
            return False
        try:
            scene.add_job(*known_flags(scene))
        except AssertionError:
            if running.process.poll() is None and running.is_healthy():
                raise  # it lives, and did not do what it was asked
            return False
        run_job(scene)
        until = time.monotonic() + _CALLS_WITHIN_S
        while not scene.model.calls and time.monotonic() < until:
            if running.process.poll() is not None:
                return False
            time.sleep(0.2)
        return scene.model.calls > 0 and running.stays_up(_AFTER_S)
