"""What `tailflip run` itself costs while it guards a gateway that sits still.

A fake gateway that answers and does nothing else is guarded by the real thing with its
default settings, but that its life counts as good, which is put on record once, before we look.
Only our own process is measured, and Linux keeps the books. A thread
that lives for one question is in the processor time, and its waking is the first thread's.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import psutil
from measure import MB, MIB

from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from collections.abc import Sequence

FAKE = Path(__file__).parents[1] / "tests" / "fakes" / "fake_gateway.py"
GOAL_RSS_MIB = 45.0
GOAL_CPU_PERCENT = 0.2
GOAL_WAKES_PER_S = 2.0
READY_S = 60
GOOD_LIFE_S = 5
SETTLE_S = 10  # what belongs to the start is over
LOOK_S = 5


@dataclass(frozen=True)
class Books:
    """What the kernel says of the process at one moment; `wakes` are of each of its threads."""

    at_s: float
    cpu_s: float
    rss_bytes: int
    wakes: dict[str, int]
    written_bytes: int
    ledger: tuple[tuple[str, int, int], ...]


def read_books(process: psutil.Process, home: Path) -> Books:
    cpu = process.cpu_times()
    files = sorted(path for path in home.rglob("ledger*") if path.is_file())
    return Books(
        at_s=time.monotonic(),
        cpu_s=cpu.user + cpu.system,
        rss_bytes=process.memory_info().rss,
        wakes=read_wakes(process.pid),
        written_bytes=process.io_counters().write_bytes,
        ledger=tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in files),
    )


def read_wakes(pid: int) -> dict[str, int]:
    """Read how often each thread was put on a processor, of its own will or not."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            lines = (task / "status").read_text().splitlines()
            found[task.name] = sum(
                int(line.split()[1]) for line in lines if "ctxt_switches" in line
            )
    return found


def wait_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_S
    while "gateway answers" not in log.read_text():
        if process.poll() is not None or time.monotonic() > until:
            sys.exit(f"the gateway never answered:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
    time.sleep(SETTLE_S)


def measure_idle(argv: Sequence[str], env: dict[str, str], folder: Path, span_s: float) -> str:
    """Guard a gateway, measure ourselves for `span_s`, and return the table."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            measure.tailflip("run", "--set", f"restart.good_life_s={GOOD_LIFE_S}", "--", *argv),
            env=env,
            stdout=out,
            stderr=out,
        )
    try:
        wait_ready(process, log)
        ours = psutil.Process(process.pid)
        books = [read_books(ours, folder / "home")]
        while time.monotonic() - books[0].at_s < span_s:
            time.sleep(min(LOOK_S, span_s))
            books.append(read_books(ours, folder / "home"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    if process.returncode != 0:
        sys.exit(f"tailflip ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    first, last = books[0], books[-1]
    took_s = last.at_s - first.at_s
    cpu_percent = 100 * (last.cpu_s - first.cpu_s) / took_s
    rss_mib = max(book.rss_bytes for book in books) / MIB
    woken = sum(
        count - before.wakes.get(thread, 0)
        for before, after in pairwise(books)
        for thread, count in after.wakes.items()
    )
    written = last.written_bytes - first.written_bytes
    writes = sum(before.ledger != after.ledger for before, after in pairwise(books))
    rows = [
        ["memory, the most, MiB", f"{rss_mib:.1f}", f"{GOAL_RSS_MIB:.0f}"],
        ["processor, % of a core", f"{cpu_percent:.3f}", f"{GOAL_CPU_PERCENT}"],
        ["wake-ups a second", f"{woken / took_s:.2f}", f"{GOAL_WAKES_PER_S:.0f}"],
        ["bytes written to disk", str(written), "0"],
        [f"looks at which the ledger had changed, of {len(books) - 1}", str(writes), "0"],
    ]
    met = (
        rss_mib <= GOAL_RSS_MIB
        and cpu_percent <= GOAL_CPU_PERCENT
        and woken / took_s <= GOAL_WAKES_PER_S
        and written == writes == 0
    )
    verdict = f"\n- All goals met over {took_s / 60:.1f} minutes: {'yes' if met else '**no**'}."
    return "\n".join([measure.table(["", "measured", "at most"], rows), verdict])


def name_told(folder: Path) -> Path:
    """Write settings that name whom to tell; nobody answers there."""
    address = folder / "beat.url"
    address.write_text("http://127.0.0.1:9/beat")
    address.chmod(0o600)
    path = folder / "config.toml"
    path.write_text(f"[alerts.to.page]\nexec = '/bin/true'\n[heartbeat]\nurl_file = '{address}'\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--told", action="store_true", help="with somebody to tell, and a heartbeat that is refused"
    )
    parser.add_argument("--out", type=Path, help="page whose section to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailflip-idle-") as name:
        folder = Path(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        state = folder / "state"
        write_incident(state, size_bytes=MB, now_ms=int(time.time() * 1000))
        (state / "openclaw.json").write_text(f'{{"gateway": {{"mode": "local", "port": {port}}}}}')
        env = measure.tailflip_environment(folder / "home") | {
            "HOME": name,
            "TMPDIR": name,
            "OPENCLAW_STATE_DIR": str(state),
        }
        if args.told:
            env["TAILFLIP_CONFIG"] = str(name_told(folder))
        measure.run(measure.tailflip("gate", "--", "true"), env=env)  # and it was started before
        gateway = [sys.executable, str(FAKE), "--port", str(port)]
        table = measure_idle(gateway, env, folder, 60 * args.minutes)
    text = f"{measure.machine()}.\n\n{table}"
    print(text)
    if args.out is not None:
        measure.write_section(args.out, "idle", text)
    if "**no**" in table:
        sys.exit(1)


if __name__ == "__main__":
    main()
