"""A gateway that keeps the newest 500 entries: chats that are older than its runs stay."""

from __future__ import annotations

import json

import pytest

from support.stores import run_key
from tailflip.base import clock

HOUR_MS = 3_600_000
CHATS = {f"agent:main:telegram:direct:{n}" for n in range(10)}


@pytest.fixture
def store(place):
    """Six hundred runs of the last hours, and chats from before them."""
    now_ms = clock.now_ms()
    entries = {key: {"sessionId": key[-1], "updatedAt": now_ms - 72 * HOUR_MS} for key in CHATS}
    for n in range(600):
        at_ms = now_ms - HOUR_MS - n * 60_000
        entries[run_key(f"run-{n}")] = {
            "sessionId": f"run-{n}", "updatedAt": at_ms, "endedAt": at_ms, "status": "done"
        }  # fmt: skip
    place.store.parent.mkdir(parents=True, exist_ok=True)
    place.store.write_text(json.dumps(entries))
    return place.store


def left(store):
    return set(json.loads(store.read_text()))


def test_compact_takes_runs_out_first_and_puts_them_back(place, store):
    """Of 610 entries 2026.4.29 deleted the 110 oldest by `updatedAt`, and all chats with them."""
    place.put_openclaw("2026.5.28")
    before = left(store)
    _, out, _ = place.run("check")
    assert "deletes the others by itself, chats too: 110 will go" in " ".join(out.split())
    code, out, _ = place.run("compact", "--apply")
    assert code == 0
    assert "at most 490 runs in all (OpenClaw keeps the newest 500 entries" in " ".join(out.split())
    assert len(left(store)) == 500
    assert left(store) >= CHATS
    assert place.run("check", "--json")[0] in (0, 1)
    assert "deletes the others by itself" not in place.run("check")[1]
    assert place.run("restore", "--all", "--apply")[0] == 0
    assert left(store) == before


@pytest.mark.parametrize(("version", "kept"), [("2026.5.28", 500), ("2026.4.14", 610)])
def test_so_does_a_gate_for_a_release_that_deletes_by_itself(place, store, version, kept):
    program = place.put_openclaw(version)
    code, out, _ = place.run("preflight", "--json", "--", program, "gateway", "run")
    assert code == 0, out
    assert len(left(store)) == kept
    assert left(store) >= CHATS


def test_a_configuration_that_keeps_all_is_believed(place, store):
    place.put_openclaw("2026.5.28")
    config = {"session": {"maintenance": {"mode": "warn"}}}
    (place.state / "openclaw.json").write_text(json.dumps(config))
    assert "deletes the others by itself" not in place.run("check")[1]
    assert place.run("compact", "--apply")[0] == 0
    assert len(left(store)) == 610


def test_without_admission_a_start_takes_out_nothing_beforehand(place, store, monkeypatch):
    program = place.put_openclaw("2026.5.28")
    monkeypatch.setenv("TAILFLIP_HEAL_ADMISSION", "false")
    assert place.run("preflight", "--json", "--", program, "gateway", "run")[0] == 0
    assert len(left(store)) == 610
