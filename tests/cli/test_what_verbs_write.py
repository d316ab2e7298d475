"""What each verb writes: nothing in its reading form, otherwise what the docs say.

The verbs come from the command line itself, so a new one without a row here fails, and so does
one that `docs/what-it-touches.md` does not name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import pytest

from support.alert_rows import make_alert, put_receiver
from support.headless import make_messages
from support.incident_history import record_night
from support.service_definitions import Host
from support.sqlite_records import TASKS_SCHEMA
from support.transcripts import dump, make_turns
from support.verbs import list_verbs, takes
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import History

PAGE = Path(__file__).parents[2] / "docs" / "what-it-touches.md"
HOUR_MS = 3_600_000
SMALL = 400_000
DEAD = 2**22 + 5  # beyond the greatest pid


def look(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder: kind, mode, times, contents. Folders too: a file that came and
    went has changed the time of its folder."""
    found = {}
    for path in (root, *sorted(root.rglob("*"))):
        info = path.lstat()
        about: tuple[object, ...] = (stat.filemode(info.st_mode), info.st_mtime_ns)
        if stat.S_ISREG(info.st_mode):
            about += (info.st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        elif stat.S_ISLNK(info.st_mode):
            about += (str(path.readlink()),)
        found[str(path.relative_to(root))] = about
    return found


class Installation:
    """One where every verb has something to do, and much of it is done already."""

    def __init__(self, place):
        self.place = place
        self.state = place.state
        self.now = clock.now_ms()
        (place.root / "tmp").mkdir()
        (place.root / "bin").mkdir(exist_ok=True)
        self.make_host()
        place.fill(SMALL)
        self.cron = self.state / "cron" / "jobs.json"
        self.ledger = self.state / "tasks" / "runs.sqlite"
        self.make_task_ledger()
        self.dirty()
        # Something to take back, let go, show and tell of.
        assert place.run("reconcile", "--apply")[0] == 65, "there is a damaged store"
        assert place.run("compact", "--apply")[0] == 0, "and now there is none"
        assert place.run("slim", "--all", "--apply")[0] == 0
        assert place.run("install", "--apply")[0] == 0
        history = History(Workspace(Home(place.home), RealDisk()), os.path.realpath(self.state))
        record_night(history)
        history.alerts.put([make_alert(0, self.now)])
        put_receiver(place.root, exit_code=0)
        actions = json.loads(place.run("archive", "list", "--json")[1])["actions"]
        self.actions = {each["kind"]: each["id"] for each in actions}
        place.fill(SMALL)
        self.dirty()

    def make_host(self):
        """A unit that starts a gateway, and the programs that are asked."""
        host = Host(self.place.root)
        host.put_unit()
        for name in ("systemctl", "systemd-analyze"):
            program = self.place.root / "bin" / name
            program.write_text("#!/bin/sh\nexit 0\n")
            program.chmod(0o755)

    def make_task_ledger(self):
        self.ledger.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(self.ledger)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(TASKS_SCHEMA)

    def dirty(self):
        """Leave what a gateway leaves that was killed, and a bit more."""
        sessions = self.place.store.parent
        began = self.now - HOUR_MS
        jobs = json.loads(self.cron.read_text())
        jobs["jobs"][0].setdefault("state", {})["runningAtMs"] = began
        self.cron.write_text(json.dumps(jobs, indent=2))
        job = jobs["jobs"][0]["id"]
        with closing(sqlite3.connect(self.ledger, isolation_level=None)) as db:
            db.execute("DELETE FROM task_runs")
            db.execute(
                "INSERT INTO task_runs (task_id, runtime, source_id, status, created_at, "
                "started_at, last_event_at, owner_key, scope_kind, task, delivery_status, "
                "notify_policy) VALUES ('t', 'cron', 'lost', 'lost', ?, ?, ?, '', 'system', 't', "
                "'not_applicable', 'silent')",
                (began, began, began),
            )
        runs = self.cron.parent / "runs"
        runs.mkdir(exist_ok=True)
        line = {"action": "finished", "jobId": "lost", "status": "ok", "runAtMs": began}
        (runs / "lost.jsonl").write_text(json.dumps(line | {"durationMs": 1000}) + "\n")
        key = f"agent:main:cron:{job}:run:stuck"
        entry = {"sessionId": "stuck", "updatedAt": began, "status": "running"}
        store = json.loads(self.place.store.read_text())
        self.place.store.write_text(json.dumps({**store, key: entry}, indent=2))
        broken = self.state / "agents" / "broken" / "sessions"
        broken.mkdir(parents=True, exist_ok=True)
        entries = {f"agent:broken:{n}": {"sessionId": n, "updatedAt": began} for n in "abc"}
        torn = json.dumps(entries, indent=2)[:-40]  # it can be salvaged
        (broken / "sessions.json").write_text(torn)
        (sessions / "stuck.jsonl").write_text("{}\n")
        (sessions / "old.jsonl").write_bytes(dump(make_turns(6)))
        (sessions / "stuck.jsonl.lock").write_text(json.dumps({"pid": DEAD, "starttime": 1}))
        (sessions / "headless.jsonl").write_bytes(b"\0\n" + make_messages())
        litter = sessions / "sessions.json.1b4e28ba-2fa1-41d2-883f-0016d3cca427.tmp"
        lock = sessions / "sessions.json.lock"
        litter.write_text("{}")
        lock.write_text(json.dumps({"pid": DEAD, "createdAt": "2026-01-01T00:00:00.000Z"}))
        for path in (litter, lock):
            os.utime(path, (began / 1000, began / 1000))

    def start(self, *argv, until=None):
        """Run a verb that may become another program; end it once a text was said."""
        said = self.place.root / "tmp" / "said"
        with said.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailflip", *argv], stdout=out, stderr=out
            )
        deadline = time.monotonic() + 30
        while until and until not in said.read_text() and process.poll() is None:
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        if until:
            process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        assert code == 0, said.read_text()


@pytest.fixture
def there(place, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(place.root / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{place.root / 'bin'}:/usr/bin:/bin")
    return Installation(place)


# Each verb that only reads, as it is given; {kind} is the id of an action of that kind.
READS = {
    "status": [["status"], ["status", "--json"]],
    "fleet": [["fleet"], ["fleet", "--json"]],
    "check": [["check"], ["check", "--json"]],
    "inspect": [["inspect"], ["inspect", "{store}"], ["inspect", "--json"]],
    "compact": [["compact"], ["compact", "{store}"], ["compact", "--cap-total", "3"]],
    "reclaim": [["reclaim"], ["reclaim", "--json"], ["reclaim", "--class", "debris"]],
    "slim": [["slim", "--all"], ["slim", "old"], ["slim", "--all", "--json"]],
    "reconcile": [["reconcile"], ["reconcile", "--json"], ["reconcile", "markers"]],
    "tasks": [["tasks"]],
    "release": [["release"], ["release", "--json"]],
    "restore": [
        ["restore", "--all"],
        ["restore", "{compact}", "--all"],
        ["restore", "{markers}"],
        ["restore", "{slim}"],
        ["restore", "{tasks}"],
        ["restore", "{headers}"],
    ],
    "install": [["install"], ["install", "--mode", "run"], ["install", "--mode", "watch"]],
    "uninstall": [["uninstall"]],
    "archive list": [["archive", "list"]],
    "archive show": [["archive", "show", "{compact}"]],
    "archive verify": [["archive", "verify"], ["archive", "verify", "{compact}"]],
    "archive expire": [["archive", "expire", "--older-than", "0s"]],
    "maintenance status": [["maintenance"], ["maintenance", "status"]],
    "incidents list": [["incidents", "list"], ["incidents", "list", "--json"]],
    "incidents why": [["incidents", "why"], ["incidents", "why", "--stderr"]],
    "alerts list": [["alerts"], ["alerts", "list", "--json"]],
    "metrics": [["metrics"]],
    "report": [["report"], ["report", "--for-issue"], ["report", "--json"]],
    "config show": [["config", "show"]],
    "config check": [["config", "check"]],
    "config example": [["config", "example"]],
    "help": [["help"], ["help", "archive", "show"]],
    "version": [["version"]],
    "schema": [["schema"], ["schema", "check"]],
}
# Those that write by design: how they are started, and with which word they are at work.
WRITES = {
    "gate": (["gate", "--", "true"], None),
    "preflight": (["preflight", "--", "true"], None),
    "run": (["run", "--", "sleep", "60"], "gateway started"),
    "watch": (["watch", "--rounds", "1"], None),
    "maintenance on": (["maintenance", "on", "--for", "1h"], None),
    "maintenance off": (["maintenance", "off"], None),
    "maintenance run": (["maintenance", "run", "--", "true"], None),
    "retry": (["retry"], None),
    "serve": (["serve", "--listen", "127.0.0.1:0"], "serving the page"),
    "page": (["page"], None),
    "incidents ack": (["incidents", "ack", "1"], None),
    "alerts test": (["alerts", "test"], None),
    "alerts ack": (["alerts", "ack", "1"], None),
    "alerts flush": (["alerts", "flush"], None),
    "demo": (["demo", "--size-mb", "20"], None),
}


def test_every_verb_has_a_row():
    assert set(list_verbs()) == set(READS) | set(WRITES)


def test_no_verb_that_writes_takes_apply_for_it():
    assert [
        verb for verb, each in list_verbs().items() if takes(each, "--apply") and verb in WRITES
    ] == []


@pytest.fixture(params=["stopped", "perhaps"])
def gateway(request, monkeypatch):
    """The gateway is stopped, or nobody can say: somebody listens on its port."""
    if request.param == "stopped":
        yield request.param
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", str(server.getsockname()[1]))
        yield request.param


@pytest.mark.parametrize("verb", READS)
def test_a_verb_in_its_reading_form_changes_nothing_anywhere(there, gateway, verb):
    """Not OpenClaw's state directory, not its own, not the home that both are in."""
    there.start("--version")  # whatever Python itself leaves is there now
    for argv in READS[verb]:
        names = {"store": there.place.store, **there.actions}
        words = [word.format(**names) for word in argv]
        before = look(there.place.root)
        code, out, err = there.place.run(*words)
        assert code in (0, 1, 65), (words, out, err)
        after = look(there.place.root)
        assert not list((there.place.root / "tmp").glob("tailflip*"))
        # A folder for what passes: it may have been used, and is as empty as it was.
        for found in (before, after):
            found.pop("tmp")
            found.pop("tmp/said")
        changed = {name for name in before.keys() | after if before.get(name) != after.get(name)}
        assert changed == set(), words


def read_table() -> dict[str, tuple[set[str], str]]:
    """Read from the docs what each verb writes of OpenClaw's, and elsewhere."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        for verb in re.findall(r"`([^`]+)`", cells[0].replace("\\|", "/")):
            group, _, rest = verb.partition(" ")
            for each in rest.split("/"):
                name = f"{group} {each}".strip()
                found[name] = (set(re.findall(r"`([^`]+)`", cells[1])), cells[2])
    return found


def test_the_page_says_of_every_verb_what_it_writes():
    table = read_table()
    assert set(table) == set(list_verbs())
    for verb in READS:
        assert table[verb] == (set(), "nothing"), verb
    for verb in WRITES:
        assert table[verb][1] != "nothing", verb


def list_changed(state: Path, before: dict[str, tuple[object, ...]]) -> set[str]:
    """Name the files that are not as they were."""
    after = look(state)
    names = {name for name in before.keys() | after if before.get(name) != after.get(name)}
    return {name for name in names if not (state / name).is_dir()}


@pytest.mark.parametrize("verb", WRITES)
def test_a_verb_that_writes_by_design_writes_what_the_page_names(there, verb):
    """`preflight` cleared marks in jobs.json while the page said that nobody touches it."""
    before = look(there.state)
    argv, until = WRITES[verb]
    if verb == "demo":  # the node of the others ends at once; with it, no gateway would come back
        (there.place.root / "bin" / "node").unlink(missing_ok=True)
    there.start(*argv, until=until)
    changed = list_changed(there.state, before)
    named, _ = read_table()[verb]
    told = {pattern: {n for n in changed if fnmatch(n, f"*/{pattern}")} for pattern in named}
    told |= {pattern: {n for n in changed if n == pattern} for pattern in named if "/" in pattern}
    assert all(told.values()), f"the page names what {verb} did not write: {told}"
    assert changed == set().union(*told.values())


def test_the_task_ledger_is_written_before_a_start_where_the_setting_says_so(there, monkeypatch):
    assert "`reconcile.write_task_ledger`" in PAGE.read_text()
    before = look(there.state)
    monkeypatch.setenv("TAILFLIP_RECONCILE_WRITE_TASK_LEDGER", "true")
    there.start("preflight", "--", "true")
    changed = list_changed(there.state, before)
    assert {name for name in changed if name.startswith("tasks/")} == {"tasks/runs.sqlite"}


def test_no_start_changes_anything_where_the_settings_say_so(there, monkeypatch):
    assert "`heal.enabled` and\n`reconcile.enabled` off" in PAGE.read_text()
    (there.state / "agents/broken/sessions/sessions.json").write_text("{}")
    before = look(there.state)
    monkeypatch.setenv("TAILFLIP_RECONCILE_ENABLED", "false")
    monkeypatch.setenv("TAILFLIP_HEAL_ENABLED", "false")
    there.start("preflight", "--", "true")
    assert list_changed(there.state, before) == set()
