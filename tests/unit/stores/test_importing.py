"""OpenClaw's own import runs where it reaches nothing of the gateway's, and its word is read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tailflip.base.durable import RealDisk
from tailflip.base.errors import Unavailable
from tailflip.observe.gateway.release import read_release
from tailflip.stores import importing
from tailflip.stores.importing import Imported, OpenClaw

DISK = RealDisk()
REPORT = '{\n  "mode": "import", "targets": [{"agentId": "main", "issues": []}]\n}'


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "scratch" / "state"
    path.mkdir(parents=True)
    return path


def make(tmp_path, program):
    """An installed OpenClaw whose command line is a program of Python."""
    entry = tmp_path / "openclaw.mjs"
    entry.write_text(f"import json, os, sys\n{program}\n")
    env = {"PATH": "/usr/bin", "LANG": "C", "HOME": "/home/ann", "OPENCLAW_TOKEN": "secret"}
    env |= {"OPENCLAW_STATE_DIR": "/home/ann/.openclaw", "NODE_OPTIONS": "--require=/x.js"}
    return OpenClaw(sys.executable, entry, env)


def test_it_sees_a_home_and_a_state_directory_of_its_own(tmp_path, state):
    """Of the gateway's environment it gets no path, no token and no code to load."""
    openclaw = make(
        tmp_path,
        "json.dump([dict(os.environ), sys.argv[1:], os.getcwd()], open('seen', 'w'))\n"
        f"print({REPORT!r})",
    )
    assert openclaw(state, DISK) == Imported()
    env, words, folder = json.loads((state / "seen").read_text())
    assert words[:3] == ["doctor", "--session-sqlite", "import"]
    assert Path(folder) == state
    own = state.parent
    paths = {"HOME": own / "home", "TMPDIR": own / "tmp", "OPENCLAW_STATE_DIR": state}
    paths |= {"OPENCLAW_CONFIG_PATH": state / "openclaw.json"}
    assert {name: Path(env[name]) for name in paths} == paths
    assert not {"OPENCLAW_TOKEN", "NODE_OPTIONS"} & env.keys()
    assert "ann" not in str(env)
    assert openclaw(state, DISK) == Imported(), "a second lot has the same home"


def test_transcripts_that_it_read_in_part_are_told(tmp_path, state):
    """Releases differ in their exit code then; the entries are imported in each."""
    issues = [
        {"code": "transcript_malformed", "message": "m", "sessionKey": "agent:main:a"},
        {"code": "transcript_missing", "message": "m", "sessionKey": "agent:main:b"},
        {"code": "transcript_archive_failed", "message": "no key"},
    ]
    report = json.dumps({"targets": [{"issues": issues}]}, indent=2)
    openclaw = make(tmp_path, f"print('a line of a log')\nprint({report!r})\nsys.exit(1)")
    assert openclaw(state, DISK).cut_short == ("agent:main:a",)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "print('no', file=sys.stderr)\nprint('bad option', file=sys.stderr)\nsys.exit(1)",
            "bad opt",
        ),
        ("print('Config was invalid')", "code 0: it said nothing"),
        ("print('{\\n[]')", "code 0"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
)
def test_an_import_that_failed_says_so_and_that_nothing_was_changed(tmp_path, state, program, said):
    with pytest.raises(Unavailable, match=said) as raised:
        make(tmp_path, program)(state, DISK)
    assert "nothing was changed" in raised.value.message
    assert raised.value.hint


def test_an_import_that_hangs_is_ended(tmp_path, state, monkeypatch):
    monkeypatch.setattr(importing, "_PATIENCE_S", 0.5)
    with pytest.raises(Unavailable, match="failed: no answer") as raised:
        make(tmp_path, "import time\ntime.sleep(60)")(state, DISK)
    assert "--job" in raised.value.hint


def test_a_node_that_is_gone_is_named(tmp_path, state):
    openclaw = OpenClaw(str(tmp_path / "node"), tmp_path / "openclaw.mjs", {})
    with pytest.raises(Unavailable, match=f"{tmp_path}/node"):
        openclaw(state, DISK)


def test_openclaw_is_the_release_that_starts_next_or_is_said_to_be_missing(tmp_path):
    package = tmp_path / "openclaw"
    package.mkdir()
    (package / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
    entry = package / "openclaw.mjs"
    entry.write_text("#!/usr/bin/env node\n")
    node = tmp_path / "node"
    node.write_text("")
    node.chmod(0o755)
    env = {"PATH": str(tmp_path)}
    found = OpenClaw.of(read_release((str(node), str(entry), "gateway"), env))
    assert (found.node, found.entry) == (str(node), entry)
    with pytest.raises(Unavailable, match="program not found: openclaw; nothing was changed"):
        OpenClaw.of(read_release(("openclaw",), env))
    node.unlink()
    with pytest.raises(Unavailable, match="there is no node"):
        OpenClaw.of(read_release((str(entry),), env))
