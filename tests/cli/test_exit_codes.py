"""Every verb, and every exit code that is documented for it: each is provoked.

That no verb ends with another is asked of every command line that the tests in this folder run.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.alert_rows import make_alert, make_notice, put_receiver
from support.incident_history import make_death, record_night
from support.leftovers import Leftovers
from support.service_definitions import Host
from support.transcripts import dump, make_turns
from support.verbs import list_verbs
from tailflip import cli
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.exit_codes import ALSO, ALWAYS, MEANINGS, list_codes
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger import database
from tailflip.ledger.history import History
from tailflip.observe.installation import locate
from tailflip.observe.records.reading import Records
from tailflip.reconcile.judge.markers import plan_hold
from tailflip.reconcile.write.cron_store import Hands, apply_changes
from tailflip.stores import policies

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"
ARGV = {
    "status": "status",
    "fleet": "fleet",
    "check": "check",
    "inspect": "inspect",
    "compact": "compact --apply",
    "reclaim": "reclaim --apply",
    "slim": "slim old --apply",
    "reconcile": "reconcile --apply",
    "tasks": "tasks",
    "watch": "watch --rounds 1",
    "maintenance on": "maintenance on --for 1h",
    "maintenance off": "maintenance off",
    "maintenance status": "maintenance status",
    "maintenance run": "maintenance run -- /usr/bin/true",
    "retry": "retry",
    "release": "release",
    "restore": "restore {action} --apply",
    "archive list": "archive list",
    "archive show": "archive show {action}",
    "archive verify": "archive verify {action}",
    "archive expire": "archive expire {action} --apply",
    "incidents list": "incidents list",
    "incidents why": "incidents why 1",
    "incidents ack": "incidents ack 1",
    "alerts list": "alerts list",
    "alerts test": "alerts test",
    "alerts ack": "alerts ack 1",
    "alerts flush": "alerts flush",
    "metrics": "metrics",
    "page": "page",
    "serve": "serve --listen unix:{root}/s.sock --end-after 1s",
    "report": "report",
    "config show": "config show",
    "config check": "config check",
    "config example": "config example",
    "install": "install --apply",
    "uninstall": "uninstall --apply",
    "demo": "demo --size-mb 20",
    "gate": "gate -- /usr/bin/true",
    "preflight": "preflight -- /usr/bin/true",
    "run": "run -- /usr/bin/sleep 60",
    "help": "help",
    "version": "version",
    "schema": "schema",
}


class Scene:
    """An installation with a unit, an archive and an incident, and what may go wrong there."""

    def __init__(self, place, monkeypatch, stack):
        self.place, self.monkeypatch, self.stack = place, monkeypatch, stack
        place.fill(100_000)
        self.transcript = place.store.parent / "old.jsonl"
        self.transcript.write_bytes(dump(make_turns(6)))
        Host(place.root).put_unit()
        place.run("compact", "--apply")
        self.action = json.loads(place.run("archive", "list", "--json")[1])["actions"][0]["id"]
        self.history = History(Workspace(Home(place.home), RealDisk()), str(place.state))
        record_night(self.history, store=str(place.store))
        place.fill(100_000)

    def run(self, verb: str, argv: str | None = None) -> int:
        words = (argv or ARGV[verb]).format(action=self.action, root=self.place.root).split()
        return self.place.run(*words)[0]

    def nothing(self):
        """All is as it should be."""

    def healthy(self):
        self.place.put(b"{}")
        shutil.rmtree(self.place.state / "cron")
        shutil.rmtree(self.place.home)

    def headless_transcript(self):
        self.transcript.write_bytes(b"{" + self.transcript.read_bytes())

    def open_incident(self):
        self.history.incidents.open(make_death(), clock.now_ms())

    def open_alert(self):
        self.history.alerts.put([make_alert(0, clock.now_ms())])

    def destination(self):
        put_receiver(self.place.root, exit_code=0)

    def unreachable(self):
        put_receiver(self.place.root, exit_code=1)
        self.history.notices.write([make_notice(clock.now_ms(), next_ms=clock.now_ms())])

    def no_state_directory(self):
        self.place.state.rename(self.place.root / "moved")

    def broken_gateway_config(self):
        (self.place.state / "openclaw.json").write_text("{")

    def broken_settings(self):
        path = self.place.root / ".config/tailflip/config.toml"
        path.parent.mkdir(parents=True)
        path.write_text("[heal]\nnonsense = 1\n")

    def broken_store(self):
        self.place.put(b"{garbage")

    def broken_archive(self):
        for path in (self.place.home / "archive").glob("*/*"):
            path.write_bytes(b"rotten")

    def broken_ledger(self):
        (self.place.home / "ledger.sqlite").write_bytes(b"rotten" * 999)

    def busy_ledger(self):
        self.monkeypatch.setattr(database, "_BUSY_S", 0.01)
        db = sqlite3.connect(self.place.home / "ledger.sqlite", isolation_level=None)
        self.stack.callback(db.close)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")

    def full_ledger(self):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL

        def fail(*_args, **_options):
            raise error

        self.monkeypatch.setattr(database.sqlite3, "connect", fail)

    def claimed(self):
        fd = os.open(self.place.home / "claim", os.O_RDWR | os.O_CREAT)
        self.stack.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)

    def guarded(self):
        home = Home(self.place.home)
        guard = os.path.realpath(self.place.state)
        self.stack.enter_context(home.supervise(guard, "run", clock.now_ms(), RealDisk()))
        self.monkeypatch.setattr("tailflip.supervise.gate.HAND_OFF_S", 0)

    def guarded_unit(self):
        units = self.place.root / ".config/systemd/user"
        units.mkdir(parents=True, exist_ok=True)
        (units / "openclaw-gateway.service").write_text(
            f"[Service]\nEnvironment=OPENCLAW_STATE_DIR={self.place.state}\n"
            "ExecStart=/usr/bin/node /opt/openclaw/dist/index.js gateway\n"
        )
        self.guarded()

    def own_directory_is_a_file(self):
        shutil.rmtree(self.place.home)
        self.place.home.write_text("")

    def too_many_sessions(self):
        """The engine takes no more: what it is given does not fit."""
        self.monkeypatch.setattr(policies, "all", lambda _fits: False, raising=False)

    def refused_unit(self):
        program = self.place.root / "bin" / "systemd-analyze"
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\necho "$@: no such key" >&2\nexit 1\n')
        program.chmod(0o755)

    def held_and_denied(self):
        installation = locate(os.environ)
        job, *_ = Records(installation).read_jobs().jobs
        workspace = Workspace(Home(self.place.home), RealDisk())
        hold = plan_hold(job, "it kills", clock.now_ms(), may_disable=True)
        hands = Hands(installation, os.environ, workspace)
        self.action = apply_changes(
            [hold], kind=ActionKind.HOLD, hands=hands, now_ms=clock.now_ms()
        )
        self.fail_at("jobs.json", DENIED, writes=True)

    def leftovers_and_denied(self):
        Leftovers(self.place.store).put_temporary()
        self.fail_at("reclaimed.json", DENIED, writes=True)

    def denied_report(self):
        self.action = str(self.place.root / "report.html")
        self.fail_at("report.html", DENIED, writes=True)

    def no_room_for_a_demo(self):
        def fail(**_options):
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

        self.monkeypatch.setattr(tempfile, "mkdtemp", fail)

    def bad_token(self):
        (self.place.home / "serve.token").write_text("short")
        (self.place.home / "serve.token").chmod(0o600)

    def open_token(self):
        (self.place.home / "serve.token").write_text("x" * 64)
        (self.place.home / "serve.token").chmod(0o644)

    def taken_socket(self):
        made = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        made.bind(str(self.place.root / "s.sock"))
        made.listen()

    def installed(self):
        self.place.run("install", "--apply")

    def no_manager(self):
        self.monkeypatch.setattr("tailflip.install.manager._BOOTED", self.place.root)
        (self.place.root / "manager/systemctl").write_text("#!/bin/sh\nexit 1\n")

    def broken_record(self):
        for path in (self.place.home / "installed").iterdir():
            path.write_text("{")

    def fail_at(self, name: str, number: int, *, writes: bool = False):
        """Let the system refuse every open of files of a name, and every removal."""
        root = str(self.place.root)

        def wrap(real):
            def fake(path=".", how=0, *args, **options):
                is_write = how & (os.O_WRONLY | os.O_RDWR) if isinstance(how, int) else how != "rb"
                if not isinstance(path, int) and (is_write or not writes):
                    text = os.fsdecode(path)
                    if text.startswith(root) and name in text:
                        raise OSError(number, os.strerror(number), os.fspath(path))
                given = (how, *args) if how != 0 or real is os_open else args
                return real(path, *given, **options)

            return fake

        os_open = os.open
        for module, function in (
            *((os, "open"), (builtins, "open"), (io, "open")),
            *((os, "scandir"), (os, "listdir"), (os, "unlink")),
        ):
            self.monkeypatch.setattr(module, function, wrap(getattr(module, function)))


def at(name: str, number: int, *, writes: bool = False):
    return lambda scene: scene.fail_at(name, number, writes=writes)


DENIED, BROKEN, FULL = errno.EACCES, errno.EIO, errno.ENOSPC
LOOKS = ("check", "inspect", "compact", "slim", "reclaim", "reconcile", "tasks", "watch")
OF_STORES = ("inspect", "compact", "reconcile", "restore", "preflight", "gate")
OF_LEDGER = (
    *("status", "fleet", "check", "compact", "reclaim", "reconcile", "tasks", "restore"),
    "incidents list",
    *("incidents why", "incidents ack", "archive list", "archive show", "archive verify"),
    *("archive expire", "retry", "release"),
    *("alerts list", "alerts test", "alerts ack", "alerts flush"),
    *("archive expire", "retry", "release", "maintenance on", "maintenance off"),
    *("maintenance status", "maintenance run", "report"),
)
OF_ARCHIVE = ("archive show", "archive verify")
# How each code of each verb is provoked.
WAYS = {
    **{(verb, 0): Scene.nothing for verb in ARGV},
    **{(verb, 0): Scene.healthy for verb in ("check", "status", "fleet")},
    ("check", 1): Scene.nothing,
    ("check", 65): Scene.nothing,
    ("status", 1): Scene.open_incident,
    ("alerts test", 0): Scene.destination,
    ("alerts ack", 0): Scene.open_alert,
    **{(verb, 69): Scene.unreachable for verb in ("alerts test", "alerts flush")},
    ("fleet", 1): Scene.open_incident,
    **{(verb, 65): Scene.broken_store for verb in OF_STORES},
    **{(verb, 74): at("sessions.json", BROKEN) for verb in OF_STORES},
    **{(verb, 77): at("sessions.json", DENIED) for verb in OF_STORES},
    **{(verb, 73): Scene.full_ledger for verb in OF_LEDGER},
    **{(verb, 74): Scene.broken_ledger for verb in OF_LEDGER},
    **{(verb, 75): Scene.busy_ledger for verb in OF_LEDGER},
    **{(verb, 73): Scene.no_state_directory for verb in LOOKS},
    **{
        (verb, 75): Scene.claimed for verb in ("compact", "slim", "reclaim", "reconcile", "restore")
    },
    ("slim", 65): Scene.headless_transcript,
    ("slim", 74): at("old.jsonl", BROKEN),
    ("slim", 77): at("old.jsonl", DENIED),
    **{(verb, 78): Scene.broken_gateway_config for verb in LOOKS},
    **{(verb, 65): Scene.broken_archive for verb in OF_ARCHIVE},
    **{(verb, 77): at("records.zst", DENIED) for verb in OF_ARCHIVE},
    ("archive expire", 77): at("records.zst", DENIED),
    **{(verb, 69): Scene.too_many_sessions for verb in ("inspect", "compact", "reconcile")},
    **{(verb, 75): Scene.guarded for verb in ("watch", "gate", "preflight", "run")},
    **{(verb, 78): Scene.broken_settings for verb in ("config show", "config check")},
    ("reclaim", 77): Scene.leftovers_and_denied,
    ("release", 77): Scene.held_and_denied,
    ("report", 77): Scene.denied_report,
    ("install", 65): Scene.refused_unit,
    ("install", 69): Scene.no_manager,
    ("uninstall", 69): Scene.no_manager,
    ("install", 73): Scene.own_directory_is_a_file,
    ("install", 74): at("systemd", BROKEN, writes=True),
    ("install", 77): at("systemd", DENIED, writes=True),
    ("install", 75): Scene.guarded_unit,
    ("uninstall", 65): Scene.broken_record,
    ("uninstall", 74): at("installed/", BROKEN),
    ("uninstall", 77): at("installed/", DENIED),
    ("demo", 73): Scene.no_room_for_a_demo,
    ("page", 73): Scene.bad_token,
    ("page", 77): Scene.open_token,
    ("serve", 75): Scene.taken_socket,
    ("serve", 77): Scene.open_token,
    ("metrics", 74): at("tailflip.prom", BROKEN),
    ("metrics", 77): at("tailflip.prom", DENIED),
}
OTHER_WORDS = {
    ("check", 65): "check /nonexistent/sessions.json",
    ("serve", 73): "serve --listen unix:/nonexistent/s.sock",
    ("serve", 77): "serve --listen 127.0.0.1:0",
    ("serve", 78): "serve --listen 0.0.0.0:0",
    ("metrics", 73): "metrics --textfile /nonexistent",
    ("metrics", 74): "metrics --textfile {root}",
    ("metrics", 77): "metrics --textfile {root}",
    ("report", 65): "report -o /nonexistent/report.html",
    ("report", 77): "report -o {action}",
    ("maintenance run", 77): "maintenance run -- /etc/passwd",
    ("maintenance run", 78): "maintenance run -- /nonexistent/openclaw",
    ("release", 77): "release {action} --apply",
    ("gate", 78): "gate -- /nonexistent/node",
    ("preflight", 78): "preflight -- /nonexistent/node",
    ("run", 78): "run --set heal.nonsense=1 -- /usr/bin/true",
}
# These become another program, or stay: see the test below; and `demo` plays in `test_demo.py`.
ELSEWHERE = {("gate", 0), ("run", 0), ("demo", 0)}
WAYS = dict.fromkeys(OTHER_WORDS, Scene.nothing) | WAYS


@pytest.fixture
def scene(place, monkeypatch):
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    manager = Host(place.root).put_service_manager()
    monkeypatch.setenv("PATH", f"{place.root / 'bin'}:{manager}")
    with ExitStack() as stack:
        yield Scene(place, monkeypatch, stack)


def test_every_verb_and_code_of_the_table_is_provoked():
    assert set(ALSO) == set(ARGV) == set(list_verbs()) | {"gate", "preflight", "run"}
    documented = {(verb, code) for verb, codes in ALSO.items() for code in (0, *codes)}
    assert set(WAYS) == documented
    assert {code for _, code in documented} | set(ALWAYS) == set(MEANINGS)


@pytest.mark.parametrize(("verb", "code"), [way for way in WAYS if way not in ELSEWHERE], ids=str)
def test_a_code_is_provoked(scene, verb, code):
    if verb == "uninstall" and code:
        scene.installed()
    WAYS[verb, code](scene)
    assert scene.run(verb, OTHER_WORDS.get((verb, code))) == code


def test_gate_becomes_a_program_that_ends_well_and_run_ends_when_asked(scene):
    own = [sys.executable, "-m", "tailflip"]
    assert subprocess.run([*own, *ARGV["gate"].split()], check=False).returncode == 0
    guard = subprocess.Popen([*own, *ARGV["run"].split()], stderr=subprocess.PIPE, text=True)
    while "gateway started" not in guard.stderr.readline():
        assert guard.poll() is None
    guard.send_signal(signal.SIGTERM)
    guard.communicate(timeout=60)
    assert guard.returncode == 0


@pytest.mark.parametrize("verb", ARGV)
def test_bad_arguments(place, verb):
    own, dashes, command = ARGV[verb].partition(" -- ")
    assert place.run(*f"{own} --frob{dashes}{command}".split())[0] == 64


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError, 70), (KeyboardInterrupt, 130)], ids=["bug", "interrupt"]
)
@pytest.mark.parametrize("verb", ARGV)
def test_a_bug_and_an_interruption(place, monkeypatch, verb, error, code):
    """As from anywhere within the verb; no text of the error is shown, which may be private."""

    def fail(*_args, **_options):
        raise error("secret")

    where = "tailflip.cli.front.prepare_gateway" if verb in ("gate", "preflight", "run") else None
    where = "tailflip.cli.serve.read_settings" if verb == "serve" else where
    monkeypatch.setattr(where or "typer.core.TyperCommand.invoke", fail)
    found, out, err = place.run(*ARGV[verb].split())
    assert (found, out) == (code, "")
    assert "secret" not in err


def test_the_page_has_the_same_table():
    """`status` ends with 1, too, and no page said so."""
    rows = re.findall(r"^\| `([a-z ]+)` \| ([\d, ]*) \|$", PAGE.read_text(), re.MULTILINE)
    table = {verb: tuple(map(int, re.findall(r"\d+", codes))) for verb, codes in rows}
    assert table == ALSO


@pytest.mark.parametrize("verb", ALSO)
def test_help_names_the_codes_of_the_verb(place, verb):
    _, out, _ = place.run(*verb.split(), "--help")
    told = " ".join(out.split())
    assert list_codes(verb) in told


def test_terminated_is_143():
    code = "import os, signal; from tailflip import cli; cli._run_verb = lambda *_: "
    code += "(signal.signal(15, cli._terminate), os.kill(os.getpid(), 15)); cli.main()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 128 + signal.SIGTERM
    told, hint = ran.stderr.splitlines()
    assert told == "error: terminated; every store is wholly old or wholly new"
    assert hint.startswith("hint: ")
    assert cli.INTERRUPTED == 130
