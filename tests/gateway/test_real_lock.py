"""The gateway's own store library and `tailflip compact` on one store, at the same time."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import real_gateway

from tailflip.demo.incident import write_incident

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

LOOP_S = 20


def write_store(tmp_path: Path) -> tuple[Path, Path]:
    state = tmp_path / "state"
    incident = write_incident(state, size_bytes=3_000_000, now_ms=int(time.time() * 1000))
    real_gateway.configure(state)
    return state, incident["store"]


def start_library(
    install: real_gateway.Install, state: Path, store: Path, mode: str, seconds: float
) -> subprocess.Popen[str]:
    library = install.package / "dist" / "plugin-sdk" / "config-runtime.js"
    script = Path(__file__).with_name("update_loop.mjs")
    return subprocess.Popen(
        [str(install.node), str(script), str(library), str(store), mode, str(seconds)],
        env=install.environment(state),
        stdout=subprocess.PIPE,
        text=True,
    )


def archived_keys(install: real_gateway.Install, state: Path) -> Counter[str]:
    """Count over all actions how often each key was removed."""
    found: Counter[str] = Counter()
    for records in (state.parent / "tailflip" / "archive").glob("*/records.zst"):
        ran = real_gateway.tailflip(
            install, state, "archive", "show", records.parent.name, "--json"
        )
        assert ran.returncode == 0, ran.stderr
        found.update(r["key"] for r in json.loads(ran.stdout)["records"] if r["after"] is None)
    return found


def test_no_update_is_lost_and_none_comes_back(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    """Every update that the library acknowledged is in the store or in exactly one archive."""
    state, store = write_store(tmp_path)
    writer = start_library(gateway_install, state, store, "loop", LOOP_S)
    compactions = 0
    while writer.poll() is None:
        ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
        assert ran.returncode == 0, ran.stderr
        compactions += 1
    assert writer.stdout is not None
    told = json.loads(writer.stdout.read())
    assert told["failed"] == []
    assert len(told["updates"]) > 50
    assert compactions > 5

    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
    assert ran.returncode == 0, ran.stderr
    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == len(told["updates"])
    assert [u for u in told["updates"] if u["chat"] not in left] == []

    removed = archived_keys(gateway_install, state)
    runs = [u["run"] for u in told["updates"]]
    assert [r for r in runs if r not in removed] == [], "removed, but in no archive"
    assert [r for r in runs if r in left] == [], "removed, and back"
    assert [r for r in removed if removed[r] > 1] == [], "removed twice, so it was back between"
    assert not list(store.parent.glob("sessions.json.*")), "lock or temporary file left behind"


def test_compaction_waits_for_a_lock_that_the_library_holds(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_store(tmp_path)
    holder = start_library(gateway_install, state, store, "hold", 3)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
    assert ran.returncode == 0, ran.stderr
    told = json.loads(holder.stdout.readline())
    assert told["failed"] == []
    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == 1
    assert told["updates"][0]["chat"] in left
    assert told["updates"][0]["run"] not in left
    assert holder.wait(10) == 0


def test_compaction_gives_up_on_a_lock_held_too_long_and_changes_nothing(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_store(tmp_path)
    before = store.read_bytes()
    holder = start_library(gateway_install, state, store, "hold", 25)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
    assert ran.returncode == 75, ran.stdout + ran.stderr
    assert f"pid {holder.pid}" in ran.stderr
    assert store.read_bytes() == before
    holder.kill()
    holder.wait()

    # Its lock stays behind; the owner is dead, so it binds nobody.
    assert store.with_name("sessions.json.lock").exists()
    started = time.monotonic()
    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
    assert ran.returncode == 0, ran.stderr
    assert time.monotonic() - started < 8
    assert store.stat().st_size < len(before)
    assert not list(store.parent.glob("sessions.json.*"))
