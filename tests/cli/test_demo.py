"""The demonstration, in small: it checks itself, and leaves nothing behind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import psutil
import pytest

from tailflip.base import clock
from tailflip.demo.incident import write_incident

SIGHTS = (
    "rapid retry",
    "compact done",
    "same order",
    "restore done",
    "byte for byte",
    "JavaScript heap out of memory",  # `run` sees its gateway die,
    "cause=v8-heap-oom",  # knows of what,
    "gateway answers",  # and brings it back
    "$ tailflip status",
    "the gateway answered",  # `incidents why`
)


@pytest.mark.parametrize("gateway", ["node", "stand-in"])
def test_the_demo_plays_to_its_end_and_cleans_up(tmp_path, monkeypatch, gateway):
    """With Node a real heap overflows; without, the demo says that a stand-in acts it."""
    scratch, path = tmp_path / "scratch", tmp_path / "path"
    scratch.mkdir()
    path.mkdir()
    if gateway == "node":
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        (path / "node").symlink_to(node)
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("PATH", str(path))
    argv = [sys.executable, "-m", "tailflip", "demo", "--size-mb", "40"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in SIGHTS:
        assert word in done.stdout
    assert ("a stand-in" in done.stdout) == (gateway == "stand-in")
    assert re.search(r"removed$", done.stderr)
    assert list(scratch.iterdir()) == []


def test_a_gateway_that_does_not_come_back_ends_the_demo_and_is_not_left_behind(
    tmp_path, monkeypatch
):
    """A program named node that ends at once kept the demo waiting, and its guard outlived it."""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\nexit 0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    argv = [sys.executable, "-m", "tailflip", "demo", "--size-mb", "20"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 70
    assert "the gateway did not come back" in done.stderr
    # A zombie of somebody else's has no command line, which is then None.
    left = [each.info["cmdline"] or () for each in psutil.process_iter(["cmdline"])]
    assert [words for words in left if str(node) in words] == []


def test_the_incident_has_its_numbers_and_always_the_same_bytes(tmp_path):
    now_ms = clock.now_ms()
    found = [
        write_incident(tmp_path / name, size_bytes=2_000_000, now_ms=now_ms) for name in ("a", "b")
    ]
    assert found[0]["store"].read_bytes() == found[1]["store"].read_bytes()
    assert abs(found[0]["bytes"] - 2_000_000) < 20_000
    whole = write_incident(tmp_path / "whole", now_ms=now_ms)
    assert whole["entries"] == 6_539
    assert abs(whole["bytes"] - 185_000_000) < 20_000
    assert whole["store"].read_bytes().count(b'"status": "running"') == 4_101


def test_a_wide_incident_is_seen_as_wide(tmp_path):
    made = write_incident(tmp_path, size_bytes=1_000_000, now_ms=0, wide=True)
    assert "\u2014" in made["store"].read_text("utf-8")
