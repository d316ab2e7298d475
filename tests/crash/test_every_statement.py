"""Kill at every statement that changes an agent's database, and in the middle of long ones.

Promise: the database is whole, store and archive together hold everything, starting again ends
what was begun, once, and a restore puts all of it back.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from unittest.mock import patch

import power
import pytest
import scenarios
from database_scenarios import DATABASES
from parallel import WORKERS, in_parallel
from scenarios import DONE

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.stores.sqlite import change, finish
from tailflip.stores.sqlite.library import connect

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from scenarios import Scenario

pytestmark = pytest.mark.crash
_EVERY = 200  # instructions of SQLite's machine, between two looks inside a statement


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: scenarios.NOW_MS)


def act_until(scenario: Scenario, at: int) -> tuple[int, str]:
    """Act in a child that dies at the `at`-th moment; how it ended, and the statement."""
    told = scenario.root.with_name("told")
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _act_traced(scenario, at, told)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, told.read_text() if told.exists() else ""


def _act_traced(scenario: Scenario, at: int, told: Path) -> int:
    count, last = 0, ""

    def pass_by(statement: str | None = None) -> int:
        nonlocal count, last
        count, last = count + 1, statement or last
        if count == at:
            told.write_text(f"{'before' if statement else 'inside'} {last[:60]}")
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def connect_traced(path: Path) -> sqlite3.Connection:
        db = connect(path)
        db.set_trace_callback(pass_by)
        db.set_progress_handler(pass_by, _EVERY)
        return db

    with (
        patch.object(change, "connect", connect_traced),
        patch.object(finish, "connect", connect_traced),
    ):
        return scenario.act(RealDisk())


@pytest.mark.parametrize("name", DATABASES)
def test_a_kill_at_any_statement_loses_nothing(folder: Path, name: str) -> None:
    def work(number: int, own: Path) -> list[str]:
        scenario = DATABASES[name](own / "root")
        scenario.prepare()
        beginning = power.Medium.of(scenario.root)
        tree = {n: f and bytes(f.data) for n, f in beginning.seen.items()}
        scenario.learn()
        at, code, failed = 1 + number, -signal.SIGKILL, []
        while code != DONE:
            power.put_tree(scenario.root, tree)
            code, where = act_until(scenario, at)
            assert code in (DONE, -signal.SIGKILL), (code, where)
            try:
                scenario.check()
            except Exception as e:  # noqa: BLE001 - collected, so that one run shows them all
                failed.append(f"{name}, moment {at}, {where}: {e!r}")
            at += WORKERS
        assert at > 100, "it was killed at many moments"
        return failed

    failed = in_parallel(folder, work)
    assert not failed, "\n".join(failed)[:20_000]
