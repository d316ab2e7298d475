"""How fast tailflip is, against limits, against copying the file and against the usual tools.

Rounds are interleaved and their order rotates, and every program is a process of its own.
A whole compaction is measured as the command that a person runs, interpreter start and
imports included, and by the seconds of the work itself (survey, archive, rewrite, fsync,
verify, rename); the latter with three policies. `kernels.py` adds the engine by itself.
All of it ends in one table.

Everyone finds the same: a fresh copy of the store in the page cache, nothing left to be
written to the disk, and room in memory that was just used for one more file of that size.
Without the last, a small virtual machine has to get memory from its host first, and whoever
happens to need it waits two or three times as long as the next one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import kernels
import measure
import rivals
from kernels import Goal
from measure import MB, MIB

from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from measure import Measured

COPY = "cp + fsync"
COMMAND = "**tailflip compact --apply**"
WORK = "tailflip, without start-up"
MOST_DROPPED = "the same, 63 % dropped"
NEARLY_ALL_KEPT = "the same, all kept but one"
KINDS = {WORK: "all", MOST_DROPPED: "running", NEARLY_ALL_KEPT: "one"}
ENGINE = Path(__file__).with_name("engine.py")


def find_copy_argv(source: Path, target: Path) -> list[str]:
    # GNU sync takes a file and then is fsync(2); elsewhere the whole system is synced.
    flush = 'exec sync "$2"' if sys.platform == "linux" else "exec sync"
    return ["sh", "-c", f'cp "$1" "$2" && {flush}', "sh", str(source), str(target)]


def prepare(store: Path, fresh: Path, spare: Path) -> None:
    """Give a program its copy of the store, and the machine room for one more of that size."""
    shutil.copyfile(store, fresh)
    shutil.copyfile(store, spare)
    spare.unlink()
    os.sync()


def run_once(name: str, store: Path, scratch: Path) -> Measured:
    fresh, target, home = scratch / "fresh.json", scratch / "out.json", scratch / "home"
    if name == COMMAND:
        argv = measure.tailflip("compact", "--apply", str(fresh))
    elif name in KINDS:
        argv = [sys.executable, str(ENGINE), str(fresh), str(home), KINDS[name]]
    elif name == COPY:
        argv = find_copy_argv(fresh, target)
    else:
        argv = rivals.find_argv(name, fresh, target) or []
    prepare(store, fresh, target)
    ran = measure.run(argv, env=measure.tailflip_environment(home))
    for path in (fresh, target):
        path.unlink(missing_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    if name in KINDS and ran.exit_code == 0:
        return replace(ran, wall_s=float(ran.stdout))
    return ran


def judge(medians: dict[str, float], peaks: dict[str, float], engine_mib: float) -> list[Goal]:
    """Compare whole compactions with their limits; `peaks` are MiB, as is what the engine adds."""
    goals = [
        Goal(f"{what} against cp + fsync", medians[name] / medians[COPY], limit, aim, "x")
        for name, what, limit, aim in (
            (WORK, "whole durable compaction of the incident", 1.5, 0.8),
            (MOST_DROPPED, "the same at 63 % dropped", 2.0, 1.2),
            (NEARLY_ALL_KEPT, "the same, everything kept but one entry", 3.0, 1.8),
        )
    ]
    if rivals.NODE_SAVE in medians:
        times = medians[rivals.NODE_SAVE] / medians[WORK]
        memory = peaks[rivals.NODE_SAVE]
        goals += [
            Goal(
                f"{what}, against Node's JSON.parse and stringify",
                value,
                limit,
                aim,
                "x",
                at_most=False,
            )
            for what, value, limit, aim in (
                ("the work's speed", times, 8, 12),
                ("our engine's memory", memory / engine_mib, 30, None),
                ("the whole process's memory, Python included", memory / peaks[COMMAND], 30, None),
            )
        ]
    return goals


def find_everyone(store: Path) -> tuple[list[str], list[str]]:
    """Name whom to measure, and who is not on this machine."""
    others = [n for n in rivals.NAMES if n != "incident"]
    missing = [n for n in others if not rivals.find_argv(n, store, store)]
    return [COPY, COMMAND, *KINDS, *(n for n in others if n not in missing)], missing


def tabulate(
    ran: dict[str, list[Measured]], medians: dict[str, float], peaks: dict[str, float]
) -> str:
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{min(one.wall_s for one in ran[name]):.3f}",
            f"{max(one.wall_s for one in ran[name]):.3f}",
            f"{peaks[name]:,.0f}",
            f"{medians[name] / medians[COPY]:.2f}",
            f"{medians[name] / medians[COMMAND]:.2f}",
        ]
        for name in sorted(medians, key=medians.__getitem__)
    ]
    header = ["program", "median s", "min s", "max s", "peak MiB", "x cp + fsync", "x tailflip"]
    return measure.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=185, help="size of the store (default 185)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the engine's own stores")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="page whose sections to write")
    args = parser.parse_args()
    program = kernels.build()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tailflip-bench-") as folder:
        scratch = Path(folder)
        incident = write_incident(
            scratch / "state", size_bytes=args.mb * MB, now_ms=int(time.time() * 1000)
        )
        store = incident["store"]
        everyone, missing = find_everyone(store)
        ran = measure.race(
            {name: partial(run_once, name, store, scratch) for name in everyone}, args.rounds
        )
        scans, scan_rows = kernels.compare_scans(program, store, args.rounds)
        shapes, added = kernels.compare_shapes(program, scratch, args.rounds, args.scale)
        points = kernels.follow_sizes(program, scratch, min(args.rounds, 3), args.scale)

    medians = {name: measure.median_s(runs) for name, runs in ran.items()}
    peaks = {
        name: statistics.median(one.peak_bytes for one in runs) / MIB for name, runs in ran.items()
    }
    engine_mib = max(*added, *(p.compact_mib for p in points))
    goals = [
        *judge(medians, peaks, engine_mib),
        *scans,
        *shapes,
        *kernels.judge_sizes(points, added),
    ]
    stolen = measure.find_stolen_share(chain.from_iterable(ran.values()))
    about = (
        f"{incident['entries']:,} entries, {incident['bytes']:,} bytes, medians of "
        f"{args.rounds} rounds: {measure.machine()}; {load:.1f} processes wanted to run at the "
        f"start, and the hypervisor took {stolen:.0%} of the time of whole compactions and rivals"
    )
    sections = {
        "goals": measure.table(kernels.GOAL_HEADER, [goal.cells() for goal in goals]),
        "speed": tabulate(ran, medians, peaks) + "".join(f"\n\nNot here: {n}." for n in missing),
        "scan": measure.table(kernels.SCAN_HEADER, scan_rows),
        "sizes": measure.table(kernels.CURVE_HEADER, kernels.describe_sizes(points)),
    }
    sections["goals"] = f"{about}.\n\n{sections['goals']}"
    for name, text in sections.items():
        print(f"\n{text}" if name != "goals" else "")
        if args.out is not None:
            measure.write_section(args.out, name, text)
    print(sections["goals"])
    if args.out is not None:
        kernels.draw(points, args.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
