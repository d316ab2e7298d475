"""A stand-in for the gateway's process: what a supervisor sees of it, without what it does.

    python fake_gateway.py [OPTIONS]

It owns the gateway's lock (pid, start time), answers on its port, and then does what it is
told: run until stopped, die in some way, hang, leak, flood, fork. It reads sizes of the
stores as the real one does at start, so that `--oom-above` dies like V8 until they shrink.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
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


def start_ticks() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def take_lock() -> Path:
    path = lock_path()
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    config = os.environ.get("OPENCLAW_CONFIG_PATH", str(state_dir() / "openclaw.json"))
    payload = {
        "pid": os.getpid(),
        "createdAt": datetime.now(UTC).isoformat(),
        "configPath": config,
        "startTime": start_ticks(),
    }
    path.write_text(json.dumps(payload))
    return path


class Answers(BaseHTTPRequestHandler):
    silent = threading.Event()

    def do_GET(self) -> None:
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


def stores_bytes() -> int:
    return sum(p.stat().st_size for p in state_dir().glob("agents/*/sessions/sessions.json"))


def become_wrapper(argv: list[str]) -> int:
    """Be what openclaw.mjs is: pass signals on, and make exit 1 of a death by signal."""
    child = subprocess.Popen([sys.executable, __file__, *argv])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _f: child.send_signal(n))
    code = child.wait()
    return 1 if code < 0 else code


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--wrapper", action="store_true", help="stand in front of itself")
    parser.add_argument("--silent-start-s", type=float, default=0, help="before it listens")
    parser.add_argument("--die", metavar="v8|sigkill|CODE", help="how")
    parser.add_argument("--after-s", type=float, default=0, help="when, counted from listening")
    parser.add_argument("--deaths-file", type=Path, help="counts lives in it")
    parser.add_argument("--deaths", type=int, default=10**9, help="die only in the first N lives")
    parser.add_argument("--say", help="a line on stderr before it dies")
    parser.add_argument("--oom-above", type=int, metavar="BYTES", help="die of larger stores")
    parser.add_argument("--hang-after-s", type=float)
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--term-takes-s", type=float, default=0)
    parser.add_argument("--leak-mb-s", type=float, default=0)
    parser.add_argument("--children", type=int, default=0, help="processes that outlive it")
    parser.add_argument("--orphans", type=int, default=0, help="double-forked, soon dead")
    parser.add_argument("--flood", type=int, default=0, metavar="BYTES", help="on stderr")
    parser.add_argument("--close-stdio", action="store_true")
    parser.add_argument("--respawn", action="store_true", help="start a successor, exit 0")
    parser.add_argument("--echo-stdin", action="store_true")
    return parser.parse_args()


def count_life(path: Path | None) -> int:
    if path is None:
        return 1
    with path.open("a") as file:
        file.write(f"{os.getpid()} {os.environ.get('TAILFLIP_LIFE', '-')}\n")
    return len(path.read_text().splitlines())


def catch_signals(args: argparse.Namespace, stop: threading.Event) -> None:
    term = signal.SIG_IGN if args.ignore_term else lambda *_: stop.set()
    signal.signal(signal.SIGTERM, term)
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda n, _f: os.write(1, f"restarted by {n}\n".encode()))


def make_processes(args: argparse.Namespace) -> None:
    for _ in range(args.children):
        subprocess.Popen(["sleep", "300"])
    for _ in range(args.orphans):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                time.sleep(0.2)
            os._exit(0)
        os.waitpid(child, 0)


def use_stdio(args: argparse.Namespace) -> None:
    if args.echo_stdin:
        for line in sys.stdin:
            sys.stdout.write(line)
            sys.stdout.flush()
    chunk = b"x" * 65_535 + b"\n"
    for _ in range(args.flood // len(chunk)):
        os.write(2, chunk)
    if args.close_stdio:
        for fd in (0, 1, 2):
            os.close(fd)


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
        if args.die and life <= args.deaths and age > args.after_s:
            if args.say:
                print(args.say, file=sys.stderr, flush=True)
            die(args.die)
    time.sleep(args.term_takes_s)


def main() -> int:
    args = parse_arguments()
    if args.wrapper:
        return become_wrapper([a for a in sys.argv[1:] if a != "--wrapper"])
    life = count_life(args.deaths_file)
    time.sleep(args.silent_start_s)
    if args.oom_above is not None and stores_bytes() > args.oom_above:
        die("v8")
    lock = take_lock()
    try:
        server = ThreadingHTTPServer(("127.0.0.1", args.port), Answers)
    except OSError:
        print(f"port {args.port} is in use", file=sys.stderr)
        return 1
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = threading.Event()
    catch_signals(args, stop)
    make_processes(args)
    use_stdio(args)
    if args.respawn and life == 1:
        server.server_close()
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:]], start_new_session=True)
        return 0
    live(args, life, stop)
    lock.unlink(missing_ok=True)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
