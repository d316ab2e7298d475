"""An archive of the files that older gateways keep, put back into the database of newer ones."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import real_gateway
from guarded import install_or_skip
from sqlite_states import import_sessions

from support.agent_database import dump, read_entries

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

READY_S = 240
HOUR_MS = 3_600_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
BASE, PEER = f"agent:main:cron:{JOB}", "agent:main:direct:peer"
# When a row was written, ids that follow the order of writing, and random numbers.
UNLIKE = {"created_at", "updated_at", "id", "generation"}


@pytest.fixture(scope="module", params=["2026.8.1", "2026.9.5", "2026.9.6"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each version of the agent's database that is known: 19, 21, 23."""
    return install_or_skip(request.param)


def session(number: int) -> str:
    return f"11110000-0000-4000-8000-{number:012x}"


def run_key(number: int) -> str:
    return f"{BASE}:run:{session(number)}"


def write_transcript(path: Path, name: str, moment_ms: int) -> None:
    """Write what an older gateway would have: a head, and four messages one after the other."""
    stamp = "2026-11-20T10:00:0{}.000Z"
    lines: list[dict[str, Any]] = [
        {"type": "session", "version": 3, "id": name, "timestamp": stamp.format(0), "cwd": "/"}
    ]
    for number in range(4):
        role = ("user", "assistant")[number % 2]
        text = [{"type": "text", "text": f"word{number} of {name}"}]
        lines.append(
            {
                "type": "message",
                "id": f"{name[-4:]}-{number}",
                "parentId": f"{name[-4:]}-{number - 1}" if number else None,
                "timestamp": stamp.format(number + 1),
                "message": {"role": role, "content": text, "timestamp": moment_ms + number},
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (moment_ms / 1000, moment_ms / 1000))


def write_state(state: Path, now_ms: int) -> set[str]:
    """Write two chats and a job with four runs, of which the last is its current session."""
    folder = state / "agents" / "main" / "sessions"
    folder.mkdir(parents=True)
    route = {"channel": "telegram", "to": "123"}
    old_ms = now_ms - 60 * HOUR_MS
    entries: dict[str, dict[str, Any]] = {
        "agent:main:main": {"sessionId": session(1), "updatedAt": now_ms - 2 * HOUR_MS},
        PEER: {
            "sessionId": session(2),
            "updatedAt": now_ms - 3 * HOUR_MS,
            "chatType": "direct",
            "lastChannel": "telegram",
            "lastTo": "123",
            "deliveryContext": route,
        },
        BASE: {"sessionId": session(10), "updatedAt": old_ms, "deliveryContext": route},
        run_key(10): {"sessionId": session(10), "updatedAt": old_ms, "status": "done"},
        run_key(11): {
            "sessionId": session(11),
            "updatedAt": old_ms,
            "status": "running",
            "chatType": "direct",
            "deliveryContext": route,
        },
        run_key(12): {"sessionId": session(12), "updatedAt": old_ms, "status": "failed"},
        run_key(13): {"sessionId": session(13), "updatedAt": old_ms, "status": "done"},
    }
    for key, entry in entries.items():
        path = folder / f"{entry['sessionId']}.jsonl"
        if key == run_key(13):
            continue  # whose transcript was lost before
        write_transcript(path, entry["sessionId"], entry["updatedAt"])
        if key in (run_key(10), run_key(11), PEER):
            entry["sessionFile"] = str(path)
    store = folder / "sessions.json"
    store.write_text(json.dumps(entries, indent=2))
    store.chmod(0o600)
    real_gateway.configure(state)
    return set(entries)


def take_over(install: Install, state: Path) -> None:
    """Let the gateway's own tool import the store that lies there."""
    import_sessions(install, state)
    assert not (state / "agents" / "main" / "sessions" / "sessions.json").exists()


def read_rows(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of a session, without what two imports of one store write differently."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        found = {}
        for table, rows in dump(database).items():
            names = [row[1] for row in db.execute(f"PRAGMA table_info('{table}')")]
            at = [n for n, name in enumerate(names) if name not in UNLIKE]
            found[table] = sorted((tuple(row[n] for n in at) for row in rows), key=repr)
        return found


def test_runs_from_before_the_import_come_back_with_their_history(
    install: Install, tmp_path: Path
) -> None:
    """The database is as if nothing had been taken out before, and the gateway lives on it."""
    now_ms = int(time.time() * 1000)
    state, twin = tmp_path / "one" / "state", tmp_path / "two" / "state"
    keys = write_state(state, now_ms)
    assert write_state(twin, now_ms) == keys
    take_over(install, twin)  # whole

    ran = real_gateway.tailflip(install, state, "compact", "--apply", "--json")
    assert ran.returncode == 0, ran.stderr
    action = json.loads(real_gateway.tailflip(install, state, "archive", "list", "--json").stdout)[
        "actions"
    ][0]
    take_over(install, state)
    database = state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    assert install.listed_sessions(state) == {"agent:main:main", PEER, BASE}

    shown = real_gateway.tailflip(install, state, "restore", action["id"])
    assert shown.returncode == 0, shown.stderr
    assert "4 entries come back" in shown.stdout
    assert "OpenClaw's own import" in shown.stdout
    assert len(read_entries(database)) == 3

    back = real_gateway.tailflip(install, state, "restore", action["id"], "--apply")
    assert back.returncode == 0, back.stdout + back.stderr
    assert install.listed_sessions(state) == keys
    whole = twin / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    assert_same_history(database, whole)
    assert not (state / "agents" / "main" / "sessions" / "sessions.json").exists()

    port = int(json.loads((state / "openclaw.json").read_text())["gateway"]["port"])
    with real_gateway.gateway(install, state, port=port) as running:
        assert running.settle(READY_S), running.output()[-3000:]
        assert running.stays_up(10) or running.settle(READY_S)
        again = real_gateway.tailflip(install, state, "restore", action["id"], "--apply")
        assert "4 entries stay archived" in again.stdout, again.stdout + again.stderr
    assert install.listed_sessions(state) == keys
    assert read_rows(database)["transcript_events"] == read_rows(whole)["transcript_events"]


def assert_same_history(database: Path, whole: Path) -> None:
    """Compare every table of sessions, row by row.

    A job's node and its last run share a window, which describes the one that was imported last.
    """
    found, wanted = read_rows(database), read_rows(whole)
    for table in sorted(wanted):
        if table.startswith(("session_", "transcript_", "conversations")):
            one, other = (leave_out_shared(table, rows[table]) for rows in (found, wanted))
            assert one == other, table
    assert len(wanted["transcript_events"]) == 5 * 5


def leave_out_shared(table: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if table not in ("session_windows", "session_conversations"):
        return rows
    return [row for row in rows if session(10) not in row]
