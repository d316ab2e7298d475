"""Small transcripts as the gateway writes them, whole or without their header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SESSION = "5d2b9c1e-0000-4000-8000-00000000000a"
STARTED = "2026-11-29T10:00:00.000Z"


def make_header(session: str = SESSION, **fields: Any) -> bytes:
    header = {"type": "session", "version": 3, "id": session, "timestamp": STARTED, "cwd": "/work"}
    return line_of(header | fields)


def make_messages(count: int = 3, text: str = "hello") -> bytes:
    """Records in a chain, each the child of the one before, as an agent's turns are."""
    lines = []
    for number in range(count):
        role = ("user", "assistant")[number % 2]
        lines.append(
            {
                "type": "message",
                "id": f"{number:08x}",
                "parentId": f"{number - 1:08x}" if number else None,
                "timestamp": f"2026-11-29T10:00:{number % 60:02d}.500Z",
                "message": {
                    "role": role,
                    "content": [{"type": "text", "text": f"{text} {number}"}],
                },
            }
        )
    return b"".join(map(line_of, lines))


def line_of(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def make_state(root: Path) -> Path:
    """Make a state directory with one agent, whose folder of transcripts is returned."""
    sessions = root / "agents" / "main" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "sessions.json").write_text("{}")
    (root / "openclaw.json").write_text("{}")
    return sessions
