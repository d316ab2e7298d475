"""How fast the engine of agents' databases is, against what SQLite itself needs for the bytes.

    python bench/databases.py [--rounds N] [--out PAGE]
    python bench/databases.py survey|fill|compact|vacuum DATABASE [HOME]

The second form does one piece of work on a database and prints the seconds of it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import measure
from agent_databases import PLACE, make_imported
from kernels import GOAL_HEADER, Goal
from measure import MB, MIB
from speed import find_copy_argv

from support.agent_database import connect
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Evidence, Gateway, Store
from tailflip.plan.policy import Policy
from tailflip.stores.sqlite.engine import SQLITE
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from measure import Measured

COPY = "cp + fsync"
INSPECT, COMPACT = "**tailflip inspect**", "**tailflip compact --apply**"
WORK = {
    "VACUUM INTO": "vacuum",
    "survey": "survey",
    "what fills it": "fill",
    "whole compaction": "compact",
}
NOBODY = Gateway(alive=False, pid=None, started_ms=None, evidence="a benchmark")
DAY_MS = 86_400_000


def do_work(kind: str, path: Path, home: Path) -> float:
    """Do a piece of work; return the seconds it took."""
    began = time.monotonic()
    if kind == "vacuum":
        target = path.with_name("vacuumed")
        with closing(connect(path)) as db:
            db.execute("VACUUM INTO ?", (str(target),))
        with target.open("rb") as file:
            os.fsync(file.fileno())
        target.unlink()
    elif kind == "survey":
        SQLITE.survey(path, Policy(), Evidence(gateway=NOBODY), clock.now_ms())
    elif kind == "fill":
        SQLITE.describe_fill(path, clock.now_ms(), DAY_MS)
    else:
        report = compact_store(
            Store(path, agent_id=None),
            Policy(),
            Evidence(gateway=NOBODY),
            workspace=Workspace(Home(home), RealDisk()),
            now_ms=clock.now_ms(),
        )
        if not report.action_id:
            sys.exit("there was nothing to do")
    return time.monotonic() - began


def run_once(name: str, made: Path, scratch: Path) -> Measured:
    """Run one program on a fresh copy, in the page cache, with nothing left to be written."""
    path, home = scratch / "state" / PLACE, scratch / "home"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)
    os.sync()
    if name == COPY:
        argv = find_copy_argv(path, scratch / "copy")
    elif name == INSPECT:
        argv = measure.tailflip("inspect", str(path))
    elif name == COMPACT:
        argv = measure.tailflip("compact", "--apply", "--heap-limit", "1000GB", str(path))
    else:
        argv = [sys.executable, __file__, WORK[name], str(path), str(home)]
    ran = measure.run(argv, env=measure.tailflip_environment(home))
    shutil.rmtree(scratch / "state")
    shutil.rmtree(home, ignore_errors=True)
    (scratch / "copy").unlink(missing_ok=True)
    if name in WORK and ran.exit_code == 0:
        return replace(ran, wall_s=float(ran.stdout))
    return ran


def judge(medians: dict[str, float]) -> list[Goal]:
    yardstick = medians["VACUUM INTO"] + medians[COPY]
    return [
        Goal(f"{what} against VACUUM INTO and cp", medians[name] / yardstick, limit, aim, "x")
        for name, what, limit, aim in (
            ("survey", "survey of a database", 3, 1.5),
            ("what fills it", "what fills a database", 3, 1.5),
            ("whole compaction", "whole durable compaction of a database", 12, 6),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the incident")
    parser.add_argument("--out", type=Path, help="page whose section to write")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tailflip-bench-") as folder:
        scratch = Path(folder)
        made = scratch / "made.sqlite"
        make_imported(made, args.share)
        size = made.stat().st_size
        names = [COPY, *WORK, INSPECT, COMPACT]
        ran = measure.race(
            {name: partial(run_once, name, made, scratch) for name in names}, args.rounds
        )
    medians = {name: measure.median_s(runs) for name, runs in ran.items()}
    yardstick = medians["VACUUM INTO"] + medians[COPY]
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{min(one.wall_s for one in ran[name]):.3f}",
            f"{max(one.wall_s for one in ran[name]):.3f}",
            f"{statistics.median(one.peak_bytes for one in ran[name]) / MIB:,.0f}",
            f"{medians[name] / yardstick:.2f}",
        ]
        for name in sorted(medians, key=medians.__getitem__)
    ]
    header = ["program", "median s", "min s", "max s", "peak MiB", "x VACUUM INTO and cp"]
    about = (
        f"{size / MB:,.0f} MB, SQLite {sqlite3.sqlite_version}, medians of {args.rounds} rounds: "
        f"{measure.machine()}; {load:.1f} processes wanted to run at the start"
    )
    text = "\n\n".join(
        [
            about,
            measure.table(GOAL_HEADER, [goal.cells() for goal in judge(medians)]),
            measure.table(header, rows),
        ]
    )
    print(text)
    if args.out is not None:
        measure.write_section(args.out, "databases", text)


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] in WORK.values():
        print(do_work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
    else:
        main()
