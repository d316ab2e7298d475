"""The engine on a newer SQLite than Python's own: what is new there is used, and does the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

newer = pytest.importorskip("pysqlite3", reason="of the extra `dev`, for Linux on x86-64")

TESTS = ("test_change.py", "test_rows.py", "test_survey.py")
# The module has the names of the standard one, and takes its place before anybody imports it.
RUN = """
import sys, pysqlite3, pysqlite3.dbapi2
sys.modules["sqlite3"], sys.modules["sqlite3.dbapi2"] = pysqlite3, pysqlite3.dbapi2
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_changes_restores_and_surveys_are_the_same():
    assert newer.sqlite_version_info >= (3, 43), "it counts bytes by itself"
    files = [str(Path(__file__).with_name(name)) for name in TESTS]
    argv = [sys.executable, "-c", RUN, "-p", "no:cacheprovider", *files]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
