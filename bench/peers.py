"""Compare what tailflip, OpenClaw's own commands and common scripts make of the incident.

Writes docs/comparison.md. Each program gets a fresh copy of the same state directory and
does to it what its users would have it do; afterwards the store is read with a plain JSON
parser and counted. Nothing in the table is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
import rivals
from measure import MB, MIB

from tailflip.demo.incident import INCIDENT_BYTES, write_incident

ROOT = Path(__file__).resolve().parent.parent
# The real gateway is installed and configured by the code that the gateway tests use.
sys.path.insert(0, str(ROOT / "tests" / "gateway"))
import real_gateway  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 3
VERSIONS = ("2026.3.28", "2026.4.14")
OPENCLAW = ("sessions cleanup --enforce", "doctor --fix --non-interactive")
SCRIPTS = {
    "incident": "the incident's script (json, drops the last 36 h)",
    "json": "Python json, drops all runs",
    "ijson": "Python ijson, drops all runs",
    "jq": "jq, drops all runs",
}
TAILFLIP = "**tailflip compact --apply**"


@dataclass
class Row:
    """One program's outcome; walls and peaks of all its runs, contents of the last."""

    name: str
    walls_s: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    exit_code: int = 0
    failure: str = ""
    store: dict[str, Any] = field(default_factory=dict)
    store_bytes: int = 0
    mode: int = 0
    undo: str = "no"

    @property
    def result(self) -> str:
        """What became of the last run, in two words."""
        return self.failure or (f"exit {self.exit_code}" if self.exit_code else "ok")

    @property
    def wall_s(self) -> float:
        """Median over the runs."""
        return statistics.median(self.walls_s)

    @property
    def peak_mib(self) -> float:
        """Median over the runs."""
        return statistics.median(self.peaks) / MIB


@dataclass(frozen=True)
class Bench:
    """The pristine state directory, and what must survive it."""

    scratch: Path
    pristine: Path
    original: dict[str, Any]

    @property
    def important(self) -> dict[str, Any]:
        """Chats and base entries: everything that is not one run of a cron job."""
        return {key: entry for key, entry in self.original.items() if ":run:" not in key}

    def fresh_state(self) -> Path:
        """Return a new copy of the pristine state directory; the last one is gone.

        Each has a path of its own: a process that outlives its program, as the gateway's
        may, must not find the next program's files under a name that it knows.
        """
        for old in self.scratch.glob("work-*"):
            shutil.rmtree(old, ignore_errors=True)
        state = Path(tempfile.mkdtemp(prefix="work-", dir=self.scratch)) / "state"
        shutil.copytree(self.pristine, state)
        return state


def store_of(state: Path) -> Path:
    return state / "agents" / "main" / "sessions" / "sessions.json"


def note(row: Row, ran: measure.Measured, state: Path) -> None:
    store = store_of(state)
    row.walls_s.append(ran.wall_s)
    row.peaks.append(ran.peak_bytes)
    row.exit_code = ran.exit_code
    if real_gateway.HEAP_DEATH in ran.stderr:
        row.failure = "out of memory"
    try:
        row.store = json.loads(store.read_bytes())
        row.store_bytes = store.stat().st_size
        row.mode = store.stat().st_mode & 0o777
    except (OSError, ValueError):
        row.store, row.store_bytes, row.mode = {}, 0, 0
        row.failure = row.failure or "left no store"


def run_tailflip(bench: Bench, node: Path | None) -> Row:
    """Compact, then really undo it: the claim in the table is checked, not made."""
    row = Row(TAILFLIP)
    for _ in range(RUNS):
        state = bench.fresh_state()
        env = measure.tailflip_environment(state.parent / "home")
        if node is not None:
            env["PATH"] = f"{node.parent}:{env['PATH']}"
        everything = ("--state-dir", str(state), "--apply", "--json")
        ran = measure.run(measure.tailflip("compact", *everything), env=env)
        if ran.exit_code != 0:
            sys.exit(f"tailflip failed with exit {ran.exit_code}: {ran.stderr}")
        note(row, ran, state)
    action = json.loads(ran.stdout)["reports"][0]["action_id"]
    undone = measure.run(measure.tailflip("restore", action, "--apply"), env=env)
    same = json.loads(store_of(state).read_bytes()) == bench.original
    row.undo = f"one command; {'checked, equal' if same else 'NOT EQUAL'} ({undone.wall_s:.1f} s)"
    return row


def run_openclaw(bench: Bench, install: real_gateway.Install, *args: str) -> Row:
    row = Row(f"{install.version} `openclaw {' '.join(args)}`")
    state = bench.fresh_state()
    real_gateway.configure(state)
    program = [str(install.node), str(install.package / "openclaw.mjs"), *args]
    note(row, measure.run(program, env=install.environment(state)), state)
    if list(store_of(state).parent.glob("sessions.json.bak.*")):
        row.undo = "whole file, by hand (`.bak`)"
    return row


def run_script(bench: Bench, name: str) -> Row | None:
    row = Row(SCRIPTS[name])
    for _ in range(RUNS):
        state = bench.fresh_state()
        store = store_of(state)
        target = store.with_name("new.json")
        argv = rivals.find_argv(name, store, target)
        if argv is None:
            return None
        ran = measure.run(argv)
        if ran.exit_code == 0 and target.exists():
            target.rename(store)
        elif ran.exit_code == 0:
            row.failure = "wrote nothing"
        note(row, ran, state)
        if row.result != "ok":
            print(f"{row.name}: {row.result}: {ran.stderr.strip()[-400:]}", file=sys.stderr)
            break
    return row


def format_row(row: Row, bench: Bench) -> list[str]:
    same = sum(row.store.get(key) == entry for key, entry in bench.important.items())
    running = sum(e.get("status") == "running" for e in row.store.values())
    unchanged = row.store == bench.original
    return [
        row.name,
        f"{same} of {len(bench.important)}",
        f"{len(row.store):,}",
        f"{running:,}",
        "unchanged" if unchanged else f"{row.store_bytes / MB:.2f}",
        f"{row.wall_s:.2f}",
        f"{row.peak_mib:,.0f}",
        row.result,
        "-" if unchanged else f"{row.mode:03o}",
        "-" if unchanged else row.undo,
    ]


HEADER = [
    "program",
    "entries that matter kept",
    "kept in all",
    "still `running`",
    "MB after",
    "wall s",
    "peak MiB",
    "result",
    "mode",
    "undo",
]

PAGE = """# Comparison on the incident

Made by `make peers`: {machine}.

The store is the incident's: {entries:,} entries in {size_mb:.0f} MB, {runs:,} of them single cron
runs, {running:,} of which claim to be running although nothing runs. {matter} entries matter: the
chats and the base entry of each job, idle for three days. No gateway was running. Every
program started from a fresh copy of the same state directory. OpenClaw's own commands
ran once, with V8's default heap, the others {count} times (medians). Peak is that of the largest
process; below about 10 MiB it is the measurement's own floor.

{table}
{missing}
How to read it:

- *Entries that matter kept* counts entries whose content is exactly what it was.
- tailflip keeps finished runs that are younger than OpenClaw's own retention (24 hours),
  without the two fields that the gateway rebuilds. The scripts drop every run, so they
  keep less and write less.
- tailflip's time includes finding the installation, archiving what leaves the store, and
  reading the new store once more before it takes the old one's place.
- The scripts lock, archive, sync and verify nothing. They leave the file readable to everybody
  unless told otherwise. A crash of theirs at the wrong moment is yours.
- `sessions cleanup` keeps the 500 newest entries, whatever they are. Chats that were used
  after the noise began would be among them; here the noise is newer.
- The incident's script cut by age alone, with a time that somebody had read off the log.
  A chat that was used in those 36 hours would have gone with the noise.
- `doctor --fix` repairs other things; it is here because it is what one tries.
- {verdict}
"""


def write_verdict(rows: list[Row], original: dict[str, Any]) -> str:
    """Say plainly who was faster or smaller than tailflip, among those that did something."""
    own, *others = rows
    done = [r for r in others if r.result == "ok" and r.store != original]
    faster = [f"{r.name} ({r.wall_s:.2f} s)" for r in done if r.wall_s < own.wall_s]
    smaller = [f"{r.name} ({r.peak_mib:.0f} MiB)" for r in done if r.peak_mib < own.peak_mib]
    return (
        f"Of those that changed the store, faster than tailflip ({own.wall_s:.2f} s): "
        f"{'; '.join(faster) or 'none'}; smaller in memory ({own.peak_mib:.0f} MiB): "
        f"{'; '.join(smaller) or 'none'}."
    )


def find_installs() -> tuple[list[real_gateway.Install], list[str]]:
    found, missing = [], []
    for version in VERSIONS:
        try:
            found.append(real_gateway.install(version))
        except real_gateway.NotInstallable as error:
            missing.append(f"OpenClaw {version}: {error}")
    return found, missing


def run_all(bench: Bench, installs: list[real_gateway.Install]) -> Iterator[tuple[str, Row | None]]:
    yield "tailflip", run_tailflip(bench, installs[0].node if installs else None)
    for install in installs:
        for words in OPENCLAW:
            yield f"{install.version} {words}", run_openclaw(bench, install, *words.split())
    for name in SCRIPTS:
        yield name, run_script(bench, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=INCIDENT_BYTES // MB)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "comparison.md")
    args = parser.parse_args()
    installs, missing = find_installs()
    with tempfile.TemporaryDirectory(prefix="tailflip-peers-") as folder:
        scratch = Path(folder)
        pristine = scratch / "pristine"
        incident = write_incident(pristine, size_bytes=args.mb * MB, now_ms=int(time.time() * 1000))
        original = json.loads(incident["store"].read_bytes())
        bench = Bench(scratch=scratch, pristine=pristine, original=original)
        rows = []
        for name, row in run_all(bench, installs):
            print(name, file=sys.stderr)
            if row is None:
                missing.append(name)
            else:
                rows.append(row)
        lines = [format_row(row, bench) for row in rows]
    page = PAGE.format(
        machine=measure.machine(),
        entries=len(original),
        size_mb=incident["bytes"] / MB,
        runs=len(original) - len(bench.important),
        running=sum(e.get("status") == "running" for e in original.values()),
        matter=len(bench.important),
        count=RUNS,
        table=measure.table(HEADER, lines),
        missing="".join(f"\nNot on this machine: {what}.\n" for what in missing),
        verdict=write_verdict(rows, original),
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
