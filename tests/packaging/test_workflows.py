"""The workflows run what can be run anywhere, and are what their runner understands."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_that_runs_something_is_a_make_target(path):
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    steps = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert steps
    for step in steps:
        make, target = step.split()
        assert make == "make"
        assert target in TARGETS


@pytest.mark.skipif(shutil.which("go") is None, reason="the checker is a program in Go")
def test_the_checker_of_workflows_has_nothing_to_say():
    done = subprocess.run(
        ["make", "lint-workflows"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
