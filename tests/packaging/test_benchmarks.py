"""Every benchmark starts: one that imports a name which is gone was found only by running it.

`bench/soak.py` had done so since a table moved, and no test read it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_finds_everything_that_it_imports(path):
    load = "import runpy, sys; sys.path.insert(0, sys.argv[2]); runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", load, path, BENCH],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
