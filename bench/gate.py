"""How much later a healthy gateway starts because `tailflip gate` stands in front of it.

The gateway is `true` and its store is 1 MB, so that nothing is measured but us. Beside it,
in the same rounds and with their order changing, an interpreter that only imports pydantic,
which every program on it must: how much of the time is ours, whatever the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import measure
from measure import MB

from tailflip.demo.incident import write_incident

GATE, IMPORT, BARE = "tailflip gate -- true", "python -c 'import pydantic'", "true"
GOAL_MS = 300.0
GOAL_TIMES_IMPORT = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--out", type=Path, help="page whose section to write")
    args = parser.parse_args()
    programs = {
        GATE: measure.tailflip("gate", "--", "true"),
        IMPORT: [sys.executable, "-c", "import pydantic"],
        BARE: ["true"],
    }
    with tempfile.TemporaryDirectory(prefix="tailflip-gate-") as folder:
        state = Path(folder) / "state"
        store = write_incident(state, size_bytes=MB, now_ms=int(time.time() * 1000))["store"]
        env = measure.tailflip_environment(Path(folder) / "home") | {
            "HOME": folder,
            "OPENCLAW_STATE_DIR": str(state),
        }
        # Heals the store, makes the ledger, asks node for its heap.
        first = measure.run(programs[GATE], env=env)
        healthy = store.read_bytes()
        ran = measure.race(
            {name: partial(measure.run, argv, env=env) for name, argv in programs.items()},
            args.rounds,
        )
        if store.read_bytes() != healthy:
            sys.exit("the store was meant to be healthy, and was changed")
    times = {name: [one.wall_s * 1000 for one in runs] for name, runs in ran.items()}
    rows = [
        [name, *(f"{value:.0f}" for value in (statistics.median(ms), min(ms), max(ms)))]
        for name, ms in times.items()
    ]
    gate_ms = statistics.median(times[GATE])
    ratio = gate_ms / statistics.median(times[IMPORT])
    met = gate_ms <= GOAL_MS and ratio <= GOAL_TIMES_IMPORT
    goals = (
        f"- Goal, median at most {GOAL_MS:.0f} ms: {gate_ms:.0f}; and at most "
        f"{GOAL_TIMES_IMPORT:.0f} times the import: {ratio:.1f}; {'met' if met else '**missed**'}."
    )
    table = measure.table(["whole process, ms", "median", "least", "most"], rows)
    began = f"The very first start took {first.wall_s * 1000:.0f} ms."
    text = f"{measure.machine()}. {args.rounds} rounds. {began}\n\n{table}\n\n{goals}"
    print(text)
    if args.out is not None:
        measure.write_section(args.out, "gate", text)
    if not met:
        sys.exit(1)


if __name__ == "__main__":
    main()
