"""Guard a gateway that leaks, hangs and dies every few seconds, and see what that does to us.

Its deaths take turns (`DEATHS`), its store grows all the time, and its standard error is
full of text. Meanwhile our own process is measured from outside. TranscriptLock at the end:

- memory: slope after the warm-up below `MOST_SLOPE` (least squares), descriptors: no leak;
- the ledger: small, and its newest stderr tails only;
- every death on record, each with the cause that it was given.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import measure
import psutil
from measure import MB, MIB

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.demo.incident import write_incident
from tailflip.diagnose.causes import WANTED
from tailflip.flow.lives import Cause, Life
from tailflip.ledger.history import History
from tailflip.ledger.retention import MOST_TAILS

FAKE = Path(__file__).parents[1] / "tests" / "fakes" / "fake_gateway.py"
LIVES_S = 2.0
# What is done to the gateway in turn, and the verdict that it must get.
DEATHS: tuple[tuple[tuple[str, ...], Cause], ...] = (
    (("--die", "v8"), Cause.V8_HEAP),
    (("--die", "sigsegv"), Cause.NATIVE_CRASH),
    (("--die", "1", "--say", "TypeError: Cannot read properties of null"), Cause.UNKNOWN),
    (("--hang-after-s", str(LIVES_S)), Cause.HANG),
    (("--wrapper", "--die", "v8"), Cause.V8_HEAP),
    (("--die", "sigkill"), Cause.UNKNOWN),
)
SETTINGS = {
    "restart.first_delay_s": 0.2,
    "restart.jitter": 0,
    "restart.cap_s": 1,
    "restart.trial_first_s": 1,  # the breaker opens too, and half-opens soon
    "restart.trial_cap_s": 2,
    "health.interval_s": 0.5,
    "health.timeout_s": 0.5,
    "health.misses": 3,
    "memory.interval_s": 1,
    "gateway.drain_s": 2,
    "gateway.heap_limit": "2gb",
}
LOOK_S = 1.0
WARM_UP = 0.25  # share of the whole
MOST_SLOPE = 1024  # bytes a second
MOST_LEDGER_BYTES = 8 * MIB
GROWTH_S, GROWTH_RUNS = 2.0, 250
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Look:
    """Our process at one moment."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int


def become_gateway(options: list[str], lives: Path) -> None:
    """Become the fake gateway, doomed to the death whose turn it is."""
    number = len(lives.read_text().splitlines()) if lives.exists() else 0
    doom = DEATHS[number % len(DEATHS)][0]
    argv = [sys.executable, str(FAKE), *options, "--deaths-file", str(lives), *doom]
    os.execv(sys.executable, argv)  # noqa: S606 - it is the fake of our tests


def grow(store: Path, stop: threading.Event) -> int:
    """Add runs to the store as a gateway does, until told to stop; say how many."""
    added = 0
    while not stop.wait(GROWTH_S):
        entries = json.loads(store.read_bytes())
        for number in range(added, added + GROWTH_RUNS):
            key = f"agent:main:cron:soak:run:{number:08}"
            began_ms = clock.now_ms() - 3 * DAY_MS
            entries[key] = {
                "sessionId": f"soak-{number}",
                "updatedAt": began_ms,
                "status": "done",
                "skillsSnapshot": {"prompt": "p" * 3_000},
            }
        added += GROWTH_RUNS
        fresh = store.with_name("sessions.json.soak")
        fresh.write_text(json.dumps(entries, indent=2))
        fresh.rename(store)
    return added


def watch(process: subprocess.Popen[bytes], minutes: float) -> list[Look]:
    ours = psutil.Process(process.pid)
    began = time.monotonic()
    looks = []
    while (at_s := time.monotonic() - began) < 60 * minutes:
        if process.poll() is not None:
            sys.exit(f"tailflip ended with {process.returncode} after {at_s:.0f} s")
        with ours.oneshot():
            rss, threads = ours.memory_info().rss, ours.num_threads()
        looks.append(Look(at_s, rss, ours.num_fds(), threads))
        time.sleep(LOOK_S)
    return looks


def judge(looks: list[Look], lives: tuple[Life, ...], home: Home) -> tuple[list[list[str]], bool]:
    """Make the table of what was found and what may be, and say whether all is well."""
    warm = looks[int(len(looks) * WARM_UP) :]
    slope = statistics.linear_regression(
        [look.at_s for look in warm], [look.rss_bytes for look in warm]
    ).slope
    third = max(1, len(warm) // 3)
    first, last = warm[:third], warm[-third:]
    more = max(x.descriptors for x in last) - max(x.descriptors for x in first)
    least_more = min(x.descriptors for x in last) - min(x.descriptors for x in first)
    threads = max(x.threads for x in last) - max(x.threads for x in first)
    ended = [life for life in lives if life.ended_ms is not None]
    dead = [x for x in ended if x.death is None or x.death.cause not in WANTED]
    wrong = Counter(
        f"{DEATHS[number % len(DEATHS)][0]}: {life.death.cause if life.death else None}"
        for number, life in enumerate(reversed(lives))
        if life in dead
        and (life.death is None or life.death.cause is not DEATHS[number % len(DEATHS)][1])
    )
    for what, count in wrong.items():
        print(f"wrong verdict, {count} x {what}", file=sys.stderr)
    ledger_bytes = home.ledger.stat().st_size
    history = History(Workspace(home, RealDisk()), lives[0].guard)
    tails = sum(1 for life in lives if history.lives.read_stderr(life.id))
    expected = 60 * looks[-1].at_s / 60 / 15
    rows = [
        ("memory at the end, MiB", f"{looks[-1].rss_bytes / MIB:.1f}", "", True),
        ("slope of memory, bytes a second", f"{slope:.0f}", f"{MOST_SLOPE}", slope < MOST_SLOPE),
        ("descriptors, last third against first", f"{more:+d}", "+1", more <= 1),
        ("the same, the least of each", f"{least_more:+d}", "+0", least_more <= 0),
        ("threads, the same", f"{threads:+d}", "+1", threads <= 1),
        ("deaths", str(len(dead)), f"at least {expected:.0f}", len(dead) >= expected),
        ("of these with a wrong verdict", str(sum(wrong.values())), "0", not wrong),
        ("ledger, MiB", f"{ledger_bytes / MIB:.2f}", f"{MOST_LEDGER_BYTES // MIB}",
         ledger_bytes <= MOST_LEDGER_BYTES),
        ("stderr tails in it", str(tails), str(MOST_TAILS), tails <= MOST_TAILS),
    ]  # fmt: skip
    return [[*row[:3], "yes" if row[3] else "**no**"] for row in rows], all(r[3] for r in rows)


def soak(folder: Path, minutes: float, csv: Path | None) -> bool:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state = folder / "state"
    store = write_incident(state, size_bytes=3 * MB, now_ms=clock.now_ms())["store"]
    (state / "openclaw.json").write_text(f'{{"gateway": {{"mode": "local", "port": {port}}}}}')
    home = Home(folder / "home")
    env = measure.tailflip_environment(home.root) | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OPENCLAW_STATE_DIR": str(state),
    }
    log = folder / "log"
    options = ("--port", str(port), "--after-s", str(LIVES_S), "--leak-mb-s", "10")
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    gateway = [sys.executable, __file__, "--gateway", str(folder / "lives"), *options]
    with log.open("wb") as out:
        process = subprocess.Popen(
            measure.tailflip("run", *sets, "--", *gateway, "--flood", "400000"),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        # Text of the gateway passes by on the same stream; only our own lines are kept.
        threading.Thread(target=keep_ours, args=(process, out), daemon=True).start()
        stop = threading.Event()
        grower = threading.Thread(target=grow, args=(store, stop))
        grower.start()
        try:
            looks = watch(process, minutes)
        finally:
            stop.set()
            grower.join()
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            for left in psutil.process_iter():
                if is_ours(left, state):
                    left.kill()
    if csv is not None:
        lines = [f"{x.at_s:.1f},{x.rss_bytes},{x.descriptors},{x.threads}" for x in looks]
        csv.write_text("\n".join(["at_s,rss_bytes,descriptors,threads", *lines, ""]))
    lives = History(Workspace(home, RealDisk()), os.path.realpath(state)).lives.read(100_000)
    rows, is_well = judge(looks, lives, home)
    actions = sum(1 for _ in home.archives.iterdir())
    rows += [
        ["compactions", str(actions), "at least 1", "yes" if actions else "**no**"],
        ["exit code", str(code), "0", "yes" if code == 0 else "**no**"],
    ]
    print(f"{measure.machine()}; {minutes:g} minutes.\n")
    print(measure.table(["", "measured", "may be", "well"], rows))
    if not (is_well and actions and code == 0):
        print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
        return False
    return True


def keep_ours(process: subprocess.Popen[bytes], out: object) -> None:
    assert process.stderr is not None  # noqa: S101
    for line in process.stderr:
        if line.startswith(b"tailflip:"):
            out.write(line)  # type: ignore[attr-defined]
            out.flush()  # type: ignore[attr-defined]


def is_ours(process: psutil.Process, state: Path) -> bool:
    try:
        return process.environ().get("OPENCLAW_STATE_DIR") == str(state)
    except psutil.Error:
        return False


def main() -> int:
    if sys.argv[1:2] == ["--gateway"]:
        become_gateway(sys.argv[3:], Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--csv", type=Path, help="where every look goes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailflip-soak-") as name:
        return 0 if soak(Path(name), args.minutes, args.csv) else 1


if __name__ == "__main__":
    sys.exit(main())
