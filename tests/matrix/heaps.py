"""The smallest heap that an idle boot and a first cron run survive, by the size of the store.

Found from a guess on, by bisection. Such heaps give factor and base: what the gateway takes for
each byte of store, and what it takes without any. Two small sizes alone would mislead, so a large
one is measured where it can be.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import guarded
import held_runs
import psutil
import real_gateway

from matrix import page
from matrix.databases import refuses_files
from matrix.lines import SIZES_MB, Line, NotThere, name_of
from matrix.runs import known_flags, run_job
from matrix.trial import INSTALL
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from pathlib import Path

    from held_runs import Scene
    from real_gateway import Install, Running

MB = 1_000_000
_MOST_MIB = 1536
_CLOSE = 1.08  # the answer is at most so much above the smallest
# A gateway without room collects garbage and does not come to call its model. Counted in time of
# the processor, for a busy machine is no proof.
_CALLS_WITHIN_S = 60
_AFTER_S = 10  # some die a while after the run is over


def try_release(line: Line, folder: Path) -> None:
    with line.asking(INSTALL, 900):
        install = real_gateway.install(line.release)
    found: dict[int, int] = {}
    for size_mb in SIZES_MB:
        guess = page.guess_mib(line.release, size_mb, found)
        if guess > _MOST_MIB:
            break  # the sizes before show the slope
        with line.asking(name_of(size_mb), 1200) as told:
            line.need(INSTALL)
            found[size_mb] = _find_smallest(install, folder, size_mb, guess, told)
            told.insert(0, f"{found[size_mb]} MiB")


def _find_smallest(
    install: Install, folder: Path, size_mb: int, guess: int, told: list[str]
) -> int:
    """Go from the guess in growing steps until one heap lives and one dies, then bisect."""
    dies, lives, step = 0, 0, _CLOSE
    while not (dies and lives) or lives > dies * _CLOSE:
        lived = survives(install, folder, size_mb, guess)
        told.append(f"{guess} {'lives' if lived else 'dies'}")
        if lived:
            lives = guess
        elif guess >= _MOST_MIB:
            raise AssertionError("dies with the largest heap of the search")
        else:
            dies = guess
        if dies and lives:
            guess = round((dies * lives) ** 0.5)
        else:
            guess = min(_MOST_MIB, round(dies * step if dies else lives / step))
            step **= 2
    return lives


def survives(install: Install, folder: Path, size_mb: int, heap_mib: int) -> bool:
    """Boot on a store and let one cron run end, all with this heap limit; True if it lives on."""
    if refuses_files(install.version):
        raise NotThere("it refuses a `sessions.json`: its heap is that of its database")
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
        if not running.settle(240):
            return False
        try:
            scene.add_job(*known_flags(scene))
        except AssertionError:
            if running.process.poll() is None and running.is_healthy():
                raise  # it lives, and did not do what it was asked
            return False
        used = _processor_s(running)

        def goes_on() -> bool:
            is_over = _processor_s(running) - used > _CALLS_WITHIN_S
            return running.process.poll() is None and not is_over

        run_job(scene, goes_on)
        return scene.model.calls > 0 and running.stays_up(_AFTER_S)


def _processor_s(running: Running) -> float:
    """Add up the processor's time that the gateway has taken so far."""
    with suppress(psutil.Error):
        started = psutil.Process(running.process.pid)
        times = [each.cpu_times() for each in (started, *started.children(recursive=True))]
        return sum(each.user + each.system for each in times)
    return 0.0
