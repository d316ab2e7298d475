"""Peak memory of a whole `tailflip compact --apply` for stores of every size and shape.

It must not depend on the store. Each store is written, compacted and deleted in turn,
so the disk holds one at a time, twice while it is rewritten. The bare process compacts a store of
two entries: everything is imported, and next to nothing done.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import agent_databases
import measure
from measure import GB, MB, MIB

from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GOAL_SPREAD_MIB = 4
GOAL_NATIVE_MIB = 16
GOAL_ROWS_MIB = 40
STALE = b'"agent:main:cron:j:run:%d": {"updatedAt":%d}'
CHUNK = b"All work and no play makes a dull entry. " * 25_600  # 1 MiB and a little


def write_text(out: BinaryIO, size_bytes: int) -> None:
    while size_bytes > 0:
        out.write(CHUNK[:size_bytes])
        size_bytes -= len(CHUNK)


def write_one_entry(out: BinaryIO, size_bytes: int, *, key: bytes) -> None:
    """Write one entry of many small values, beside a stale run so that there is work."""
    item = b'{"a":[1,2.5,null,true],"text":"some \\u00e9 \\"text\\" here"},\n'
    block = item * 20_000
    out.write(b'{"%s": {"updatedAt":1,"items":[\n' % key)
    out.writelines(block for _ in range(size_bytes // len(block)))
    out.write(b"0]},\n" + STALE % (0, 1) + b"}")


def write_one_string(out: BinaryIO, size_bytes: int) -> None:
    out.write(b'{"agent:main:main": {"updatedAt":1,"text":"')
    write_text(out, size_bytes)
    out.write(b'"},\n' + STALE % (0, 1) + b"}")


def write_tiny(out: BinaryIO, entries: int) -> None:
    """Write entries of 64 bytes or less; three of four are stale runs."""
    out.write(b"{")
    for start in range(0, entries, 10_000):
        lines = (
            STALE % (n, 1) if n % 4 else b'"agent:main:telegram:direct:%d": {"updatedAt":1}' % n
            for n in range(start, min(entries, start + 10_000))
        )
        out.write((b",\n" if start else b"\n") + b",\n".join(lines))
    out.write(b"\n}")


def write_least(store: Path) -> None:
    with store.open("wb") as out:
        write_tiny(out, 2)


def write_deep(out: BinaryIO, levels: int) -> None:
    out.write(b'{"agent:main:main": ' + b"[" * levels + b"]" * levels + b"}")


def cases(scale: float) -> dict[str, Callable[[Path], object]]:
    """Name each store and how to write it; `scale` shrinks all of them alike."""

    def incident(size_bytes: int) -> Callable[[Path], object]:
        def write(store: Path) -> None:
            state = store.parent / "state"
            size = int(size_bytes * scale)
            made = write_incident(state, size_bytes=size, now_ms=int(time.time() * 1000))
            made["store"].rename(store)
            shutil.rmtree(state)

        return write

    def plain(write: Callable[[BinaryIO], None]) -> Callable[[Path], object]:
        def to_file(store: Path) -> None:
            with store.open("wb", buffering=MIB) as out:
                write(out)

        return to_file

    big = int(GB * scale)
    stale = b"agent:main:cron:j:run:1"
    return {
        "incident mix, 64 MB": incident(64 * MB),
        "incident mix, 1 GB": incident(GB),
        "incident mix, 4 GB": incident(4 * GB),
        "one entry of 1 GB, kept": plain(
            lambda out: write_one_entry(out, big, key=b"agent:main:main")
        ),
        "one entry of 1 GB, removed": plain(lambda out: write_one_entry(out, big, key=stale)),
        "one string of 1 GB": plain(lambda out: write_one_string(out, big)),
        "20 M entries of < 64 B": plain(lambda out: write_tiny(out, int(20_000_000 * scale))),
        "1 M levels deep": plain(lambda out: write_deep(out, int(1_000_000 * scale))),
    }


def find_median(
    file: str, write: Callable[[Path], object], runs: int
) -> tuple[measure.Measured, int]:
    """Compact a fresh store several times; returns the run of median peak, and the store's size."""
    measured: list[measure.Measured] = []
    size = 0
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="tailflip-memory-") as folder:
            store = Path(folder) / file
            write(store)
            size = store.stat().st_size
            env = measure.tailflip_environment(Path(folder) / "home")
            # Without a limit that bites, no second survey looks for a policy that fits.
            argv = measure.tailflip("compact", "--apply", "--heap-limit", "1000GB", str(store))
            measured.append(measure.run(argv, env=env))
    return sorted(measured, key=lambda one: one.peak_bytes)[len(measured) // 2], size


def measure_spread(peaks: Sequence[float]) -> float:
    return max(peaks, default=0) - min(peaks, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="0.01 for a quick look")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--runs", type=int, default=1, help="runs of each; the median counts")
    parser.add_argument("--out", type=Path, help="page whose section to write")
    args = parser.parse_args()
    bare, _ = find_median("sessions.json", write_least, args.runs)
    if bare.exit_code != 0:
        sys.exit(bare.stderr)
    bare_mib = bare.peak_bytes / MIB
    rows = [["bare process", "", f"{bare.wall_s:.2f}", f"{bare_mib:.1f}", "", "0"]]
    stores = {name: ("sessions.json", write) for name, write in cases(args.scale).items()}
    databases = {
        name: ("openclaw-agent.sqlite", partial(write, share=args.scale))
        for name, write in agent_databases.KINDS.items()
    }
    peaks: dict[str, float] = {}
    for name, (file, write) in (stores | databases).items():
        if args.only in name:
            ran, size = find_median(file, write, args.runs)
            peaks[name] = ran.peak_bytes / MIB
            rows.append(
                [
                    name,
                    f"{size / MB:,.1f}",
                    f"{ran.wall_s:.2f}",
                    f"{peaks[name]:.1f}",
                    f"{peaks[name] - bare_mib:+.1f}",
                    str(ran.exit_code),
                ]
            )
            print(f"{name}: {peaks[name]:.1f} MiB", file=sys.stderr)
            if ran.exit_code not in (0, 65):
                sys.exit(f"{name}: exit {ran.exit_code}\n{ran.stderr[-2000:]}")
    of_files = [peak for name, peak in peaks.items() if name in stores]
    of_rows = [peaks[name] for name in agent_databases.ROWS if name in peaks]
    of_databases = [peak for name, peak in peaks.items() if name in databases]
    goals = (
        ("peaks of files differ by", measure_spread(of_files), GOAL_SPREAD_MIB),
        ("files over the bare process", max(of_files, default=0) - bare_mib, GOAL_NATIVE_MIB),
        ("peaks of few and of many rows differ by", measure_spread(of_rows), GOAL_SPREAD_MIB),
        ("databases over the bare process", max(of_databases, default=0) - bare_mib, GOAL_ROWS_MIB),
    )
    told = [
        f"- Goal, {what} at most {limit} MiB: {value:.1f}, "
        f"{'met' if value <= limit else '**missed**'}."
        for what, value, limit in goals
    ]
    table = measure.table(["store", "MB", "wall s", "peak MiB", "over bare", "exit"], rows)
    text = "\n".join([f"{measure.machine()}.\n", table, "", *told])
    print(text)
    if args.out is not None:
        measure.write_section(args.out, "memory", text)


if __name__ == "__main__":
    main()
