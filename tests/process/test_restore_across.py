"""`tailflip restore` as a process, for a store that its gateway took into a database meanwhile.

The `node` on the PATH is a program of Python, which makes of the files what OpenClaw's import does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.agent_database import dump, make_database, read_entries
from support.stores import JOB, NOW_MS, make_entries, make_store

TESTS = Path(__file__).parents[1]
_NODE = """#!{python}
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
if sys.argv[1:2] == ["--version"]:
    sys.exit(print("v24.0.0"))
if "import" not in sys.argv:
    sys.exit(1)
from support.agent_database import make_database
[store] = Path(os.environ["OPENCLAW_STATE_DIR"]).glob("agents/*/sessions/sessions.json")
Path({began!r}).touch()
while Path({waits!r}).exists():
    time.sleep(0.02)
entries = json.loads(store.read_bytes())
make_database(store.parent.parent / "agent" / "openclaw-agent.sqlite", entries)
print(json.dumps({{"targets": [{{"issues": []}}]}}, indent=2))
"""


class Host:
    """A host where tailflip made a store small, and the gateway took it into a database then."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / "openclaw"
        agent = self.state / "agents" / "main"
        self.store = agent / "sessions" / "sessions.json"
        self.database = agent / "agent" / "openclaw-agent.sqlite"
        self.began, self.waits = root / "began", root / "waits"
        self.programs = root / "bin"
        self.before = make_entries()
        make_store(self.store, self.before)
        for path in self.store.parent.iterdir():
            os.utime(path, (NOW_MS / 1000, NOW_MS / 1000))
        (self.state / "openclaw.json").write_text("{}")
        ran = self.tailflip("compact", "--apply", "--json")
        assert ran.returncode == 0, ran.stderr
        left = json.loads(self.store.read_bytes())
        make_database(self.database, left)
        for path in (self.store, *self.store.parent.glob("*.jsonl")):
            path.unlink()
        self.gone = self.before.keys() - left.keys()
        assert self.gone

    def install(self) -> None:
        package = self.root / "openclaw-package"
        package.mkdir()
        self.programs.mkdir()
        (package / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
        (package / "openclaw.mjs").write_text("#!/usr/bin/env node\n")
        (package / "openclaw.mjs").chmod(0o755)
        (self.programs / "openclaw").symlink_to(package / "openclaw.mjs")
        node = self.programs / "node"
        node.write_text(
            _NODE.format(
                python=sys.executable,
                tests=str(TESTS),
                began=str(self.began),
                waits=str(self.waits),
            )
        )
        node.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[str]:
        env = {
            "PATH": f"{self.programs}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": str(self.root / "home"),
            "OPENCLAW_STATE_DIR": str(self.state),
            "TAILFLIP_STATE_DIR": str(self.root / "own"),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tailflip", *words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tailflip(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @property
    def scratch(self) -> Path:
        return self.root / "own" / "scratch"


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_a_job_s_runs_are_shown_and_then_put_back(host):
    """What a person sees: how many come, that the gateway must be stopped, and that it was done."""
    host.install()
    shown = host.tailflip("restore", "--job", JOB)
    assert shown.returncode == 0, shown.stderr
    assert f"{len(host.gone)} entries come back" in shown.stdout
    assert "OpenClaw's own import" in shown.stdout.replace("\n", " ")
    assert "nothing was changed" in shown.stdout
    assert not host.began.exists()
    done = host.tailflip("restore", "--job", JOB, "--apply", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["added"], told["untaken"], told["store"]) == (
        len(host.gone),
        [],
        str(host.database),
    )
    assert set(read_entries(host.database)) == set(host.before)
    assert not host.scratch.exists()


def test_without_openclaw_a_person_is_told_what_is_missing(host):
    """Before, it said `store is missing`, and hinted at a backup that is none."""
    before = dump(host.database)
    ran = host.tailflip("restore", "--job", JOB, "--apply")
    assert ran.returncode == 69
    said = " ".join(ran.stderr.split())
    assert "program not found: openclaw; nothing was changed" in said
    assert "where `openclaw` and `node` are on the PATH" in said
    assert dump(host.database) == before


def test_killed_while_openclaw_imports_nothing_is_left_and_the_next_one_ends_it(host):
    """The texts of sessions lie in the scratch directory until then; the next verb deletes them."""
    host.install()
    host.waits.touch()
    before = dump(host.database)
    process = host.start("restore", "--job", JOB, "--apply")
    until = time.monotonic() + 60
    while not host.began.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    assert host.began.exists(), process.communicate()
    process.send_signal(signal.SIGKILL)
    process.wait()
    host.waits.unlink()  # the import ends by itself
    process.communicate()
    assert host.scratch.exists()
    assert host.scratch.stat().st_mode & 0o077 == 0
    assert dump(host.database) == before
    done = host.tailflip("restore", "--job", JOB, "--apply")
    assert done.returncode == 0, done.stderr
    assert set(read_entries(host.database)) == set(host.before)
    assert not host.scratch.exists()
