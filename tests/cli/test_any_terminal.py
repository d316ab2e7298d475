"""Every verb in every encoding at every width: no crash, and nothing that matters is cut."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest

from support.incident_history import record_night
from tailflip import cli
from tailflip.base.durable import RealDisk
from tailflip.base.layout import measure
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.app import _VERBS
from tailflip.ledger.history import History

WIDTHS = (60, 80, 120, 200)
ENCODINGS = {
    "C": ("utf-8", "surrogateescape"),
    "UTF-8": ("utf-8", "strict"),
    "ISO-8859-1": ("iso-8859-1", "strict"),
    "ascii": ("ascii", "strict"),
}
# Command lines of verbs, none of which changes anything; of any other verb, its help.
ARGVS = {
    "status": [["status"]],
    "check": [["check"]],
    "inspect": [["inspect"]],
    "compact": [["compact"], ["compact", "no such store"]],
    "reconcile": [["reconcile"]],
    "tasks": [["tasks"]],
    "watch": [["watch", "--help"]],
    "restore": [["restore", "--all"], ["restore", "nothing"]],
    "archive": [["archive", "list"], ["archive", "verify"], ["archive", "show", "x"]],
    "incidents": [["incidents"], ["incidents", "why"], ["incidents", "why", "--stderr"]],
    "config": [["config", "show"], ["config", "check"], ["config", "example"]],
    "install": [["install"]],
    "uninstall": [["uninstall"]],
    "demo": [["demo", "--help"]],
}
RAW = [["incidents", "why", "--stderr"], ["config", "example"]]
NAME = "每晚报告 rapport d'été"


@pytest.fixture
def stored(place, tmp_path):
    """The incident, a night on record, an archive; names in several scripts."""
    place.fill(200_000)
    jobs = place.state / "cron" / "jobs.json"
    known = json.loads(jobs.read_text())
    for job in known["jobs"]:
        job["name"] = f"{NAME} {job['name']}"
    jobs.write_text(json.dumps(known, ensure_ascii=False))
    assert place.run("compact", "--apply")[0] == 0
    place.fill(200_000)
    jobs.write_text(json.dumps(known, ensure_ascii=False))
    history = History(Workspace(Home(place.home), RealDisk()), str(place.state))
    record_night(history, store=str(place.store), is_over=False)
    return place


def run(argv, monkeypatch, encoding="utf-8", errors="strict", width=None):
    """Run one command line with streams of an encoding: code, stdout, stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors=errors) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        patch.setenv("COLUMNS", str(width or ""))
        code = cli.run(argv)
    for stream in streams:
        stream.flush()
    return (code, *(s.buffer.getvalue().decode(encoding) for s in streams))


@pytest.mark.parametrize("locale", ENCODINGS)
def test_no_verb_crashes_and_every_line_fits(stored, monkeypatch, locale):
    """In a Latin-1 locale `status`, `restore` and `inspect` ended with 70, "a bug"."""
    for argv in (each for verb in _VERBS for each in ARGVS.get(verb, [[verb, "--help"]])):
        whole = run(argv, monkeypatch, *ENCODINGS[locale])
        for width in WIDTHS:
            code, out, err = run(argv, monkeypatch, *ENCODINGS[locale], width=width)
            assert code == whole[0], (argv, width, err)
            assert code != 70, (argv, width, err)
            if argv in RAW:
                continue
            for line in (out + err).splitlines():
                assert measure(line) <= width, (argv, line)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_pid_or_command_is_cut(stored, monkeypatch, width):
    """`... 38789 is free, and no process i…`: at 60 columns half of what it said was gone."""
    ago = re.compile(r"[\d.]+ (?:ms|s|min|h|d) ago|in [\d.]+ s\b|disk: .*")  # moves on
    verbs = ("status", "check", "inspect", "compact", "incidents", "incidents why")
    for argv in map(str.split, verbs):
        whole = run(argv, monkeypatch)[1].partition("\ndone ")[0]  # `status` leaves out the oldest
        narrow = run(argv, monkeypatch, width=width)[1]
        for pattern in (
            r"(?<![\w/.-])\d[\d,.]*\d(?![\w/-])",
            r"`[^`]+`",
            r"tailflip \w+ \S+ --apply",
        ):
            wanted = set(re.findall(pattern, ago.sub("", whole)))
            there = " ".join(narrow.split())
            assert [each for each in wanted if " ".join(each.split()) not in there] == [], argv


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "utf-8"])
@pytest.mark.parametrize("verb", ["gate", "preflight", "run"])
def test_those_that_stand_before_a_start_say_what_they_do(stored, verb, encoding, tmp_path):
    program = tmp_path / "每晚"
    env = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "60", "LC_ALL": "C.UTF-8"}
    argv = [sys.executable, "-m", "tailflip", verb, "--set", "heal.admission=false", "--"]
    done = subprocess.run(
        [*argv, str(program)], env=env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 78, done.stderr
    assert "cannot start" in done.stderr.decode(encoding)
