"""A session that kills a real 2026.9.6 each time it is resumed: named, held, and brought back."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
import uuid
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import guarded
import pytest
import real_gateway
from real_gateway import TOKEN

from fakes.deadly_model import deadly_model
from tailflip.flow.work import Work, WorkKind

if TYPE_CHECKING:
    from pathlib import Path

    from guarded import Guarded

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1500)]

POISON, MAIN, OTHER = "hemlock", "agent:main:main", "agent:main:other"
DEATHS = 3  # the default of `reconcile.hold_deaths`
STARTS_S = 240


def say(running: Guarded, session: str, text: str) -> None:
    """Send a message to a session; the gateway may die of it before it answers."""
    params = {"sessionKey": session, "message": text, "idempotencyKey": str(uuid.uuid4())}
    where = ("--url", f"ws://127.0.0.1:{running.port}", "--token", TOKEN, "--json")
    running.install.openclaw(
        running.state, "gateway", "call", "chat.send", "--params", json.dumps(params), *where
    )


def read_node(state: Path, key: str) -> dict[str, Any]:
    path = state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        row = db.execute(
            "SELECT status, entry_json, entry_valid FROM session_nodes WHERE session_key = ?",
            (key,),
        ).fetchone()
    return {"status": row[0], "valid": row[2], "entry": json.loads(row[1])}


def until(condition: Any, what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.3)


def test_session_that_kills_is_held_by_run_and_released(
    sqlite_install: real_gateway.Install, tmp_path: Path
) -> None:
    """Its own budget of three attempts never ends the loop: a turn that began is not counted."""
    state = tmp_path / "state"
    state.mkdir()
    found: list[Guarded] = []

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.kill(found[-1].life().worker_pid or found[-1].life().pid, signal.SIGKILL)

    with deadly_model(POISON, kill) as model:
        port = real_gateway.configure(state, model.port)
        with guarded.run(sqlite_install, state, port=port) as running:
            found.append(running)
            running.wait_for_life(1, STARTS_S)
            say(running, MAIN, f"say {POISON}")
            # On a busy machine a start may fail by a limit of the gateway's own, and is made again.
            running.wait_for(
                lambda: any(life.ready_ms for life in running.lives()[DEATHS:]),
                4 * STARTS_S,
                "life after the hold",
            )
            assert model.deaths == DEATHS
            killed = running.lives()[:DEATHS]
            works = (Work(kind=WorkKind.SESSION, key=MAIN),)
            assert [life.in_flight for life in killed] == [works] * DEATHS
            assert killed[-1].cured, "what kills is held: a cure"
            assert running.stays_up(45), running.tell()
            assert model.deaths == DEATHS, "it is not resumed again"
            node = read_node(state, MAIN)
            assert node["status"] == "failed"
            assert node["entry"]["mainRestartRecovery"]["tombstone"]["reason"].startswith("tailfl")
            answers = model.answers
            say(running, OTHER, "say hello")
            until(lambda: model.answers > answers, "an answer to another chat")
            told = json.loads(
                real_gateway.tailflip(sqlite_install, state, "check", "--json").stdout
            )
            assert [f["subject"] for f in told["findings"] if f["code"] == "session-held"] == [MAIN]

        released = real_gateway.tailflip(sqlite_install, state, "release", MAIN, "--apply")
        assert released.returncode == 0, released.stderr
        assert read_node(state, MAIN)["status"] == "running"
        model.is_deadly = False
        number = len(found[-1].lives()) + 1
        with guarded.run(sqlite_install, state, port=port) as running:
            found.append(running)
            running.wait_for_life(number, STARTS_S)
            done = "its resumed turn to end well"
            until(lambda: read_node(state, MAIN)["status"] == "done", done, STARTS_S)
            assert "tombstone" not in read_node(state, MAIN)["entry"].get("mainRestartRecovery", {})
