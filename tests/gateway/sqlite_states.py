"""The incident in SQLite, as the gateway's own import leaves it, and what must hold of it."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import real_gateway

from support.agent_database import read_entries
from tailflip.demo.incident import DAY_MS, write_incident

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from real_gateway import Install, Running

MB = 1_000_000
READY_S = 300
TURNS = 12  # of each chat
_ENTRY = re.compile(rb'\n  "(agent:[^"]+)": \{\n    "sessionId": "([^"]+)"')


@dataclass(frozen=True)
class Imported:
    """A state directory whose store the gateway's own tool has imported; nothing runs."""

    install: Install
    state: Path

    @property
    def database(self) -> Path:
        return database_of(self.state)

    @property
    def port(self) -> int:
        """The port of its configuration."""
        return int(json.loads((self.state / "openclaw.json").read_text())["gateway"]["port"])

    def copy(self, folder: Path) -> Imported:
        """Copy it; the copy has a port of its own."""
        state = folder / "state"
        shutil.copytree(self.state, state, symlinks=True)
        real_gateway.configure(state)
        return Imported(self.install, state)

    def listed(self) -> set[str]:
        """List the chats that the living gateway itself tells of."""
        told = self.install.call(self.state, self.port, "sessions.list", limit=500)
        return {session["key"] for session in told["sessions"]}

    def history(self, key: str) -> list[str]:
        """Return the texts of a chat, as the living gateway tells them."""
        told = self.install.call(self.state, self.port, "chat.history", sessionKey=key, limit=500)
        return [_text_of(message) for message in told["messages"]]

    def doctor(self) -> str:
        ran = self.install.openclaw(self.state, "doctor", "--non-interactive")
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
        return ran.stdout + ran.stderr


def database_of(state: Path, agent: str = "main") -> Path:
    return state / "agents" / agent / "agent" / "openclaw-agent.sqlite"


def write_state(state: Path, size_bytes: int, agents: Iterable[str] = ()) -> None:
    """Write the incident of three days ago; chats have turns. `agents` get stores of their own."""
    now_ms = int(time.time() * 1000) - 3 * DAY_MS
    store = write_incident(state, size_bytes=size_bytes, now_ms=now_ms)["store"]
    _write_transcripts(store, now_ms)
    for agent in agents:
        folder = state / "agents" / agent / "sessions"
        folder.mkdir(parents=True)
        text = store.read_bytes().replace(b'"agent:main:', f'"agent:{agent}:'.encode())
        (folder / store.name).write_bytes(text)
        _write_transcripts(folder / store.name, now_ms)
    real_gateway.configure(state)


def import_sessions(install: Install, state: Path) -> Imported:
    words = ("doctor", "--session-sqlite", "import", "--session-sqlite-all-agents")
    ran = install.openclaw(state, *words)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return Imported(install, state)


def list_texts(key: str) -> list[str]:
    """List the texts that a chat was written with."""
    return [f"{who} {number} of {key}: grüß dich" for number in range(TURNS) for who in "ab"]


def list_chats(database: Path) -> list[str]:
    """List the keys of an agent's chats."""
    return [key for key in read_entries(database) if ":cron:" not in key]


def is_up(running: Running, seconds: float) -> bool:
    """Watch it for a while; its sweep may keep it from answering for some seconds."""
    return running.stays_up(seconds) or (running.process.poll() is None and running.settle(READY_S))


def _write_transcripts(store: Path, now_ms: int) -> None:
    """Write for each entry a transcript: a header, and the turns of a chat."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now_ms / 1000))
    for match in _ENTRY.finditer(store.read_bytes()):
        key, session = (part.decode() for part in match.groups())
        lines: list[dict[str, Any]] = [
            {"type": "session", "version": 3, "id": session, "timestamp": stamp, "cwd": "/tmp"}
        ]
        parent = None
        for number, text in enumerate(list_texts(key) if ":cron:" not in key else ()):
            name = f"{number:08x}"
            message = {
                "role": "assistant" if number % 2 else "user",
                "content": [{"type": "text", "text": text}],
                "timestamp": now_ms + number,
            }
            line = {"type": "message", "id": name, "parentId": parent, "timestamp": stamp}
            lines.append(line | {"message": message})
            parent = name
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (store.parent / f"{session}.jsonl").write_text(text)


def _text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
