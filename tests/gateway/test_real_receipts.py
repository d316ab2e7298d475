"""A real 2026.9.6 that keeps `sessions.json` on record, and every verb beside it.

Two configured plugins cannot be installed, because npm is told to be offline; the import of
the sessions is then deferred, and each start compares the file with the digest on record.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
import real_gateway

from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

HOUR_MS = 3_600_000
CHANGED = "Retained session migration source changed"
EX_CONFIG = 78


class Kept:
    """A state directory whose import was deferred by a first start."""

    def __init__(self, install: real_gateway.Install, root: Path) -> None:
        self.install, self.state = install, root / "state"
        self.store = self.state / "agents" / "main" / "sessions" / "sessions.json"
        self.store.parent.mkdir(parents=True)
        self.port = real_gateway.configure(self.state)
        config = json.loads((self.state / "openclaw.json").read_text())
        config["plugins"] = {"entries": {"codex": {"enabled": True}, "brave": {"enabled": True}}}
        (self.state / "openclaw.json").write_text(json.dumps(config, indent=2))
        self._write_sessions()
        self.digests = self.read_digests()
        with self.started() as running:
            assert running.settle(150), running.output()[-2000:]
        self.read_receipt()

    def _write_sessions(self) -> None:
        """A chat, and runs of a gateway that was killed; they still say "running"."""
        now, job = int(time.time() * 1000), uuid.uuid4()
        entries = {}
        for n in range(7):
            session = str(uuid.uuid4())
            lines: list[dict[str, object]] = [
                {"type": "session", "version": 3, "id": session, "cwd": "/tmp"},
                {"type": "message", "id": "aaaaaaaa", "message": {"role": "user", "content": "hi"}},
            ]
            for line in lines:
                line["timestamp"] = "2026-11-01T00:00:00.000Z"
            text = "".join(json.dumps(line) + "\n" for line in lines)
            self.store.with_name(f"{session}.jsonl").write_text(text)
            key = f"agent:main:cron:{job}:run:{session}" if n else "agent:main:main"
            entries[key] = {
                "sessionId": session,
                "updatedAt": now - (n + 30) * HOUR_MS,
                "skillsSnapshot": {"prompt": "y" * 3000, "skills": []},
            } | ({"status": "running"} if n else {})
        self.store.write_text(json.dumps(entries, indent=2))

    def read_receipt(self) -> str:
        """Return the digest that the gateway itself put on record."""
        database = self.state / "state" / "openclaw.sqlite"
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
            ((digest,),) = db.execute(
                "SELECT source_sha256 FROM migration_sources "
                "WHERE migration_kind = 'deferred-plugin-session-import'"
            ).fetchall()
        assert digest == self.digests[self.store.name]
        return str(digest)

    def read_digests(self) -> dict[str, str]:
        """Digest the store and everything beside it."""
        files = sorted(path for path in self.store.parent.iterdir() if path.is_file())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def digest_all(self) -> dict[str, str]:
        """Digest every file of the state directory but the agent's database.

        Its dead runs are ended, and the receipt of its last check in the quarantine goes with that.
        """
        files = sorted(path for path in self.state.rglob("*") if path.is_file())
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if not path.name.startswith(("openclaw-agent.sqlite", "openclaw-quarantine.sqlite"))
        }

    @contextmanager
    def started(self) -> Iterator[real_gateway.Running]:
        with real_gateway.gateway(self.install, self.state, port=self.port) as running:
            yield running

    def tailflip(self, *words: str) -> subprocess.CompletedProcess[str]:
        return real_gateway.tailflip(self.install, self.state, *words)

    @property
    def command(self) -> list[str]:
        entry = str(self.install.package / "openclaw.mjs")
        return [str(self.install.node), entry, "gateway", "run", "--port", str(self.port)]

    def starts(self) -> None:
        with self.started() as running:
            assert running.settle(150), running.output()[-2000:]
        assert self.read_digests() == self.digests


@pytest.fixture
def kept(sqlite_install: real_gateway.Install, tmp_path: Path) -> Kept:
    return Kept(sqlite_install, tmp_path)


def test_no_verb_touches_it_and_it_starts_after_each_of_them(kept: Kept) -> None:
    before = kept.digest_all()
    verbs = [
        ("check",),
        ("preflight", "--", *kept.command),
        ("compact", "--apply"),
        ("compact", "--apply", str(kept.store)),
        ("reconcile", "--apply"),
        ("gate", "--", sys.executable, "-c", "pass"),
    ]
    for verb in verbs:
        ran = kept.tailflip(*verb)
        assert ran.returncode in (0, 1, 65), ran.stdout + ran.stderr
        assert kept.digest_all() == before, verb
    told = kept.tailflip("check")
    assert "waits for plugins: brave, codex" in told.stdout
    assert "`openclaw update repair`, then `openclaw doctor --fix`" in told.stdout
    kept.starts()


def test_watch_beside_it_and_run_round_it(kept: Kept) -> None:
    env = kept.install.environment(kept.state)
    with (
        kept.started() as running,
        subprocess.Popen(
            [sys.executable, "-m", "tailflip", "watch", "--interval", "1s"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as watch,
    ):
        assert running.settle(150), running.output()[-2000:]
        assert running.stays_up(8)
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(15) == 0
    assert kept.read_digests() == kept.digests

    log = kept.state.parent / "run.log"
    with log.open("wb") as out:
        guard = subprocess.Popen(
            [sys.executable, "-m", "tailflip", "run", "--", *kept.command],
            env=env,
            stdout=out,
            stderr=out,
        )
    running = real_gateway.Running(process=guard, port=kept.port, log=log)
    try:
        assert running.settle(150), running.output()[-2000:]
        assert running.stays_up(5)
    finally:
        guard.terminate()
        guard.wait(60)
    kept.starts()


def test_what_was_changed_comes_back_and_it_starts_again(kept: Kept) -> None:
    """An older tailflip saw no record: two actions, then every start ends with exit 78."""
    hidden = kept.state.parent / "hidden"
    hidden.mkdir()
    records = [
        kept.state / "state",
        kept.state / "session-sqlite-migration-runs",
        kept.state / "agents" / "main" / "agent",
    ]
    for number, path in enumerate(records):
        path.rename(hidden / str(number))
    assert kept.tailflip("reconcile", "--apply", "zombies").returncode == 0
    assert kept.tailflip("compact", "--apply").returncode == 0
    for number, path in enumerate(records):
        (hidden / str(number)).rename(path)
    assert kept.read_digests() != kept.digests
    with kept.started() as running:
        assert not running.settle(150)
        assert running.process.returncode == EX_CONFIG
        assert CHANGED in running.output()

    home = Home(kept.state.parent / "tailflip")
    actions = [a for a in Ledger(Workspace(home, RealDisk())).read_all() if a.kind == "compact"]
    first = min(actions, key=lambda action: action.created_ms)
    assert f"`tailflip restore {first.id} --apply`" in kept.tailflip("check").stdout
    ran = kept.tailflip("restore", first.id, "--apply")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    kept.starts()
    assert hashlib.sha256(kept.store.read_bytes()).hexdigest() == kept.read_receipt()
