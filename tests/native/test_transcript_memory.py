"""Slimming takes the same memory whatever a transcript's size and the length of its lines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.transcripts import dump, image, make_turns, message

MIB = 1 << 20
CHILD = """
import json, os, sys, tempfile
from pathlib import Path
from tailflip import _native

fd = os.open(sys.argv[1], os.O_RDONLY)
control = _native.Control()
with tempfile.TemporaryFile() as new, tempfile.TemporaryFile() as kept:
    if sys.argv[2] == "all":
        files = new.fileno(), kept.fileno()
        _native.transcript_measure(fd, "x", control)
        done = json.loads(_native.transcript_slim(fd, *files, "x", 0, control))
        numbers = files[0], done["bytes_after"], -1, files[1], fd
        back = json.loads(_native.transcript_unslim(*numbers, "x", control))
        assert back["digest"] == done["digest"]
        assert done["lines"] or not int(sys.argv[3]), done
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def images(count):
    yield from (dump([each]) for each in make_turns(count, picture="QUJD" * 50_000, tool="x"))


def results(count):
    yield from (dump([each]) for each in make_turns(count, tool="line of output é\n" * 20_000))


def with_turns(line):
    """A line that is old: five turns come after it."""
    yield dump(make_turns(0))
    yield line
    records = make_turns(5, picture="", tool="x")[1:]
    records[0]["parentId"] = "big"
    yield dump(records)


def tiny(count):
    yield dump(make_turns(5, picture="", tool="x"))
    for n in range(count):
        yield b'{"type":"custom","id":"%d"}\n' % n


def many_blocks(count):
    line = json.dumps(message(9, "user", [image("")] * count) | {"id": "big", "parentId": None})
    yield from with_turns(line.encode() + b"\n")


def long_line(size_bytes, byte):
    """One line of one image, or of what is no JSON."""
    record = message(9, "user", [image("@")]) | {"id": "big", "parentId": None}
    before, _, after = json.dumps(record).encode().partition(b"@")
    first, line, rest = with_turns(b"")
    yield first + line + before
    for _ in range(size_bytes // MIB):
        yield byte * MIB
    yield after + b"\n" + rest


SHAPES = {
    "16 MB of images": (lambda: images(80), 1),
    "128 MB of images": (lambda: images(640), 1),
    "64 MB of results": (lambda: results(200), 1),
    "a million tiny lines": (lambda: tiny(1_000_000), 0),
    "one line of 128 MB": (lambda: long_line(128 * MIB, b"A"), 1),
    "one line of 128 MB that is no JSON": (lambda: long_line(128 * MIB, b"\x01"), 0),
    "more blocks in a line than are replaced": (lambda: many_blocks(100_000), 0),
}


def measure_peak_bytes(path, what, changes):
    argv = [sys.executable, "-c", CHILD, str(path), what, str(changes)]
    run = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    return int(run.stdout) * 1024


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes") / "old.jsonl"
    found = {}
    for name, (pieces, changes) in SHAPES.items():
        with path.open("wb") as out:
            out.writelines(pieces())
        found[name] = measure_peak_bytes(path, "all", changes)
        found["bare"] = measure_peak_bytes(path, "nothing", 0)
    return found


def test_every_shape_peaks_within_4_mib_of_every_other(peaks):
    shapes = [peaks[name] for name in SHAPES]
    assert max(shapes) - min(shapes) <= 4 * MIB, peaks


def test_the_engine_adds_at_most_16_mib_to_the_bare_process(peaks):
    assert max(peaks[name] for name in SHAPES) - peaks["bare"] <= 16 * MIB, peaks
