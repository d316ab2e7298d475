"""Peak memory and time of every verb, for two sizes of an installation.

All entries say "running" and are dead. In one installation no ledger knows of them, in the
other the run logs have an end of each. Verbs that
undo come after a compaction that took everything. Neither the peak nor the time of an entry
may depend on how many there are.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import measure
from measure import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GOAL_SPREAD_MIB = 4
GOAL_TIME = 1.3
SIZES = (10_000, 1_000_000)
HOUR_MS = 3_600_000
JOBS = 20
READING = (
    ("check",),
    ("inspect",),
    ("status",),
    ("tasks",),
    ("compact",),
    ("reconcile",),
    ("reconcile", "--json"),
)
WRITING = (("preflight",), ("watch", "--rounds", "1"), ("reconcile", "--apply"))


def write_runs(state: Path, count: int, *, ended: bool) -> None:
    """Write an installation whose store has `count` runs that say "running", two hours old."""
    sessions, logs = state / "agents/main/sessions", state / "cron/runs"
    sessions.mkdir(parents=True)
    logs.mkdir(parents=True)
    schedule = {"kind": "every", "everyMs": 900_000}
    jobs = [{"id": f"job-{n}", "name": f"job {n}", "schedule": schedule} for n in range(JOBS)]
    (state / "cron/jobs.json").write_text(json.dumps({"version": 1, "jobs": jobs}))
    first_ms = int(time.time() * 1000) - 2 * HOUR_MS - count * 10
    lines = [(logs / f"job-{n}.jsonl").open("w") for n in range(JOBS if ended else 0)]
    with (sessions / "sessions.json").open("w") as store:
        for n in range(count):
            session, job, at = (
                f"{n:08x}-0000-4000-8000-{n:012x}",
                f"job-{n % JOBS}",
                first_ms + n * 10,
            )
            key = f"agent:main:cron:{job}:run:{session}"
            entry = {"sessionId": session, "updatedAt": at, "startedAt": at, "status": "running"}
            store.write(
                ("{\n  " if n == 0 else ",\n  ") + f"{json.dumps(key)}: {json.dumps(entry)}"
            )
            if lines:
                line = {"ts": at + 90, "jobId": job, "action": "finished", "status": "ok"}
                line |= {"sessionId": session, "sessionKey": key, "runAtMs": at, "durationMs": 90}
                lines[n % JOBS].write(json.dumps(line) + "\n")
        store.write("\n}\n")
    for file in lines:
        file.close()


def run_verbs(folder: Path, count: int, *, ended: bool) -> Iterator[tuple[str, measure.Measured]]:
    """Run every verb on an installation of one size; those that write, each on a fresh copy."""
    state = folder / "state"
    write_runs(state, count, ended=ended)

    def run(verb: tuple[str, ...], where: Path, home: str) -> measure.Measured:
        env = measure.tailflip_environment(folder / home)
        return measure.run(measure.tailflip(*verb), env={**env, "OPENCLAW_STATE_DIR": str(where)})

    for verb in READING:
        yield " ".join(verb), run(verb, state, "reading")
    for number, verb in enumerate(WRITING):
        copy = folder / "copy"
        shutil.copytree(state, copy)
        yield " ".join(verb), run(verb, copy, f"writing-{number}")
        shutil.rmtree(copy)
    take = ("compact", "--apply", "--max-lifetime", "1h", "--retention", "1h")
    yield "compact --apply", run(take, state, "undo")
    listed = json.loads(run(("archive", "list", "--json"), state, "undo").stdout)
    action = listed["actions"][0]["id"]
    for verb in (
        ("archive", "list"),
        ("archive", "show", action),
        ("archive", "verify", action),
        ("restore", action, "--apply"),
    ):
        yield " ".join(word for word in verb if word != action), run(verb, state, "undo")


def measure_all(sizes: tuple[int, int], only: str) -> dict[tuple[str, str], list[measure.Measured]]:
    found: dict[tuple[str, str], list[measure.Measured]] = {}
    for name, ended in (("no end is known", False), ("all have an end", True)):
        if only not in name:
            continue
        for count in sizes:
            with tempfile.TemporaryDirectory(prefix="tailflip-verbs-") as folder:
                for verb, ran in run_verbs(Path(folder), count, ended=ended):
                    print(
                        f"{name}, {count:,}: {verb}: {ran.peak_bytes / MIB:.1f} MiB, "
                        f"{ran.wall_s:.1f} s",
                        file=sys.stderr,
                    )
                    if ran.exit_code not in (0, 1):
                        sys.exit(f"{verb}: exit {ran.exit_code}\n{ran.stderr[-2000:]}")
                    found.setdefault((name, verb), []).append(ran)
    return found


def tell(found: Mapping[tuple[str, str], list[measure.Measured]], sizes: tuple[int, int]) -> str:
    small, large = sizes
    rows, missed = [], []
    for (name, verb), (one, other) in found.items():
        spread = abs(other.peak_bytes - one.peak_bytes) / MIB
        linear = other.wall_s / (one.wall_s * large / small)
        if spread > GOAL_SPREAD_MIB or linear > GOAL_TIME:
            missed.append(f"`{verb}`, {name}")
        rows.append(
            [
                f"`{verb}`, {name}",
                f"{one.peak_bytes / MIB:.1f}",
                f"{other.peak_bytes / MIB:.1f}",
                f"{one.wall_s:.2f}",
                f"{other.wall_s:.2f}",
            ]
        )
    head = ["verb", f"MiB, {small:,}", f"MiB, {large:,}", f"s, {small:,}", f"s, {large:,}"]
    goal = f"peaks differ by at most {GOAL_SPREAD_MIB} MiB, time at most {GOAL_TIME} x linear"
    return "\n".join(
        [
            f"{measure.machine()}.\n",
            measure.table(head, rows),
            f"\n- Goal, {goal}: {'met' if not missed else '**missed** by ' + ', '.join(missed)}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 for a quick look")
    parser.add_argument("--only", default="", help="only installations whose name contains this")
    parser.add_argument("--out", type=Path, help="page whose section to write")
    args = parser.parse_args()
    sizes = (SIZES[0], max(SIZES[0] + 1, int(SIZES[1] * args.scale)))
    text = tell(measure_all(sizes, args.only), sizes)
    print(text)
    if args.out is not None:
        measure.write_section(args.out, "verbs", text)


if __name__ == "__main__":
    main()
