"""Run one command and tell how long it took and how much memory its processes peaked at.

The command is started by a tiny interpreter of its own: a process inherits the peak of
whoever forked it, so a large benchmark would hide what a small program needs. What is
left of that effect is a floor of about 10 MiB, `FLOOR` in the tables.

On a virtual machine the hypervisor may take the cores away in the middle of a run, and a
program that uses two of them loses most. The kernel counts that as steal: a run that lost
more than a twentieth of its time is repeated, whoever ran, and the calmest run counts.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MB = 1_000_000
GB = 1_000_000_000
KIB = 1 << 10
MIB = 1 << 20

_CALM_SHARE = 0.05
_TRIES = 3

# The eighth number of the first line, proc_stat(5): ticks of all cores together.
_LAUNCHER = """
import json, os, resource, sys, time
def find_stolen_s():
    try:
        with open("/proc/stat") as stat:
            return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0
stolen, began = find_stolen_s(), time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
status = os.waitpid(pid, 0)[1]
took, stolen = time.monotonic() - began, find_stolen_s() - stolen
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
scale = 1 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "w") as out:
    answer = {"wall_s": took, "stolen_s": stolen, "peak_bytes": peak * scale, "status": status}
    json.dump(answer, out)
"""


@dataclass(frozen=True)
class Measured:
    """One run: `exit_code` is negative for a signal, as in `subprocess`.

    `stolen_s` is what the hypervisor took meanwhile, of all cores together; 0 where the
    kernel does not tell.
    """

    wall_s: float
    stolen_s: float
    peak_bytes: int
    exit_code: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout_s: float = 1_800
) -> Measured:
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer"
        out, err = Path(scratch) / "out", Path(scratch) / "err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(answer), *argv],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                check=True,
                timeout=timeout_s,
            )
        told = json.loads(answer.read_text())
        return Measured(
            wall_s=told["wall_s"],
            stolen_s=told["stolen_s"],
            peak_bytes=told["peak_bytes"],
            exit_code=os.waitstatus_to_exitcode(told["status"]),
            stdout=out.read_text(errors="replace"),
            stderr=err.read_text(errors="replace"),
        )


def race(programs: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Measure each once a round, in an order of its own each time: neighbours matter."""
    ran: dict[str, list[Measured]] = defaultdict(list)
    for number in range(rounds):
        order = list(programs)
        random.Random(number).shuffle(order)
        for name in order:
            ran[name].append(_find_calm(name, programs[name]))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return ran


def _find_calm(name: str, program: Callable[[], Measured]) -> Measured:
    runs: list[Measured] = []
    while len(runs) < _TRIES:
        runs.append(program())
        if runs[-1].exit_code != 0:
            sys.exit(f"{name}: exit {runs[-1].exit_code}\n{runs[-1].stderr[-2000:]}")
        if runs[-1].stolen_s <= _CALM_SHARE * runs[-1].wall_s:
            break
    return min(runs, key=lambda one: one.stolen_s / one.wall_s)


def median_s(runs: Iterable[Measured]) -> float:
    return statistics.median(one.wall_s for one in runs)


def find_stolen_share(runs: Iterable[Measured]) -> float:
    """Return what the hypervisor took of the runs that count, as a part of their time."""
    counted = list(runs)
    return sum(one.stolen_s for one in counted) / sum(one.wall_s for one in counted)


def tailflip(*args: str) -> list[str]:
    return [sys.executable, "-m", "tailflip", *args]


def tailflip_environment(home: Path) -> dict[str, str]:
    """Return an environment in which tailflip keeps its archive below `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENCLAW_")}
    # An installed package has its byte code on disk; an editable one must be let to write it.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"TAILFLIP_STATE_DIR": str(home), "NO_COLOR": "1"}


def machine() -> str:
    """Describe day and machine in one line, for whoever compares two tables."""
    return (
        f"{datetime.now(UTC).date().isoformat()}; {platform.system()} {platform.release()}, "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n{text}\n{rest[rest.index(end) :]}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table whose columns also line up in a terminal."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        # The first column is a name, the others are mostly numbers.
        padded = [
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        ("-" * (w + 2)) if i == 0 else ("-" * (w + 1) + ":") for i, w in enumerate(widths)
    )
    return "\n".join([line(header), f"|{rule}|", *map(line, rows)])
