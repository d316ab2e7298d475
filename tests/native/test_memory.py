"""Peak memory does not know how large a store is, or of what shape."""

import json
import subprocess
import sys

import pytest

MIB = 1 << 20

CHILD = """
import json, os, sys, tempfile
from pathlib import Path
from tailflip.stores.json import native
from tailflip.flow.observed import Evidence, Gateway
from tailflip.plan.policy import Policy

fd = os.open(sys.argv[1], os.O_RDONLY)
evidence = Evidence(gateway=Gateway(alive=False, pid=None, started_ms=None, evidence="test"))
with tempfile.TemporaryFile() as new, tempfile.TemporaryFile() as kept:
    if sys.argv[2] == "all":
        surveyed = native.survey(fd, Policy(), evidence, 10**12)
        native.rewrite(fd, new.fileno(), kept.fileno(), surveyed, None)
        native.verify(new.fileno())
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def measure_peak_bytes(path, what="all"):
    argv = [sys.executable, "-c", CHILD, str(path), what]
    run = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    return int(run.stdout) * 1024


def runs(count, body):
    for n in range(count):
        key = f"agent:main:cron:j{n % 7}:run:{n}"
        yield json.dumps(key) + ": " + json.dumps({"sessionId": str(n), "updatedAt": n, **body})


def tiny(count):
    return (f'"{n}": 0' for n in range(count))


def one(value_bytes):
    yield '"agent:main:cron:j:run:1": {"updatedAt": 1, "x": "'
    for _ in range(value_bytes // MIB):
        yield "y" * (MIB - 2) + "\\n"
    yield '"}'


def deep(levels):
    yield '"a": ' + "[" * levels + "]" * levels


SHAPES = {
    "16 MB of runs": (lambda: runs(600, {"skillsSnapshot": "s" * 27_000}), ","),
    "128 MB of runs": (lambda: runs(4800, {"skillsSnapshot": "s" * 27_000}), ","),
    "1.5 million tiny entries": (lambda: tiny(1_500_000), ","),
    "one string of 64 MB": (lambda: one(64 * MIB), ""),
    "a million levels": (lambda: deep(1_000_000), ","),
}


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    found = {}
    for name, (pieces, comma) in SHAPES.items():
        path = folder / "sessions.json"
        with path.open("w") as out:
            out.write("{")
            for n, piece in enumerate(pieces()):
                out.write((comma if n else "") + piece)
            out.write("}")
        found[name] = measure_peak_bytes(path)
        found["bare"] = measure_peak_bytes(path, "nothing")
    return found


def test_every_shape_peaks_within_4_mib_of_every_other(peaks):
    shapes = [peaks[name] for name in SHAPES]
    assert max(shapes) - min(shapes) <= 4 * MIB, peaks


def test_the_engine_adds_at_most_16_mib_to_the_bare_process(peaks):
    assert max(peaks[name] for name in SHAPES) - peaks["bare"] <= 16 * MIB, peaks


RECONCILE = """
import resource, sys
from tailflip.__main__ import main
try:
    sys.exit(main())
except SystemExit as e:
    assert not e.code, e.code
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_installation(state, count, *, ended):
    sessions, logs = state / "agents/main/sessions", state / "cron/runs"
    sessions.mkdir(parents=True)
    logs.mkdir(parents=True)
    at = 1_700_000_000_000
    with (sessions / "sessions.json").open("w") as store, (logs / "j.jsonl").open("w") as log:
        for n in range(count):
            key = f"agent:main:cron:j{n % 5000}:run:s{n}"
            entry = {"sessionId": f"s{n}", "updatedAt": at + n, "status": "running"}
            store.write(("," if n else "{") + f"{json.dumps(key)}:{json.dumps(entry)}")
            line = {"action": "finished", "status": "ok", "jobId": "j", "runAtMs": at + n}
            line |= {"sessionKey": key, "sessionId": f"s{n}", "durationMs": 5}
            if ended:
                log.write(json.dumps(line) + "\n")
        store.write("}")


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("verb", ["reconcile", "compact"])
def test_peak_of_a_verb_does_not_know_how_many_runs_there_are(tmp_path, verb, ended):
    """Entries, ends and starts were held in tables: 48 MiB for 6,500 runs, 231 for 400,000."""
    found = []
    for count in (5_000, 100_000):
        folder = tmp_path / str(count)
        write_installation(folder / "state", count, ended=ended)
        env = {
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "OPENCLAW_STATE_DIR": str(folder / "state"),
            "TAILFLIP_STATE_DIR": str(folder / "home"),
        }
        argv = [sys.executable, "-c", RECONCILE, verb]
        run = subprocess.run(
            argv, env=env, capture_output=True, text=True, timeout=240, check=False
        )
        assert run.returncode == 0, run.stderr
        found.append(int(run.stdout.rpartition("peak ")[2]) * 1024)
    assert abs(found[1] - found[0]) < 4 * MIB, found
