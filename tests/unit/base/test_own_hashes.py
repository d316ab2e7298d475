"""A process that does without OpenSSL computes the same digests, and the large ones fast."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from tailflip.base.own_hashes import begin_sha256, leave_openssl_out
leave_openssl_out()
import hashlib
size = int(sys.argv[1])
for _ in range(2):
    digest = begin_sha256(size)
    digest.update(b"a lobster")
    assert sys.modules["_hashlib"] is None
    maker = "openssl" if type(digest).__module__ == "_hashlib" else "own"
    print(maker, digest.hexdigest(), hashlib.sha256(b"a lobster").hexdigest())
"""


@pytest.mark.parametrize(("size", "maker"), [(9, "own"), (1 << 30, "openssl")])
def test_a_large_file_is_worth_openssl_and_a_small_one_is_not(size, maker):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(size)], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2
    for made_by, digest, own in lines:
        assert made_by == maker
        assert digest == own
        assert len(digest) == 64


def test_where_openssl_is_in_use_already_it_stays():
    script = (
        "import hashlib, sys; from tailflip.base.own_hashes import begin_sha256;"
        "before = sys.modules['_hashlib']; begin_sha256(1 << 30);"
        "assert sys.modules['_hashlib'] is before; print(before is not None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("argv", [["check"], ["watch", "--once"], ["preflight"]])
def test_no_verb_loads_openssl(tmp_path, argv):
    """It is 3 MiB of each guard, and of each compaction."""
    script = (
        "import sys; from tailflip.cli import run; run(sys.argv[1:]);"
        "print(sys.modules['_hashlib'], file=sys.stderr)"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1:] == ["None"], done.stderr
