"""The incident in SQLite, within limits that kill its gateway at every start: ours brings it back.

Each limit is that of a small host: a container of 1 GiB, and a heap of 512 MiB.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import guarded
import pytest
import real_gateway
from sqlite_states import READY_S, import_sessions, is_up, list_chats, list_texts, write_state

from support.agent_database import read_entries
from support.cgroups import memory_cgroup
from tailflip.demo.incident import INCIDENT_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from sqlite_states import Imported

    from support.cgroups import MemoryCgroup

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

GIB = 1 << 30
HEAP_MIB = 512
DIES_S = 900  # 41 to 204 s were measured on a quiet machine
STAYS_S = {"run": 600, "gate": 120}


@pytest.fixture(scope="module")
def incident(
    sqlite_install: real_gateway.Install, tmp_path_factory: pytest.TempPathFactory
) -> Imported:
    """185 MB of `sessions.json`, imported by the gateway's own tool."""
    state = tmp_path_factory.mktemp("incident") / "state"
    write_state(state, INCIDENT_BYTES)
    return import_sessions(sqlite_install, state)


def dies(scene: Imported, cgroup: MemoryCgroup, heap_mib: int | None) -> bool:
    """Say whether the gateway alone ends by itself, after it answered or before."""
    with real_gateway.gateway(
        scene.install, scene.state, port=scene.port, heap_mib=heap_mib, prefix=cgroup.prefix
    ) as alone:
        return not (alone.settle(DIES_S) and is_up(alone, DIES_S))


@pytest.mark.parametrize(("verb", "heap_mib"), [("gate", HEAP_MIB), ("run", None)])
def test_a_gateway_that_dies_of_its_database_lives_with_ours(
    incident: Imported, tmp_path: Path, verb: str, heap_mib: int | None
) -> None:
    with ExitStack() as stack:
        cgroup = stack.enter_context(memory_cgroup(GIB))
        scene = incident.copy(tmp_path)
        assert dies(scene, cgroup, heap_mib), "it was meant to die alone"
        runs = [key for key in read_entries(scene.database) if ":run:" in key]
        assert len(runs) > 6_000, "its own sweep did not do it"
        chats = list_chats(scene.database)
        start = guarded.run if verb == "run" else guarded.gate
        running = stack.enter_context(
            start(
                scene.install,
                scene.state,
                port=scene.port,
                heap_mib=heap_mib,
                prefix=cgroup.prefix,
            )
        )
        kills = cgroup.oom_kills
        assert running.settle(READY_S), running.tell()
        assert is_up(running, STAYS_S[verb]), running.tell()
        assert set(chats) <= scene.listed()
        for key in chats:
            assert scene.history(key) == list_texts(key)
        assert cgroup.oom_kills == kills, "nothing was killed meanwhile"
        if verb == "run":
            assert len(running.lives()) == 1, running.tell()
        running.process.terminate()
        running.process.wait(60)
        assert "tailflip" not in scene.doctor().lower()
