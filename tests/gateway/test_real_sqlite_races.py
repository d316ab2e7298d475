"""Two tailflips, a starting gateway and its doctor on one database, all at the same moment.

`tests/process/test_fence.py` does it fifty times with the locks alone; this is the real 2026.9.6.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import real_gateway
from imported_store import ImportedStore

from support.agent_database import connect
from tailflip.observe.gateway.lock_owner import owner_lives, read_owner
from tailflip.observe.holders import find_holder

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

ROUNDS = 10
READY_S = 240
WORKED, WAITS = 0, 75
# A gateway and a doctor of Node come to the lock seconds after a tailflip does.
STEP_S = 0.7
COMPACT = ("compact", "--apply", "--retention", "24h")
DOCTOR = ("doctor", "--session-sqlite", "compact", "--non-interactive")
PIPES: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
REFUSALS = ("owns this OpenClaw state directory", "is locked by", "database is locked")


def test_one_works_the_others_wait_and_nothing_is_left_locked(
    sqlite_install: Install, tmp_path: Path
) -> None:
    store = ImportedStore(sqlite_install, tmp_path / "state")
    store.bring_in(1_000_000)
    config = json.loads((store.state / "openclaw.json").read_text("utf-8"))
    config["cron"]["sessionRetention"] = False  # else the gateway itself deletes runs
    (store.state / "openclaw.json").write_text(json.dumps(config))
    with store.started():
        pass
    every, told = store.keys(), Counter[str]()
    for number in range(ROUNDS):
        race(store, number, told)
        every |= store.keys()
        store.restore()
        assert store.keys() >= every, "a run is neither in the database nor in an archive"
    print(dict(told))
    assert told["tailflip worked"] > 0, told
    assert told["tailflip waits"] > 0, told
    assert told["gateway up"] > 0, told


def race(store: ImportedStore, number: int, told: Counter[str]) -> None:
    install, state = store.install, store.state
    env = install.environment(state)
    port = json.loads((state / "openclaw.json").read_text("utf-8"))["gateway"]["port"]
    openclaw = [str(install.node), str(install.package / "openclaw.mjs")]
    doctor = subprocess.Popen([*openclaw, *DOCTOR], env=env, **PIPES)
    with real_gateway.gateway(install, state, port=port) as gateway:
        time.sleep(number * STEP_S)
        pair = [
            subprocess.Popen([sys.executable, "-m", "tailflip", *COMPACT], env=env, **PIPES)
            for _ in range(2)
        ]
        for each in pair:
            _, err = each.communicate(timeout=READY_S)
            assert each.returncode in (WORKED, WAITS), err
            told["tailflip worked" if each.returncode == WORKED else "tailflip waits"] += 1
        out, err = doctor.communicate(timeout=READY_S)
        if doctor.returncode != 0:
            assert any(words in out + err for words in REFUSALS), out[-1500:] + err[-1500:]
        told["doctor worked" if doctor.returncode == 0 else "doctor refused"] += 1
        is_up = gateway.settle(READY_S)
        assert is_up or gateway.process.returncode == 1, gateway.output()[-2000:]
        told["gateway up" if is_up else "gateway refused"] += 1
    assert find_holder(store.database) is None
    for lock in state.glob("tmp/*/gateway.state.lock"):
        owner = read_owner(lock)
        assert owner is None or not owner_lives(owner)
    with closing(connect(store.database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    ran = real_gateway.tailflip(install, state, *COMPACT)
    assert ran.returncode == WORKED, ran.stderr
