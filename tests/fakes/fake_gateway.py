"""A stand-in for the gateway's process: what a supervisor sees of it, without what it does.

    python fake_gateway.py [OPTIONS]

It owns the gateway's lock (pid, start time), answers on its port, and then does what it is
told: run until stopped, die in some way, hang, leak, flood, fork. It reads sizes of the
stores as the real one does at start, so that `--oom-above` dies like V8 until they shrink.
A start beside a living gateway is refused, and put down in the file `doubles` of the state
directory. Installed as a package, it takes `gateway run` in front of its options, and
`gateway restart-handoff consume` like a release from 2026.8.1 on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

V8_DEATH = (
    "<--- Last few GCs --->\n\n"
    "[4121:0x5d1]    22512 ms: Mark-Compact 2295.0 (2381.9) -> 2287.4 (2385.1) MB, 812.11 ms\n\n"
    "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"
)


def state_dir() -> Path:
    return Path(os.environ["OPENCLAW_STATE_DIR"])


def lock_path() -> Path:
    config = os.environ.get("OPENCLAW_CONFIG_PATH", str(state_dir() / "openclaw.json"))
    digest = hashlib.sha256(os.fsencode(config)).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"openclaw-{os.getuid()}" / f"gateway.{digest}.lock"


def ticks_of(pid: int) -> int | None:
    """When a living process started; a zombie is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def find_owner(path: Path) -> int | None:
    """Who holds the lock and lives."""
    try:
        payload = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    alive = ticks_of(payload["pid"]) == payload["startTime"]
    return payload["pid"] if alive and payload["pid"] != os.getpid() else None


def take_lock(patience_s: float) -> Path | None:
    """Take the lock; None if somebody else holds it."""
    path = lock_path()
    path.parent.mkdir(exist_ok=True)
    until = time.monotonic() + patience_s
    while (owner := find_owner(path)) is not None:
        if time.monotonic() > until:
            with (state_dir() / "doubles").open("a") as file:
                file.write(f"{os.getpid()} beside {owner}\n")
            print(f"Gateway failed to start: gateway already running (pid {owner})",
                  file=sys.stderr)  # fmt: skip
            return None
        time.sleep(0.02)
    path.unlink(missing_ok=True)
    config = os.environ.get("OPENCLAW_CONFIG_PATH", str(state_dir() / "openclaw.json"))
    payload = {
        "pid": os.getpid(),
        "createdAt": datetime.now(UTC).isoformat(),
        "configPath": config,
        "startTime": ticks_of(os.getpid()),
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(payload))
    fresh.rename(path)
    return path


class Answers(BaseHTTPRequestHandler):
    silent = threading.Event()
    asked_file: Path | None = None

    def do_GET(self) -> None:
        if self.asked_file is not None:
            with self.asked_file.open("a") as file:
                file.write(f"{self.path}\n")
        if self.silent.is_set():
            time.sleep(3600)
        body = json.dumps({"ok": True, "status": "live"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def die(how: str) -> None:
    """End the process as a death of that kind ends it."""
    sys.stdout.flush()
    if how == "v8":
        os.write(2, V8_DEATH.encode())
        os.kill(os.getpid(), signal.SIGABRT)
    elif how.startswith("sig"):
        os.kill(os.getpid(), signal.Signals[how.upper()])
    else:
        os._exit(int(how))
    time.sleep(60)


def write_report() -> None:
    """Write what node writes with --report-on-fatalerror; of it only the header."""
    name = f"report.{datetime.now(UTC):%Y%m%d.%H%M%S}.{os.getpid()}.0.001.json"
    header = {
        "event": "Allocation failed - JavaScript heap out of memory",
        "trigger": "OOMError",
        "processId": os.getpid(),
        "commandLine": ["node", "openclaw.mjs"],
    }
    (state_dir() / name).write_text(json.dumps({"header": header}))


def stores_bytes() -> int:
    return sum(p.stat().st_size for p in state_dir().glob("agents/*/sessions/sessions.json"))


def become_wrapper(argv: list[str]) -> int:
    """Be what openclaw.mjs is: pass signals on, and make exit 1 of a death by signal."""
    child = subprocess.Popen([sys.executable, __file__, *argv])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _f: os.kill(child.pid, n))
    code = child.wait()
    return 1 if code < 0 else code


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*", help="gateway run")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--wrapper", action="store_true", help="stand in front of itself")
    parser.add_argument("--silent-start-s", type=float, default=0, help="before it listens")
    parser.add_argument("--die", metavar="v8|sigkill|CODE", help="how")
    parser.add_argument("--after-s", type=float, default=0, help="when, counted from listening")
    parser.add_argument("--deaths-file", type=Path, help="counts lives in it")
    parser.add_argument("--deaths", type=int, default=10**9, help="die only in the first N lives")
    parser.add_argument("--spared-by", metavar="VARIABLE", help="do not die where it is set")
    parser.add_argument("--say", help="a line on stderr before it dies")
    parser.add_argument("--refuse", action="store_true", help="die before it listens")
    parser.add_argument("--oom-above", type=int, metavar="BYTES", help="die of larger stores")
    parser.add_argument("--report", action="store_true", help="node writes one when it dies so")
    parser.add_argument("--hang-after-s", type=float)
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--term-takes-s", type=float, default=0)
    parser.add_argument("--leak-mb-s", type=float, default=0)
    parser.add_argument("--children", type=int, default=0, help="processes that outlive it")
    parser.add_argument("--stubborn", action="store_true", help="a child that ignores SIGTERM")
    parser.add_argument("--orphans", type=int, default=0, help="double-forked, soon dead")
    parser.add_argument("--flood", type=int, default=0, metavar="BYTES", help="on stderr")
    parser.add_argument("--close-stdio", action="store_true")
    parser.add_argument("--ticks", action="store_true", help="monotonic ns on stderr, for ever")
    parser.add_argument("--respawn", action="store_true", help="start a successor, exit 0")
    parser.add_argument("--hand-off", action="store_true", help="ask for a successor, exit 0")
    parser.add_argument("--echo-stdin", action="store_true")
    parser.add_argument("--signals-file", type=Path, help="names each signal that it got")
    parser.add_argument("--asked-file", type=Path, help="names each path that was asked for")
    parser.add_argument("--resume", metavar="DIES-OF", help="sessions of its database, and jobs")
    parser.add_argument("--tell", type=Path, metavar="FILE", help="what it was started with")
    return parser.parse_args()


def consume_handoff() -> int:
    """Answer as `gateway restart-handoff consume --expected-pid N --json` does."""
    left = state_dir() / "hand-off"
    accepted = left.exists() and left.read_text() == sys.argv[sys.argv.index("--expected-pid") + 1]
    left.unlink(missing_ok=True)
    answer = {
        "protocol": "openclaw.gateway.restart-handoff",
        "protocolVersion": 1,
        "status": "accepted" if accepted else "none",
    }
    print(json.dumps(answer))
    return 0


def tell(path: Path) -> None:
    """Write down what this process was given."""
    ignored = int(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("SigIgn:")
        ),
        16,
    )
    told = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgrp(),
        "argv": sys.argv,
        "env": dict(os.environ),
        "ignored": [n for n in range(1, 32) if ignored >> (n - 1) & 1],
        "files": [str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in (0, 1, 2)],
        "descriptors": sorted(int(e.name) for e in Path("/proc/self/fd").iterdir()),
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(told))
    fresh.rename(path)


def resume(dies_of: str) -> None:
    """Go on with what was interrupted, as releases since 2026.9 do; of one thing it dies."""
    now_ms = int(time.time() * 1000)
    agents = state_dir() / "agents/main/agent/openclaw-agent.sqlite"
    with closing(sqlite3.connect(agents)) as db:
        rows = db.execute(
            "SELECT session_key, entry_json FROM session_nodes WHERE status = 'running'"
        ).fetchall()
        for key, text in rows:
            entry = json.loads(text) | {"updatedAt": now_ms}
            known = entry.setdefault("mainRestartRecovery", {"revision": 0})
            known["revision"] += 1
            db.execute(
                "UPDATE session_nodes SET entry_json = ?, updated_at = ? WHERE session_key = ?",
                (json.dumps(entry), now_ms, key),
            )
            db.execute("UPDATE session_nodes SET entry_valid = 1 WHERE session_key = ?", (key,))
        db.commit()
    jobs = state_dir() / "state/openclaw.sqlite"
    due = []
    if jobs.exists():
        with closing(sqlite3.connect(jobs)) as db:
            db.execute("UPDATE cron_run_receipts SET status = 'interrupted', finished_at_ms = ?"
                       " WHERE status = 'running'", (now_ms,))  # fmt: skip
            due = db.execute("SELECT store_key, job_id FROM cron_jobs WHERE enabled").fetchall()
            db.executemany(
                "INSERT INTO cron_run_receipts VALUES (?, ?, ?, 'running', ?, ?, ?, NULL)",
                [(f"{j}-{now_ms}", s, j, os.getpid(), ticks_of(os.getpid()), now_ms)
                 for s, j in due],
            )  # fmt: skip
            db.commit()
    if dies_of in {*(key for key, _ in rows), *(job for _, job in due)}:
        time.sleep(0.4)  # a supervisor is to see that it answers
        die("sigkill")


def count_life(path: Path | None) -> int:
    if path is None:
        return 1
    with path.open("a") as file:
        file.write(f"{os.getpid()} {os.environ.get('TAILFLIP_LIFE', '-')}\n")
    return len(path.read_text().splitlines())


def catch_signals(args: argparse.Namespace, stop: threading.Event) -> None:
    def catch(number: int, _frame: object) -> None:
        if args.signals_file is not None:
            with args.signals_file.open("a") as file:
                file.write(f"{signal.Signals(number).name}\n")
        if number == signal.SIGINT or (number == signal.SIGTERM and not args.ignore_term):
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, catch)


def make_processes(args: argparse.Namespace) -> None:
    for _ in range(args.children):
        subprocess.Popen(["/bin/sleep", "300"])
    if args.stubborn:
        code = (
            "import signal, time; signal.signal(15, signal.SIG_IGN); "
            "print(flush=True); time.sleep(300)"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
    for _ in range(args.orphans):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                time.sleep(0.2)
            os._exit(0)
        os.waitpid(child, 0)


def use_stdio(args: argparse.Namespace) -> None:
    if args.echo_stdin:
        threading.Thread(target=echo, daemon=True).start()
    chunk = b"x" * 65_535 + b"\n"
    for _ in range(args.flood // len(chunk)):
        os.write(2, chunk)
    if args.close_stdio:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
    if args.ticks:
        threading.Thread(target=tick, daemon=True).start()


def echo() -> None:
    while chunk := os.read(0, 65_536):
        os.write(1, chunk)
    os.write(1, b"end of input\n")


def tick() -> None:
    """Write lines for ever; like node, die if nobody will ever read them."""
    try:
        while True:
            os.write(2, b"tick %d\n" % time.monotonic_ns())
            time.sleep(0.01)
    except BrokenPipeError:
        os._exit(1)


def live(args: argparse.Namespace, life: int, stop: threading.Event) -> None:
    """Do what was asked for, until stopped or dead."""
    began = time.monotonic()
    hoard = []
    while not stop.wait(0.05):
        age = time.monotonic() - began
        while len(hoard) < age * args.leak_mb_s:
            hoard.append(os.urandom(1) * (1 << 20))
        if args.hang_after_s is not None and age > args.hang_after_s:
            Answers.silent.set()
        is_spared = bool(args.spared_by and os.environ.get(args.spared_by))
        if args.die and not is_spared and life <= args.deaths and age > args.after_s:
            if args.say:
                print(args.say, file=sys.stderr, flush=True)
            die(args.die)
    time.sleep(args.term_takes_s)


def close(server: ThreadingHTTPServer) -> None:
    server.shutdown()
    server.server_close()


def main() -> int:
    if sys.argv[1:4] == ["gateway", "restart-handoff", "consume"]:
        return consume_handoff()
    args = parse_arguments()
    if args.wrapper:
        return become_wrapper([a for a in sys.argv[1:] if a != "--wrapper"])
    return serve(args)


def serve(args: argparse.Namespace) -> int:
    """Live one life, as the gateway itself."""
    stop = threading.Event()
    catch_signals(args, stop)
    Answers.asked_file = args.asked_file
    life = count_life(args.deaths_file)
    if args.tell:
        tell(args.tell)
    if stop.wait(args.silent_start_s):
        return 0
    if args.refuse and life <= args.deaths:
        print(args.say, file=sys.stderr, flush=True)
        die(args.die)
    lock = take_lock(patience_s=1.0)
    if lock is None:
        return 1
    if args.oom_above is not None and stores_bytes() > args.oom_above:
        if args.report:
            write_report()
        die("v8")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", args.port), Answers)
    except OSError:
        url = f"ws://127.0.0.1:{args.port}"
        print(f"Gateway failed to start: another gateway instance is already listening on {url}",
              file=sys.stderr)  # fmt: skip
        return 1
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    if life == 1 and (args.hand_off or args.respawn):
        return make_successor(args, server, lock)
    make_processes(args)
    use_stdio(args)
    if args.resume:
        resume(args.resume)
    live(args, life, stop)
    lock.unlink(missing_ok=True)
    close(server)
    return 0


def make_successor(args: argparse.Namespace, server: ThreadingHTTPServer, lock: Path) -> int:
    """End well, and ask for a successor or start it."""
    time.sleep(args.after_s)
    close(server)
    if args.hand_off:
        (state_dir() / "hand-off").write_text(str(os.getpid()))
        lock.unlink()
    else:
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:]], start_new_session=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
