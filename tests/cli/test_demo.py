"""The demonstration, in small: it checks itself, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys

from tailflip.base import clock
from tailflip.demo.incident import write_incident


def test_the_demo_plays_to_its_end_and_cleans_up(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    argv = [sys.executable, "-m", "tailflip", "demo", "--size-mb", "5"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("rapid retry", "compact done", "same order", "restore done", "byte for byte"):
        assert word in done.stdout
    assert re.search(r"removed$", done.stderr)
    assert list(tmp_path.iterdir()) == []


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
