"""A slimmed transcript, read and gone on with by the real gateways of the JSON era."""

from __future__ import annotations

import base64
import json
import random
import struct
import time
import uuid
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import guarded
import pytest
import real_gateway
from guarded import install_or_skip
from real_gateway import TOKEN

from fakes import echo_model
from support.transcripts import dump, image, text

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

MAIN, SESSION = "agent:main:main", "5d0c2a34-3c1e-4b0e-9a0e-0f5f1c1b7a11"
TURNS = 12
TOOL = "line of output, 12345\n" * 8_000
USAGE = {
    **dict.fromkeys(("input", "output", "totalTokens"), 5),
    **dict.fromkeys(("cacheRead", "cacheWrite"), 0),
    "cost": dict.fromkeys(("input", "output", "cacheRead", "cacheWrite", "total"), 0),
}


def make_png(side: int) -> str:
    """A picture that is one: 2026.7.35 looks, and mends what is none."""
    dice = random.Random(3)
    rows = b"".join(b"\0" + dice.randbytes(3 * side) for _ in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    about = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about)
    whole += chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return base64.b64encode(whole).decode()


def write_session(
    state: Path, turns: int = TURNS, picture: str | None = None, output: str = TOOL
) -> Path:
    """A main session of turns with a picture, a long tool result and an answer."""
    folder = state / "agents" / "main" / "sessions"
    folder.mkdir(parents=True)
    path = folder / f"{SESSION}.jsonl"
    now_ms = int(time.time() * 1000)  # a session of yesterday begins anew
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now_ms / 1000))
    records: list[dict[str, Any]] = [
        {
            "type": "session", "version": 3, "id": SESSION, "timestamp": moment,
            "cwd": str(state.parent / "workspace"),
        }
    ]  # fmt: skip
    parent = None
    about = {"api": "openai-completions", "provider": "fake", "model": "echo-1", "usage": USAGE}

    def say(role: str, content: Any, **more: Any) -> None:
        nonlocal parent
        name = f"{len(records):08x}"
        said = {"role": role, "content": content, "timestamp": now_ms, **more}
        records.append(
            {
                "type": "message",
                "id": name,
                "parentId": parent,
                "timestamp": moment,
                "message": said,
            }
        )
        parent = name

    for turn in range(turns):
        call = f"call{turn}"
        seen = [] if picture is None else [image(picture)]
        say("user", [text(f"look {turn}"), *seen])
        tool = {"type": "toolCall", "id": call, "name": "exec", "arguments": {"command": "x"}}
        say("assistant", [tool], **about, stopReason="toolUse")
        say("toolResult", [text(output)], toolCallId=call, toolName="exec", isError=False)
        say("assistant", [text(f"seen {turn}")], **about, stopReason="stop")
    path.write_bytes(dump(records))
    entry = {"sessionId": SESSION, "updatedAt": now_ms, "sessionFile": str(path)}
    (folder / "sessions.json").write_text(json.dumps({MAIN: {**entry, "chatType": "direct"}}))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def outline(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (each["type"], each["id"], each.get("parentId"), each.get("message", {}).get("role"))
        for each in records
    ]


def until_answered(path: Path, beyond: int, seconds: float = 240) -> list[dict[str, Any]]:
    """Wait for an answer in the transcript, after the records that are there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        added = read(path)[beyond:] if path.read_bytes().endswith(b"\n") else []
        roles = [each.get("message", {}).get("role") for each in added]
        if "user" in roles and "assistant" in roles[roles.index("user") :]:
            return added
        time.sleep(0.5)
    pytest.fail(f"no answer in {seconds} s")


@pytest.mark.parametrize("version", ["2026.4.14", "2026.7.35"])
def test_a_slimmed_session_answers_and_nothing_is_repaired(tmp_path: Path, version: str) -> None:
    """List, history and a message; and afterwards every byte comes back beside what was said."""
    install = install_or_skip(version)
    state = tmp_path / "state"
    state.mkdir()
    path = write_session(state, picture=make_png(300))
    before, original = outline(read(path)), path.read_bytes()
    with echo_model.serving() as model_port:
        port = real_gateway.configure(state, model_port)
        done = real_gateway.tailflip(install, state, "slim", "--all", "--apply", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        (told,) = json.loads(done.stdout)["slimmed_transcripts"]
        assert (told["image_count"], told["result_count"]) == (TURNS - 3, TURNS - 3)
        assert told["size_bytes_after"] < told["size_bytes_before"] / 2
        slimmed = path.read_bytes()
        assert outline(read(path)) == before
        with real_gateway.gateway(install, state, port=port) as running:
            assert running.settle()
            listed = install.call(state, port, "sessions.list")
            assert MAIN in {each["key"] for each in listed["sessions"]}
            history = install.call(state, port, "chat.history", sessionKey=MAIN, limit=200)
            assert len(history["messages"]) >= TURNS
            words = {"message": "say something", "idempotencyKey": str(uuid.uuid4())}
            install.call(state, port, "chat.send", sessionKey=MAIN, **words)
            until_answered(path, len(before))
            said = running.output()
        assert "session file repair" not in said.lower(), said
        assert "repaired session file" not in said.lower(), said
    now = path.read_bytes()
    assert now.startswith(slimmed), "nothing before was written anew"
    assert [each.name for each in path.parent.iterdir() if ".bak" in each.name] == []
    action = told["report"]["action_id"]
    back = real_gateway.tailflip(install, state, "restore", action, "--apply", "--json")
    assert back.returncode == 0, back.stdout + back.stderr
    assert path.read_bytes() == original + now[len(slimmed) :]
    assert TOKEN not in back.stdout


def test_a_transcript_that_kills_each_gateway_is_slimmed_before_its_start(tmp_path: Path) -> None:
    """300 MB of tool results at a heap of 1 GB: one message, one death, one more copy of 300 MB."""
    install = install_or_skip("2026.4.14")
    state = tmp_path / "state"
    state.mkdir()
    path = write_session(state, turns=750, output="line of tool output, 12345 67890\n" * 12_000)
    before, size = outline(read(path)), path.stat().st_size
    words = {"message": "say something"}
    with echo_model.serving() as model_port:
        port = real_gateway.configure(state, model_port)
        with real_gateway.gateway(install, state, port=port, heap_mib=1024) as alone:
            assert alone.settle()
            with suppress(AssertionError):  # it dies before it answers
                key = str(uuid.uuid4())
                install.call(state, port, "chat.send", sessionKey=MAIN, **words, idempotencyKey=key)
            alone.process.wait(300)
        with guarded.run(install, state, port=port, heap_mib=1024) as running:
            running.wait_for(lambda: "slimmed to" in running.output(), 120, "slimming")
            assert running.settle()
            assert path.stat().st_size < size / 50
            key = str(uuid.uuid4())
            install.call(state, port, "chat.send", sessionKey=MAIN, **words, idempotencyKey=key)
            until_answered(path, len(before))
            assert running.is_healthy()
    after = [each for each in outline(read(path)) if each in set(before)]
    assert after == before
