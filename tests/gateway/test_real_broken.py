"""What stops every start of the real 2026.9.6: its cause and next step are told, and it is waited.

What is put right ends the wait.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, NamedTuple

import broken_states
import guarded
import pytest
import real_gateway
from broken_states import state_database
from sqlite_states import MB, database_of, import_sessions, list_chats, write_state

from tailflip.diagnose.causes import choose_step
from tailflip.flow.lives import Cause, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from real_gateway import Install

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1200)]

DEADLINE_S = 300
TASKS = 100_000
LOG_BYTES = 600 * MB


class Fault(NamedTuple):
    """One fault: `file` is what it breaks, `step` a part of the next step, `finding` of `check`."""

    file: Callable[[Path], Path]
    write: Callable[[Path], None]
    cause: Cause
    waiting: Waiting
    step: str
    finding: str | None


def config_of(state: Path) -> Path:
    return state / "openclaw.json"


def write_bad_key(config: Path) -> None:
    told = json.loads(config.read_text())
    told["gateway"]["bnid"] = "loopback"
    config.write_text(json.dumps(told, indent=2))


def damaged(file: Callable[[Path], Path]) -> Fault:
    return Fault(
        file,
        broken_states.write_garbage,
        Cause.DAMAGED,
        Waiting.STATE_CHANGE,
        "repairs no damaged database",
        "database-damaged",
    )


def newer(file: Callable[[Path], Path]) -> Fault:
    return Fault(
        file,
        broken_states.write_newer_schema,
        Cause.NEWER_SCHEMA,
        Waiting.STATE_CHANGE,
        "install the release that wrote these databases or a newer one",
        "records-unread",
    )


FAULTS = {
    "garbage in an agent's database": damaged(database_of),
    "garbage in the state database": damaged(state_database),
    "an agent's database of a newer release": newer(database_of),
    "a state database of a newer release": newer(state_database),
    "a key that the configuration does not know": Fault(
        config_of,
        write_bad_key,
        Cause.CONFIG,
        Waiting.CONFIG_CHANGE,
        "correct the configuration",
        None,
    ),
}


@pytest.fixture(scope="module")
def whole(sqlite_install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose store the gateway's own tool has imported."""
    state = tmp_path_factory.mktemp("whole") / "state"
    write_state(state, MB)
    return import_sessions(sqlite_install, state).state


@pytest.mark.parametrize("name", FAULTS)
def test_a_start_that_cannot_succeed_is_told_and_waits(
    sqlite_install: Install, whole: Path, tmp_path: Path, name: str
) -> None:
    fault, state, kept = FAULTS[name], tmp_path / "state", tmp_path / "kept"
    shutil.copytree(whole, state, symlinks=True)
    port = real_gateway.configure(state)
    broken_states.empty_log(state)
    shutil.copyfile(fault.file(state), kept)
    fault.write(fault.file(state))
    broken = fault.file(state).read_bytes()
    with guarded.run(sqlite_install, state, port=port) as running:
        running.wait_for(running.history.decisions.read_last, DEADLINE_S, "decision")
        (death,) = running.deaths()
        assert death.cause is fault.cause, running.tell()
        assert fault.step in choose_step(death.cause, death.hint)
        assert running.history.decisions.read_last().decision.waiting is fault.waiting
        told = real_gateway.tailflip(sqlite_install, state, "status")
        assert fault.step in told.stdout
        checked = real_gateway.tailflip(sqlite_install, state, "check", "--json")
        codes = {each["code"] for each in json.loads(checked.stdout)["findings"]}
        assert {"starts-stopped", fault.finding} - {None} <= codes
        assert fault.file(state).read_bytes() == broken, "it is left as it is"
        broken_states.put_back(kept, fault.file(state))
        running.wait_for_life(2, DEADLINE_S)
        assert running.stays_up(5), running.tell()


def test_a_task_ledger_that_kills_each_start_is_read_with_a_heap_flag(
    sqlite_install: Install, whole: Path, tmp_path: Path
) -> None:
    """The worker that reads 100,000 tasks has 512 MB, unless node is given a limit."""
    state = tmp_path / "state"
    shutil.copytree(whole, state, symlinks=True)
    port = real_gateway.configure(state)
    with real_gateway.gateway(sqlite_install, state, port=port):
        pass  # it makes the tables
    broken_states.write_task_runs(state, TASKS)
    with guarded.run(sqlite_install, state, port=port) as running:
        running.wait_for_life(2, DEADLINE_S)
        assert running.stays_up(10), running.tell()
        assert [death.cause for death in running.deaths()] == [Cause.TASK_LEDGER]
        assert running.lives()[0].cured
        assert "--max-old-space-size=" in running.worker().environ()["NODE_OPTIONS"]


def test_a_log_that_was_never_emptied_is_named_and_keeps_no_start_down(
    sqlite_install: Install, whole: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    shutil.copytree(whole, state, symlinks=True)
    port = real_gateway.configure(state)
    database = database_of(state)
    before = list_chats(database)
    broken_states.fill_log(database, LOG_BYTES)
    log = database.with_name(f"{database.name}-wal")
    assert log.stat().st_size > LOG_BYTES
    checked = real_gateway.tailflip(sqlite_install, state, "check", "--json")
    found = {each["code"]: each for each in json.loads(checked.stdout)["findings"]}
    assert "write-ahead log" in found["database-bloat"]["message"]
    with guarded.run(sqlite_install, state, port=port) as running:
        running.wait_for_life(1, DEADLINE_S)
        assert running.stays_up(10), running.tell()
        assert not running.deaths()
    assert list_chats(database) == before
