"""How fast the engine alone reads, and how little memory it needs, against limits.

The engine is `rust/bench`, a program of its own that is built here: one pass over one
file, timed from within. It stands beside `wc -l`, the streaming parser bufjson, and
serde_json behind a reader. Rounds are interleaved and begin with `sync`.

    python bench/kernels.py [--scale 0.1] [--rounds 7]

`make bench` calls it through `speed.py`, which puts everything into one table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import memory
from measure import GB, KIB, MB, MIB

from tailflip.demo.incident import INCIDENT_BYTES, write_incident

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    from measure import Measured

ROOT = Path(__file__).parent.parent
SHAPE_BYTES = 300 * MB
TEXT = b"All work and no play makes Jack a dull boy, all day long. "
CJK = "所有的工作没有玩耍让人变得迟钝".encode()


@dataclass(frozen=True)
class Goal:
    """One line of the table: `at_most` says which way is better."""

    what: str
    value: float
    limit: float
    aim: float | None
    unit: str
    at_most: bool = True

    def cells(self) -> list[str]:
        """Return the row of the table."""
        sign = "≤" if self.at_most else "≥"
        reached = self.value <= self.limit if self.at_most else self.value >= self.limit
        aim = "" if self.aim is None else f"{sign} {self.aim:g} {self.unit}"
        return [
            self.what,
            f"{sign} {self.limit:g} {self.unit}",
            aim,
            f"{self.value:.2f} {self.unit}",
            "met" if reached else "**missed**",
        ]


GOAL_HEADER = ("what", "at least", "aim", "measured", "")


def build() -> Path:
    """Build the program, and say where it is."""
    manifest = ROOT / "rust" / "bench" / "Cargo.toml"
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "--manifest-path", str(manifest)], check=True
    )
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "rust" / "bench" / "target")
    return Path(target) / "release" / "tailflip-bench"


def _repeat(head: bytes, block: bytes, tail: bytes) -> Callable[[BinaryIO, int], None]:
    def write(out: BinaryIO, size_bytes: int) -> None:
        piece = block * max(1, MIB // len(block))
        out.write(b'{"agent:main:main":{"updatedAt":1,"i":' + head)
        out.writelines(piece for _ in range(max(1, size_bytes // len(piece))))
        out.write(tail + b"}}")

    return write


# Name → how to write it, what must be reached and what is aimed at, GB/s.
SHAPES: dict[str, tuple[Callable[[BinaryIO, int], None], float, float | None]] = {
    "token-dense (6 tokens in 10 bytes)": (_repeat(b"[", b"[12,3456],", b"0]"), 0.8, 2),
    "token-denser (12 tokens in 14 bytes)": (_repeat(b"[", b'[1,2],{"a":0},', b"0]"), 0.8, 2),
    "tiny entries (about 50 bytes)": (lambda out, size: memory.write_tiny(out, size // 51), 0.7, 2),
    "one number of all digits": (_repeat(b"1", b"1234567890", b""), 0.3, 2),
    "an escape every 60 bytes": (_repeat(b'"', TEXT + rb"\"", b'"'), 2, None),
    "pure CJK": (_repeat(b'"', CJK, b'"'), 1.5, None),
    "one string": (_repeat(b'"', TEXT, b'"'), 2, None),
}


def time_rounds(
    commands: dict[str, Sequence[str]], rounds: int, env: Mapping[str, str] | None = None
) -> dict[str, list[Measured]]:
    """Run each once a round, with nothing left to be written to the disk."""

    def run(argv: Sequence[str]) -> Measured:
        os.sync()
        return measure.run(argv, env=env)

    return measure.race({name: partial(run, argv) for name, argv in commands.items()}, rounds)


def added_mib(runs: list[Measured]) -> float:
    """Return what a pass needed on top of the process that it ran in."""
    told = [json.loads(one.stdout) for one in runs]
    return statistics.median(one["peak_kib"] - one["before_kib"] for one in told) * KIB / MIB


def write_store(folder: Path, size_bytes: int) -> Path:
    made = write_incident(folder, size_bytes=size_bytes, now_ms=int(time.time() * 1000))
    return made["store"]


def compare_scans(program: Path, store: Path, rounds: int) -> tuple[list[Goal], list[list[str]]]:
    """Time the validating scan beside `wc -l` and its peers, and each kernel by itself."""
    kernels = [k for k in ("avx512", "avx2", "ssse3", "neon", "portable") if has_kernel(program, k)]
    commands = {
        "wc -l": ["wc", "-l", str(store)],
        "read only": [str(program), "read", str(store)],
        **{f"scan, {k}": [str(program), "scan", str(store), k] for k in kernels},
        "scan and digest": [str(program), "digest", str(store)],
        "survey": [str(program), "survey", str(store)],
        "bufjson": [str(program), "bufjson", str(store)],
        "serde_json, reader": [str(program), "serde", str(store)],
    }
    ran = time_rounds(commands, rounds)
    size = store.stat().st_size
    took = {name: measure.median_s(runs) for name, runs in ran.items()}
    rows = [
        [
            name,
            f"{took[name] * 1000:.1f}",
            f"{min(one.wall_s for one in ran[name]) * 1000:.1f}",
            f"{size / took[name] / GB:.2f}",
            f"{took[name] / took['wc -l']:.2f}",
            "" if name == "wc -l" else f"{added_mib(ran[name]):.1f}",
        ]
        for name in sorted(took, key=took.__getitem__)
    ]
    scan = took[f"scan, {kernels[0]}"]
    goals = [
        Goal("validating scan with fields against `wc -l`", scan / took["wc -l"], 3, 1.6, "x"),
        Goal("the same, faster than bufjson", took["bufjson"] / scan, 3, 4, "x", at_most=False),
        Goal(
            "the same, faster than serde_json from a reader",
            took["serde_json, reader"] / scan,
            6,
            10,
            "x",
            at_most=False,
        ),
    ]
    return goals, rows


def has_kernel(program: Path, kernel: str) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".json") as empty:
        empty.write(b"{}")
        empty.flush()
        argv = [str(program), "scan", empty.name, kernel]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0


SCAN_HEADER = ("pass", "median ms", "min ms", "GB/s", "x `wc -l`", "MiB added")


def compare_shapes(
    program: Path, folder: Path, rounds: int, scale: float
) -> tuple[list[Goal], list[float]]:
    """Time the scan of the worst shapes; return also what a survey of each adds in memory."""
    goals, added = [], []
    for name, (write, limit, aim) in SHAPES.items():
        store = folder / "shape.json"
        with store.open("wb", buffering=MIB) as out:
            write(out, int(SHAPE_BYTES * scale))
        size = store.stat().st_size
        commands = {
            "scan": [str(program), "scan", str(store)],
            "survey": [str(program), "survey", str(store)],
        }
        ran = time_rounds(commands, rounds)
        value = size / measure.median_s(ran["scan"]) / GB
        goals.append(Goal(f"scan of the shape: {name}", value, limit, aim, "GB/s", at_most=False))
        added.append(added_mib(ran["survey"]))
        store.unlink()
        print(f"{name}: {value:.2f} GB/s, {added[-1]:.1f} MiB", file=sys.stderr)
    return goals, added


@dataclass(frozen=True)
class Point:
    """One size of the curve."""

    size_bytes: int
    survey_s: float
    compact_s: float
    wc_s: float
    inspect_s: float
    survey_mib: float
    compact_mib: float


def follow_sizes(program: Path, folder: Path, rounds: int, scale: float) -> list[Point]:
    """Measure throughput and memory against size, up to 4 GB."""
    points = []
    for size_bytes in (int(n * scale) for n in (MB, 16 * MB, 64 * MB, 256 * MB, GB, 4 * GB)):
        store = write_store(folder / "state", size_bytes)
        home = folder / "out"
        home.mkdir(exist_ok=True)
        env = measure.tailflip_environment(folder / "home")
        commands = {
            "wc": ["wc", "-l", str(store)],
            "survey": [str(program), "survey", str(store)],
            "inspect": measure.tailflip("inspect", "--json", str(store)),
        }
        runs = time_rounds(commands, rounds, env)
        # Last, and once: it takes the store away.
        compact = measure.run([str(program), "compact", str(store), str(home), "all"])
        if compact.exit_code != 0:
            sys.exit(f"compact: {compact.stderr[-2000:]}")
        points.append(
            Point(
                size_bytes,
                measure.median_s(runs["survey"]),
                compact.wall_s,
                measure.median_s(runs["wc"]),
                measure.median_s(runs["inspect"]),
                added_mib(runs["survey"]),
                added_mib([compact]),
            )
        )
        print(f"{size_bytes / MB:,.0f} MB: {points[-1]}", file=sys.stderr)
    return points


def judge_sizes(points: list[Point], shapes_mib: list[float]) -> list[Goal]:
    added = [*shapes_mib, *(p.survey_mib for p in points), *(p.compact_mib for p in points)]
    # A store that fits into one buffer needs no thread to read ahead: it is not compared.
    large = [p for p in points if p.size_bytes > 2 * MB]
    most = [max(p.survey_mib, p.compact_mib) for p in large]
    last = points[-1]
    size = f"{last.size_bytes / GB:g} GB"
    return [
        Goal(
            "the engine's memory over its bare process, any shape and size", max(added), 8, 6, "MiB"
        ),
        Goal(
            f"spread of a compaction's peak, {large[0].size_bytes // MB} MB to {size}",
            max(most) - min(most),
            1,
            None,
            "MiB",
        ),
        Goal(
            f"`tailflip inspect` of {size} against `wc -l`",
            last.inspect_s / last.wc_s,
            3,
            None,
            "x",
        ),
        Goal("the survey in it against `wc -l`", last.survey_s / last.wc_s, 3, None, "x"),
    ]


CURVE_HEADER = (
    "store MB",
    "survey GB/s",
    "compaction GB/s",
    "survey MiB",
    "compaction MiB",
    "`inspect` s",
    "`wc -l` s",
)


def describe_sizes(points: list[Point]) -> list[list[str]]:
    return [
        [
            f"{p.size_bytes / MB:,.0f}",
            f"{p.size_bytes / p.survey_s / GB:.2f}",
            f"{p.size_bytes / p.compact_s / GB:.2f}",
            f"{p.survey_mib:.1f}",
            f"{p.compact_mib:.1f}",
            f"{p.inspect_s:.2f}",
            f"{p.wc_s:.2f}",
        ]
        for p in points
    ]


def draw(points: list[Point], picture: Path) -> None:
    """Draw throughput and memory against size; without matplotlib the old picture stays."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - of the bench extra
    except ModuleNotFoundError:
        print("no matplotlib: the picture is not drawn", file=sys.stderr)
        return
    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "tailflip"
    figure, (speed, memory_mib) = plt.subplots(1, 2, figsize=(10, 3.6))
    sizes = [p.size_bytes / MB for p in points]
    for label, values in (
        ("wc -l", [p.size_bytes / p.wc_s / GB for p in points]),
        ("survey", [p.size_bytes / p.survey_s / GB for p in points]),
        ("whole durable compaction", [p.size_bytes / p.compact_s / GB for p in points]),
    ):
        speed.plot(sizes, values, marker="o", label=label)
    for label, values in (
        ("survey", [p.survey_mib for p in points]),
        ("whole durable compaction", [p.compact_mib for p in points]),
    ):
        memory_mib.plot(sizes, values, marker="o", label=label)
    for axes, what in ((speed, "GB/s"), (memory_mib, "MiB over the bare process")):
        axes.set(xscale="log", xlabel="store, MB", ylabel=what, ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    memory_mib.set_ylim(0, 10)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 for a quick look")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    program = build()
    with tempfile.TemporaryDirectory(prefix="tailflip-bench-") as scratch:
        folder = Path(scratch)
        store = write_store(folder / "incident", int(INCIDENT_BYTES * args.scale))
        goals, rows = compare_scans(program, store, args.rounds)
        print(measure.table(SCAN_HEADER, rows))
        more, added = compare_shapes(program, folder, args.rounds, args.scale)
        points = follow_sizes(program, folder, args.rounds, args.scale)
    goals += [*more, *judge_sizes(points, added)]
    print(measure.table(CURVE_HEADER, describe_sizes(points)))
    print(measure.table(GOAL_HEADER, [goal.cells() for goal in goals]))


if __name__ == "__main__":
    main()
