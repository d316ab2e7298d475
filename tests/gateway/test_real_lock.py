"""The gateway's own store library and `tailflip compact` on one store, at the same time."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import real_gateway

from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

LOOP_S = 20


def write_store(tmp_path: Path) -> tuple[Path, Path]:
    state = tmp_path / "state"
    incident = write_incident(state, size_bytes=3_000_000, now_ms=int(time.time() * 1000))
    real_gateway.configure(state)
    return state, incident["store"]


@contextmanager
def library(
    install: real_gateway.Install, state: Path, store: Path, mode: str, seconds: float
) -> Iterator[subprocess.Popen[str]]:
    """Run the package's own store library in a process that is gone at the end."""
    module = install.package / "dist" / "plugin-sdk" / "config-runtime.js"
    script = Path(__file__).with_name("update_loop.mjs")
    process = subprocess.Popen(
        [str(install.node), str(script), str(module), str(store), mode, str(seconds)],
        env=install.environment(state),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def chat_key(number: int) -> str:
    return f"agent:main:telegram:direct:{number}"


def run_key(number: int) -> str:
    return f"agent:main:cron:update-loop:run:{number}"


def archived_keys(install: real_gateway.Install, state: Path) -> Counter[str]:
    """Count over all actions how often each key was removed."""
    found: Counter[str] = Counter()
    for records in (state.parent / "tailflip" / "archive").glob("*/records.zst"):
        ran = real_gateway.tailflip(
            install, state, "archive", "show", records.parent.name, "--json"
        )
        assert ran.returncode == 0, ran.stderr
        records_json = ran.stdout.splitlines()[1:]  # the first line is the manifest
        found.update(r["key"] for r in map(json.loads, records_json) if not r["is_changed"])
    return found


def test_no_update_is_lost_and_none_comes_back(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    """Every update that the library acknowledged is in the store or in exactly one archive."""
    state, store = write_store(tmp_path)
    compactions = 0
    with library(gateway_install, state, store, "loop", LOOP_S) as writer:
        while writer.poll() is None:
            ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
            assert ran.returncode == 0, ran.stderr
            compactions += 1
        assert writer.stdout is not None
        told = json.loads(writer.stdout.read())
    assert told["failed"] == []
    assert told["updates"] > 50
    assert compactions > 5

    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
    assert ran.returncode == 0, ran.stderr
    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == told["updates"]
    assert set(map(chat_key, range(told["updates"]))) <= left.keys()

    removed = archived_keys(gateway_install, state)
    runs = list(map(run_key, range(told["updates"])))
    assert [r for r in runs if r not in removed] == [], "removed, but in no archive"
    assert [r for r in runs if r in left] == [], "removed, and back"
    assert [r for r in removed if removed[r] > 1] == [], "removed twice, so it was back between"
    assert not list(store.parent.glob("sessions.json.*")), "lock or temporary file left behind"


def test_compaction_waits_for_a_lock_that_the_library_holds(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_store(tmp_path)
    with library(gateway_install, state, store, "hold", 3) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
        assert ran.returncode == 0, ran.stderr
        told = json.loads(holder.stdout.readline())
    assert told["failed"] == []
    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == 1
    assert chat_key(0) in left
    assert run_key(0) not in left


def test_compaction_gives_up_on_a_lock_held_too_long_and_changes_nothing(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_store(tmp_path)
    before = store.read_bytes()
    with library(gateway_install, state, store, "hold", 60) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
        assert ran.returncode == 75, ran.stdout + ran.stderr
        assert f"pid {holder.pid}" in ran.stderr
        assert store.read_bytes() == before

    # Its lock stays behind; the owner was killed, so it binds nobody.
    assert store.with_name("sessions.json.lock").exists()
    started = time.monotonic()
    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", str(store))
    assert ran.returncode == 0, ran.stderr
    assert time.monotonic() - started < 8
    assert store.stat().st_size < len(before)
    assert not list(store.parent.glob("sessions.json.*"))
