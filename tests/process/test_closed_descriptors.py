"""Started with its standard input, output or error closed: no file of ours takes their numbers.

A service manager, `nohup` or a script may do that. The gateway got our lock for its standard
output then, and died of it; `compact --apply` ended as a bug of ours.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys

import pytest

from support.guarded_gateway import wait_until
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger

CLOSE = {0: "<&-", 1: ">&-", 2: "2>&-"}
SUBSETS = [subset for many in (1, 2, 3) for subset in itertools.combinations(CLOSE, many)]
# Writes which of its three are /dev/null, and which are not open at all.
TELL = """
import json, os, sys
null = os.stat(os.devnull).st_rdev
found = []
for fd in range(3):
    try:
        found.append(os.fstat(fd).st_rdev == null)
    except OSError:
        found.append(None)
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(found, file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def start_closed(place, subset, *words):
    """Start a verb with these descriptors closed; the others are pipes."""
    closes = " ".join(CLOSE[fd] for fd in subset)
    program = ["/bin/sh", "-c", f'exec "$@" {closes}', "sh", sys.executable, "-m", "tailflip"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*program, *words], env=place.env, **pipes)


def run_closed(place, subset, *words):
    """Run a verb to its end."""
    with start_closed(place, subset, *words) as process:
        out, err = process.communicate(b"", timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.mark.parametrize("subset", SUBSETS, ids=str)
@pytest.mark.parametrize("verb", ["gate", "run"])
def test_the_gateway_gets_dev_null_for_what_was_closed(place, verb, subset):
    place.fill(60_000)
    told = place.root / "told"
    then = "import time; time.sleep(60)" if verb == "run" else ""
    command = (sys.executable, "-c", TELL + then, str(told))
    with start_closed(place, subset, verb, "--", *command) as process:
        try:
            wait_until(told.exists, "gateway that tells")
        finally:
            process.terminate()
            said = process.communicate(b"", timeout=60)
    assert process.returncode in {0, -signal.SIGTERM}, said
    found = json.loads(told.read_text())
    # Under `run` its standard error is ours to read, whatever we were started with.
    assert all(found[fd] for fd in subset if (verb, fd) != ("run", 2))
    assert None not in found


@pytest.mark.parametrize("subset", SUBSETS, ids=str)
@pytest.mark.parametrize("words", ["preflight", "check", "status", "archive list", "reconcile"])
def test_a_verb_that_looks_says_the_same_without_them(place, words, subset):
    place.fill(60_000)
    code = run_closed(place, (), *words.split()).returncode
    assert code in {0, 1}
    assert run_closed(place, subset, *words.split()).returncode == code


@pytest.mark.parametrize("subset", SUBSETS, ids=str)
def test_a_compaction_is_whole_without_them(place, subset):
    place.fill(60_000)
    given = place.store.read_bytes()
    done = run_closed(place, subset, "compact", "--apply")
    assert (done.returncode, done.stderr) == (0, b"")
    assert place.store.read_bytes() != given
    action = Ledger(Workspace(place.home, RealDisk())).read_all()[0]
    done = run_closed(place, subset, "restore", action.id, "--apply")
    assert done.returncode == 0, done.stderr
    assert json.loads(place.store.read_bytes()) == json.loads(given)
