"""How long a whole compaction takes, against copying the file and against the usual tools.

Rounds are interleaved and their order rotates, each run starts after `sync` on a warm
page cache, and every program is a process of its own. tailflip is measured twice: as
the command that a person runs, interpreter start and imports included, and by the seconds
of the work itself (survey, archive, rewrite, fsync, verify, rename).
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

import measure
import rivals
from measure import MB, MIB

from tailflip.demo.incident import write_incident

COPY = "cp + fsync"
COMMAND = "**tailflip compact --apply**"
WORK = "tailflip, without start-up"
ENGINE = Path(__file__).with_name("engine.py")
GOAL_TIMES_COPY = 4.0


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
    elif name == WORK:
        shutil.copyfile(store, target)
        argv = [sys.executable, str(ENGINE), str(target), str(scratch / "home")]
    elif name == COPY:
        argv = find_copy_argv(store, target)
    else:
        argv = rivals.find_argv(name, store, target) or []
    os.sync()
    ran = measure.run(argv, env=env)
    if ran.exit_code != 0:
        sys.exit(f"{name}: exit {ran.exit_code}\n{ran.stderr[-2000:]}")
    times.setdefault(name, []).append(float(ran.stdout) if name == WORK else ran.wall_s)
    peaks.setdefault(name, []).append(ran.peak_bytes)
    target.unlink()
    shutil.rmtree(scratch / "home", ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=185, help="size of the store (default 185)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="page whose section to write")
    args = parser.parse_args()
    times: dict[str, list[float]] = {}
    peaks: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="tailflip-bench-") as folder:
        scratch = Path(folder)
        incident = write_incident(
            scratch / "state", size_bytes=args.mb * MB, now_ms=int(time.time() * 1000)
        )
        store = incident["store"]
        everyone = [COPY, COMMAND, WORK, *(n for n in rivals.NAMES if n != "incident")]
        missing = [n for n in everyone[3:] if not rivals.find_argv(n, store, store)]
        everyone = [n for n in everyone if n not in missing]
        for number in range(args.rounds):
            for place in range(len(everyone)):
                run_once(everyone[(place + number) % len(everyone)], store, scratch, times, peaks)
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)

    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{min(times[name]):.3f}",
            f"{max(times[name]):.3f}",
            f"{statistics.median(peaks[name]) / MIB:,.0f}",
            f"{medians[name] / medians[COPY]:.2f}",
            f"{medians[name] / medians[COMMAND]:.2f}",
        ]
        for name in sorted(medians, key=medians.__getitem__)
    ]
    header = ["program", "median s", "min s", "max s", "peak MiB", "x cp + fsync", "x tailflip"]
    factor = medians[WORK] / medians[COPY]
    faster = [n for n in medians if n not in (COPY, WORK) and medians[n] < medians[COMMAND]]
    text = "\n".join(
        [
            (
                f"{incident['entries']:,} entries, {incident['bytes']:,} bytes, "
                f"medians of {args.rounds} rounds: {measure.machine()}.\n"
            ),
            measure.table(header, rows),
            *(f"\nNot on this machine: {name}." for name in missing),
            (
                f"\n- Goal, the work at most {GOAL_TIMES_COPY:g} x cp + fsync: {factor:.2f}, "
                f"{'met' if factor <= GOAL_TIMES_COPY else '**missed**'}."
            ),
            (
                f"- Goal, the command faster than every rival: "
                f"{'met' if not faster else '**missed**, behind ' + ', '.join(faster)}."
            ),
        ]
    )
    print(text)
    if args.out is not None:
        measure.write_section(args.out, "speed", text)


if __name__ == "__main__":
    main()
