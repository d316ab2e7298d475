"""The state that kills the real gateway, and the same gateway after `tailflip compact`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import real_gateway

from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

MB = 1_000_000
STRING_LIMIT = 536_870_888  # characters; V8 makes no longer string
# version -> (store bytes, heap MiB): dies within seconds of every start.
DEADLY = {"2026.3.28": (60 * MB, 256), "2026.4.14": (20 * MB, 400)}


def write_state(tmp_path: Path, size_bytes: int) -> tuple[Path, Path, int]:
    """Return state directory, store and port of an incident that a real gateway can start on."""
    state = tmp_path / "state"
    incident = write_incident(state, size_bytes=size_bytes, now_ms=int(time.time() * 1000))
    return state, incident["store"], real_gateway.configure(state)


def read_kept(store: Path) -> dict[str, object]:
    """Return the entries that must stay: everything but single cron runs."""
    return {k: v for k, v in json.loads(store.read_bytes()).items() if ":run:" not in k}


def read_keys(store: Path) -> set[str]:
    return set(json.loads(store.read_bytes()))


def test_state_that_kills_gateway_boots_after_compaction(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    size_bytes, heap_mib = DEADLY[gateway_install.version]
    state, store, port = write_state(tmp_path, size_bytes)
    kept = read_kept(store)
    assert len(kept) == 15

    with real_gateway.gateway(gateway_install, state, heap_mib=heap_mib, port=port) as running:
        assert not running.settle(), "the store was meant to kill it before it answers"
        assert running.process.wait() != 0
        assert real_gateway.HEAP_DEATH in running.output()

    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply", heap_mib=heap_mib)
    assert ran.returncode == 0, ran.stderr
    assert store.stat().st_size < size_bytes / 10
    assert read_kept(store) == kept

    with real_gateway.gateway(gateway_install, state, heap_mib=heap_mib, port=port) as running:
        assert running.settle(), running.output()[-2000:]
        assert running.stays_up(8), running.output()[-2000:]
        listed = gateway_install.listed_sessions(state)
        assert listed == read_keys(store)
        assert kept.keys() <= listed
    assert running.process.returncode == 0, "asked to stop, it stops cleanly"


def test_store_above_string_limit_boots_with_its_chats(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    """Above V8's string limit the gateway sees an empty store, and would write one over it."""
    if gateway_install.version != "2026.3.28":
        pytest.skip("one version is enough for 600 MB: the limit is V8's")
    state, store, port = write_state(tmp_path, 600 * MB)
    kept = {f"agent:main:{name}" for name in ("main", "telegram:group:-100200")}
    assert store.stat().st_size > STRING_LIMIT
    assert gateway_install.listed_sessions(state) == set(), "the real thing takes it for empty"

    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply")
    assert ran.returncode == 0, ran.stderr
    assert store.stat().st_size < STRING_LIMIT
    important = read_kept(store)
    assert len(important) == 15
    assert kept <= important.keys()

    with real_gateway.gateway(gateway_install, state, port=port) as running:
        assert running.settle(), running.output()[-2000:]
        assert running.stays_up(8), running.output()[-2000:]
        assert gateway_install.listed_sessions(state) >= important.keys()


def test_truncated_store_is_never_let_through(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store, _ = write_state(tmp_path, 5 * MB)
    whole = json.loads(store.read_bytes())
    damaged = store.read_bytes()[: 4 * MB]
    store.write_bytes(damaged)
    assert gateway_install.listed_sessions(state) == set(), "the real thing takes it for empty"

    ran = real_gateway.tailflip(gateway_install, state, "compact")
    assert ran.returncode == 65, ran.stdout + ran.stderr
    assert store.read_bytes() == damaged

    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply")
    assert ran.returncode == 0, ran.stderr
    salvaged = json.loads(store.read_bytes())
    important = {key for key in whole if ":run:" not in key}
    assert important <= salvaged.keys() <= whole.keys()
    assert gateway_install.listed_sessions(state) == salvaged.keys()


def test_compaction_under_a_running_gateway_is_seen_by_it(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store, port = write_state(tmp_path, 5 * MB)
    kept = read_kept(store)
    with real_gateway.gateway(gateway_install, state, port=port) as running:
        assert running.settle(), running.output()[-2000:]
        ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply")
        assert ran.returncode == 0, ran.stderr
        assert store.stat().st_size < 3 * MB
        called = gateway_install.openclaw(
            state,
            *("gateway", "call", "sessions.list", "--params", "{}", "--json"),
            *("--url", f"ws://127.0.0.1:{port}", "--token", real_gateway.TOKEN),
        )
        assert called.returncode == 0, called.stderr[-2000:]
        # Single runs are hidden from this list, so it is exactly what must stay.
        assert {s["key"] for s in json.loads(called.stdout)["sessions"]} == kept.keys()
        assert running.stays_up(3), running.output()[-2000:]
    assert read_kept(store).keys() == kept.keys()
