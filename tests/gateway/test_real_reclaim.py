"""`tailflip reclaim --apply` beside a gateway that lives, and a store that is always written."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
import real_gateway
from test_real_lock import LOOP_S, library, write_store

from support.leftovers import DAY_MS, DEAD_PID, ORPHAN, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

# As people reported it: 8,662 half-written stores, 51 GB; sparse, and in every run fewer.
FILES = int(os.environ.get("TAILFLIP_LEFTOVERS", "600"))
EACH_BYTES = 6_330_000


def age(paths: Iterable[Path]) -> None:
    at = time.time() - 30 * DAY_MS / 1000
    for path in paths:
        os.utime(path, (at, at))


def test_room_is_given_back_beside_a_gateway_that_writes(
    gateway_install: real_gateway.Install, tmp_path: Path
) -> None:
    state, store = write_store(tmp_path)
    folder = store.parent
    living = next(
        entry["sessionId"]
        for entry in json.loads(store.read_text()).values()
        if "sessionId" in entry and entry.get("status") != "running"
    )
    debris = [
        folder / f"sessions.json.{DEAD_PID}.55555555-0000-4000-8000-{n:012d}.tmp"
        for n in range(FILES)
    ]
    for path in debris:
        path.touch()
        os.truncate(path, EACH_BYTES)
    kept = folder / f"{living}.jsonl"
    kept.write_bytes(make_transcript(living))
    orphan = folder / f"{ORPHAN}.jsonl"
    orphan.write_bytes(make_transcript(ORPHAN))
    age([*debris, kept, orphan])
    port = real_gateway.configure(state)
    with real_gateway.gateway(gateway_install, state, port=port) as running:
        assert running.settle(), running.output()
        with library(gateway_install, state, store, "loop", LOOP_S) as writer:
            ran = real_gateway.tailflip(gateway_install, state, "reclaim", "--apply", "--json")
            assert ran.returncode == 0, ran.stderr
            assert writer.stdout is not None
            told = json.loads(writer.stdout.read())
        assert running.is_healthy()
    answer = json.loads(ran.stdout)
    assert answer["gateway"]["alive"] is True
    gone = {each["name"]: each["gone_count"] for each in answer["may_go"]}
    assert gone.get("debris") == FILES, answer["stays"]
    assert [path for path in debris if path.exists()] == []
    # Every update that the gateway's own library acknowledged is there.
    assert told["failed"] == []
    assert told["updates"] > 50
    assert json.loads(store.read_text())
    # What an entry names stays, what nothing names is packed and comes back.
    assert kept.read_bytes() == make_transcript(living)
    assert not orphan.exists()
    for action in answer["action_ids"][-1:]:
        ran = real_gateway.tailflip(gateway_install, state, "restore", action, "--apply")
        assert ran.returncode == 0, ran.stderr
    assert orphan.read_bytes() == make_transcript(ORPHAN)
