"""Rows at which the real 2026.9.6 ends when it starts: set right, started, put back.

All in place: of a copy of a database, the gateway proves every entry anew.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

import guarded
import pytest
import real_gateway

from support.agent_database import connect, dump

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

READY_S = 240
HOUR_MS = 3_600_000
CHAT, OTHER = "agent:main:main", "agent:main:direct:peer"
ENTRY, EVENT = "session_nodes", "transcript_events"
OF_ENTRY = f"WHERE session_key = '{OTHER}'"
OF_EVENT = "seq = 2 AND session_id = 'chat-2'"
FAULTS = {
    "an entry that another hand changed": (
        f"UPDATE {ENTRY} SET entry_json = entry_json || ' ' WHERE session_key = '{OTHER}'",
        "entry-unproven",
    ),
    "an entry that is no JSON": (
        f"UPDATE {ENTRY} SET entry_json = '{{\"sessionId\": \"' WHERE session_key = '{OTHER}'",
        "entry-unreadable",
    ),
    "an entry of another session than its row": (
        f"UPDATE {ENTRY} SET entry_json = json_set(entry_json, '$.sessionId', 'chat-9') {OF_ENTRY}",
        "entry-contradicts",
    ),
    "an event that is no JSON, of a session to be indexed anew": (
        f"UPDATE {EVENT} SET event_json = replace(event_json, 'hello', char(10)) WHERE {OF_EVENT}",
        "event-unreadable",
    ),
}
GONE = {"entry-unreadable": ENTRY, "entry-contradicts": ENTRY, "event-unreadable": EVENT}


def write_state(state: Path) -> None:
    """Two chats with a transcript each, as files that the gateway's tool imports."""
    now_ms = int(time.time() * 1000)
    folder = state / "agents" / "main" / "sessions"
    folder.mkdir(parents=True)
    entries = {
        key: {"sessionId": f"chat-{n}", "updatedAt": now_ms - n * HOUR_MS}
        for n, key in enumerate((CHAT, OTHER), 1)
    }
    (folder / "sessions.json").write_text(json.dumps(entries))
    for entry in entries.values():
        session, parent = entry["sessionId"], None
        lines = [{"type": "session", "version": 3, "id": session, "timestamp": stamp(now_ms)}]
        for n in range(4):
            message = {
                "role": "user" if n % 2 == 0 else "assistant",
                "content": [{"type": "text", "text": f"hello {n}"}],
                "timestamp": now_ms,
            }
            line = {"type": "message", "id": f"e{n}", "parentId": parent, "message": message}
            lines.append({**line, "timestamp": stamp(now_ms)})
            parent = f"e{n}"
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (folder / f"{session}.jsonl").write_text(text)


def stamp(now_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now_ms / 1000))


@pytest.fixture
def settled(sqlite_install: Install, tmp_path: Path) -> Path:
    """A state directory whose gateway has a receipt for its proof of all entries."""
    state = tmp_path / "state"
    write_state(state)
    port = real_gateway.configure(state)
    ran = sqlite_install.openclaw(
        state, "doctor", "--session-sqlite", "import", "--session-sqlite-all-agents"
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    database = state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    for _ in range(3):  # its first start after an import leaves no receipt
        assert starts(sqlite_install, state, port)
        with closing(connect(database)) as db:
            if db.execute("SELECT canonical_ready FROM session_key_contract").fetchone()[0]:
                return state
    pytest.fail("no receipt after three starts")


def starts(install: Install, state: Path, port: int) -> bool:
    with real_gateway.gateway(install, state, port=port) as running:
        return running.settle(READY_S) and running.stays_up(5)


def read_port(state: Path) -> int:
    return int(json.loads((state / "openclaw.json").read_text())["gateway"]["port"])


def read_row(database: Path, name: str) -> list[tuple[object, ...]]:
    where = {
        ENTRY: f"session_key = '{OTHER}'",
        EVENT: OF_EVENT,
    }[name]
    with closing(connect(database)) as db:
        return db.execute(f"SELECT * FROM {name} WHERE {where}").fetchall()


def break_row(database: Path, statement: str) -> None:
    with closing(connect(database)) as db, db:
        assert db.execute(statement).rowcount == 1
        if EVENT in statement:  # else the gateway starts, and cannot show the session
            db.execute(
                "UPDATE session_transcript_index_state SET needs_rebuild = 1"
                " WHERE session_id = 'chat-2'"
            )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gateway_that_ends_at_a_row_starts_after_the_repair(
    sqlite_install: Install, settled: Path, fault: str
) -> None:
    """The row comes back byte for byte, also after the gateway has lived without it."""
    install, port = sqlite_install, read_port(settled)
    database = settled / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    statement, code = FAULTS[fault]
    break_row(database, statement)
    assert not starts(install, settled, port)
    told = real_gateway.tailflip(install, settled, "check", "--json")
    assert code in {each["code"] for each in json.loads(told.stdout)["findings"]}
    broken = dump(database)
    done = real_gateway.tailflip(install, settled, "compact", "--apply")
    assert done.returncode == 0, done.stdout + done.stderr
    back = real_gateway.tailflip(install, settled, "restore", "--all", "--apply")
    assert back.returncode == 0, back.stderr
    assert dump(database) == broken
    again = real_gateway.tailflip(install, settled, "compact", "--apply")
    assert again.returncode == 0, again.stdout + again.stderr
    assert starts(install, settled, port)
    assert starts(install, settled, port), "and once more"
    rows = {name: read_row(database, name) for name in (ENTRY, EVENT)}
    back = real_gateway.tailflip(install, settled, "restore", "--all", "--apply")
    assert back.returncode == 0, back.stderr
    gone = GONE.get(code)
    if gone is not None:
        assert rows[gone] == []
        assert read_row(database, gone)[0] in broken[gone]


def test_a_gate_sets_right_what_stopped_the_start_before(
    sqlite_install: Install, settled: Path
) -> None:
    database = settled / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    statement, _ = FAULTS["an event that is no JSON, of a session to be indexed anew"]
    break_row(database, statement)
    port = read_port(settled)
    with guarded.gate(sqlite_install, settled, port=port) as running:
        assert running.settle(READY_S), running.output()[-3000:]
        assert running.stays_up(5)
