"""Sessions in SQLite on the real gateways: made small, started, put back, started again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import real_gateway
from guarded import install_or_skip

from support.agent_database import dump, read_entries
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install, Running

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

MB = 1_000_000
READY_S = 240


@pytest.fixture(scope="module", params=["2026.8.1", "2026.9.5", "2026.9.6"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each version of the agent's database that is known: 19, 21, 23."""
    return install_or_skip(request.param)


@pytest.fixture(scope="module")
def imported(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose store the gateway's own tool has imported."""
    state = tmp_path_factory.mktemp(f"sqlite-{install.version}") / "state"
    three_days_ms = 3 * 86_400_000
    write_incident(state, size_bytes=12 * MB, now_ms=int(time.time() * 1000) - three_days_ms)
    real_gateway.configure(state)
    ran = install.openclaw(
        state, "doctor", "--session-sqlite", "import", "--session-sqlite-all-agents"
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return state


def port_of(state: Path) -> int:
    config = json.loads((state / "openclaw.json").read_text())
    return int(config["gateway"]["port"])


def is_up(running: Running, seconds: float) -> bool:
    """Watch it for a while; its sweep may keep it from answering for some seconds."""
    return running.stays_up(seconds) or running.settle(READY_S)


def test_a_database_is_made_small_accepted_and_put_back(install: Install, imported: Path) -> None:
    """The gateway lives on the small database, and on the one that was put back."""
    database = imported / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    before, inode = dump(database), database.stat().st_ino
    size_bytes = database.stat().st_size
    ran = real_gateway.tailflip(install, imported, "compact", "--apply", "--json")
    assert ran.returncode == 0, ran.stderr
    assert database.stat().st_size < size_bytes / 4
    assert database.stat().st_ino == inode
    left = read_entries(database)
    assert left
    assert not [key for key in left if ":run:" in key]
    assert install.listed_sessions(imported) == set(left)
    back = real_gateway.tailflip(install, imported, "restore", "--all", "--apply")
    assert back.returncode == 0, back.stderr
    assert dump(database) == before
    again = real_gateway.tailflip(install, imported, "compact", "--apply")
    assert again.returncode == 0, again.stderr
    with real_gateway.gateway(install, imported, port=port_of(imported)) as running:
        assert running.settle(READY_S), running.output()[-3000:]
        assert is_up(running, 10)
        refused = real_gateway.tailflip(install, imported, "compact", "--apply")
        assert "nothing was changed" in refused.stderr or "nothing to do" in refused.stdout
    restored = real_gateway.tailflip(install, imported, "restore", "--all", "--apply")
    assert restored.returncode == 0, restored.stderr
    assert set(read_entries(database)) == {row[0] for row in before["session_nodes"]}
    with real_gateway.gateway(install, imported, port=port_of(imported)) as running:
        assert running.settle(READY_S), running.output()[-3000:]
        assert is_up(running, 5)
    told = install.openclaw(imported, "doctor", "--non-interactive")
    assert "integrity" not in told.stdout.lower() or "ok" in told.stdout.lower()
