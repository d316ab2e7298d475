"""How fast tailflip is, against limits, against copying the file and against the usual tools.

Rounds are interleaved and their order rotates, each run starts after `sync` on a warm
page cache, and every program is a process of its own. A whole compaction is measured as
the command that a person runs, interpreter start and imports included, and by the seconds
of the work itself (survey, archive, rewrite, fsync, verify, rename); the latter with three
policies. `kernels.py` adds the engine by itself. All of it ends in one table.

What is compared with a copy is run twice: among the usual tools, and with nothing but the
copy. A tool that takes hundreds of MB and gives them back makes the next who needs memory
wait for it, if the machine is a small virtual one: that is the copy, which needs 185 MB of
cache, and not a compaction that writes two. Limits are judged by the rounds without them.
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


def judge(
    paired: dict[str, float],
    medians: dict[str, float],
    peaks: dict[str, float],
    engine_mib: float,
) -> list[Goal]:
    """Compare whole compactions with their limits; `peaks` are MiB, as is what the engine adds."""
    goals = [
        Goal(f"{what} against cp + fsync", paired[name] / paired[COPY], limit, aim, "x")
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


def find_everyone(store: Path) -> tuple[list[str], list[str]]:
    """Name whom to measure, and who is not on this machine."""
    others = [n for n in rivals.NAMES if n != "incident"]
    missing = [n for n in others if not rivals.find_argv(n, store, store)]
    return [COPY, COMMAND, *KINDS, *(n for n in others if n not in missing)], missing


def race(
    names: list[str], store: Path, scratch: Path, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Measure each once a round, in an order of its own each time: neighbours matter."""
    times: dict[str, list[float]] = {}
    peaks: dict[str, list[int]] = {}
    for number in range(rounds):
        for name in measure.shuffled(names, number):
            run_once(name, store, scratch, times, peaks)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return times, peaks


def find_medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def tabulate(times: dict[str, list[float]], peaks: dict[str, float]) -> str:
    """Show everyone; beside tailflip's own time where the command itself was run."""
    medians = find_medians(times)
    command = medians.get(COMMAND)
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{min(times[name]):.3f}",
            f"{max(times[name]):.3f}",
            f"{peaks[name]:,.0f}",
            f"{medians[name] / medians[COPY]:.2f}",
            f"{medians[name] / command:.2f}" if command else "",
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
        everyone, missing = find_everyone(incident["store"])
        paired, paired_peaks = race([COPY, *KINDS], incident["store"], scratch, args.rounds)
        times, raw_peaks = race(everyone, incident["store"], scratch, args.rounds)
        scans, scan_rows = kernels.compare_scans(program, incident["store"], args.rounds)
        shapes, added = kernels.compare_shapes(program, scratch, args.rounds, args.scale)
        points = kernels.follow_sizes(program, scratch, min(args.rounds, 3), args.scale)

    peaks = {name: statistics.median(values) / MIB for name, values in raw_peaks.items()}
    pair_peaks = {name: statistics.median(values) / MIB for name, values in paired_peaks.items()}
    engine_mib = max(*added, *(p.compact_mib for p in points))
    goals = [
        *judge(find_medians(paired), find_medians(times), peaks, engine_mib),
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
        "pairs": tabulate(paired, pair_peaks),
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
