"""A living 2026.9.6 that writes, and every reading verb beside it, for as long as one wants.

`TAILFLIP_TEST_READER_S` says for how many seconds; 300 is the promise that was once checked.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
import real_gateway
from held_runs import prepare

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1200)]
SECONDS = float(os.environ.get("TAILFLIP_TEST_READER_S", "60"))
VERBS = (("check",), ("tasks",), ("reconcile",), ("status",), ("inspect",))
MIB = 1 << 20


def list_databases(state: Path) -> dict[str, int]:
    """Sizes of all databases and what lies beside them."""
    found = [*state.glob("state/*"), *state.glob("agents/*/agent/*")]
    return {str(path.relative_to(state)): path.stat().st_size for path in found if path.is_file()}


def live(scene, seconds: float, *, read: bool) -> dict[str, int]:
    """Let a job run all the time, with our readers beside it or not; return the largest sizes."""
    largest: dict[str, int] = {}
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        where = ("--url", f"ws://127.0.0.1:{scene.port}", "--token", real_gateway.TOKEN)
        said = scene.install.openclaw(scene.state, "cron", "run", scene.job, *where)
        assert said.returncode == 0 or "already-running" in said.stdout, said.stderr[-1000:]
        if read:
            verb = VERBS[number % len(VERBS)]
            ran = real_gateway.tailflip(scene.install, scene.state, *verb, "--json")
            assert ran.returncode in (0, 1), ran.stderr
            assert "cannot be read" not in ran.stderr
            json.loads(ran.stdout)
        number += 1
        for name, size in list_databases(scene.state).items():
            largest[name] = max(size, largest.get(name, 0))
    return largest


def test_a_reader_disturbs_no_gateway_that_writes(sqlite_install, tmp_path):
    with prepare(sqlite_install, tmp_path) as scene:
        scene.model.release()
        with scene.started():
            scene.add_job()
            alone = live(scene, SECONDS / 2, read=False)
            beside = live(scene, SECONDS, read=True)
            assert scene.running.is_healthy()
        logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("gateway-*.log"))
        assert "database is locked" not in logs
        assert "SQLITE_BUSY" not in logs
        assert set(beside) - set(alone) <= {name for name in beside if "import-archive" in name}
        for name, size in beside.items():
            if name.endswith("-wal"):
                assert size <= max(alone.get(name, 0), 4 * MIB) + 2 * MIB, (name, alone, beside)
