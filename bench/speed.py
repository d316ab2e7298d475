"""How fast tailflip is, against limits, against copying the file and against the usual tools.

Rounds are interleaved and their order rotates, each run starts after `sync` on a warm
page cache, and every program is a process of its own. A whole compaction is measured as
the command that a person runs, interpreter start and imports included, and by the seconds
of the work itself (survey, archive, rewrite, fsync, verify, rename); the latter with three
policies. `kernels.py` adds the engine by itself. All of it ends in one table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import kernels
import measure
import rivals
from kernels import Goal
from measure import MB, MIB

from tailflip.demo.incident import write_incident

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


def run_once(
    name: str,
    store: Path,
    scratch: Path,
    times: dict[str, list[float]],
    peaks: dict[str, list[int]],
) -> None:
    """Measure one program on a fresh copy, or beside the store; note its seconds and bytes."""
    target = scratch / "out.json"
    env = measure.tailflip_environment(scratch / "home")
    if name == COMMAND:
        shutil.copyfile(store, target)
        argv = measure.tailflip("compact", "--apply", str(target))
    elif name in KINDS:
        shutil.copyfile(store, target)
        argv = [sys.executable, str(ENGINE), str(target), str(scratch / "home"), KINDS[name]]
    elif name == COPY:
        argv = find_copy_argv(store, target)
    else:
        argv = rivals.find_argv(name, store, target) or []
    os.sync()
    ran = measure.run(argv, env=env)
    if ran.exit_code != 0:
        sys.exit(f"{name}: exit {ran.exit_code}\n{ran.stderr[-2000:]}")
    times.setdefault(name, []).append(float(ran.stdout) if name in KINDS else ran.wall_s)
    peaks.setdefault(name, []).append(ran.peak_bytes)
    target.unlink()
    shutil.rmtree(scratch / "home", ignore_errors=True)


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
    if "node" in medians:
        node = medians["node"] / medians[WORK]
        native = peaks["node"] / engine_mib
        goals += [
            Goal("the work, faster than Node's JSON.parse", node, 8, 12, "x", at_most=False),
            Goal(
                "Node's memory against what our engine needs", native, 30, None, "x", at_most=False
            ),
            Goal(
                "Node's memory against the whole process, Python included",
                peaks["node"] / peaks[COMMAND],
                30,
                None,
                "x",
                at_most=False,
            ),
        ]
    return goals


def race(
    store: Path, scratch: Path, rounds: int
) -> tuple[list[str], dict[str, list[float]], dict[str, list[int]]]:
    """Measure everyone; name those who are not on this machine."""
    times: dict[str, list[float]] = {}
    peaks: dict[str, list[int]] = {}
    others = [n for n in rivals.NAMES if n != "incident"]
    missing = [n for n in others if not rivals.find_argv(n, store, store)]
    everyone = [COPY, COMMAND, *KINDS, *(n for n in others if n not in missing)]
    for number in range(rounds):
        for place in range(len(everyone)):
            run_once(everyone[(place + number) % len(everyone)], store, scratch, times, peaks)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return missing, times, peaks


def tabulate(times: dict[str, list[float]], peaks: dict[str, float]) -> str:
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{min(times[name]):.3f}",
            f"{max(times[name]):.3f}",
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
        missing, times, raw_peaks = race(incident["store"], scratch, args.rounds)
        scans, scan_rows = kernels.compare_scans(program, incident["store"], args.rounds)
        shapes, added = kernels.compare_shapes(program, scratch, args.rounds, args.scale)
        points = kernels.follow_sizes(program, scratch, min(args.rounds, 3), args.scale)

    medians = {name: statistics.median(values) for name, values in times.items()}
    peaks = {name: statistics.median(values) / MIB for name, values in raw_peaks.items()}
    engine_mib = max(*added, *(p.compact_mib for p in points))
    goals = [
        *judge(medians, peaks, engine_mib),
        *scans,
        *shapes,
        *kernels.judge_sizes(points, added),
    ]
    about = (
        f"{incident['entries']:,} entries, {incident['bytes']:,} bytes, medians of "
        f"{args.rounds} rounds: {measure.machine()}; {load:.1f} processes wanted to run at the "
        "start"
    )
    sections = {
        "goals": measure.table(kernels.GOAL_HEADER, [goal.cells() for goal in goals]),
        "speed": tabulate(times, peaks) + "".join(f"\n\nNot here: {n}." for n in missing),
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
