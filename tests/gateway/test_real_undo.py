"""An undo is complete days later too: the real gateway's reaper takes nothing that it needs."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import real_gateway

from support.stores import split_members

if TYPE_CHECKING:
    from real_gateway import Install

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]

AHEAD = Path(__file__).with_name("ahead.cjs")
HOUR_MS = 3_600_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"


def run_key(number: int) -> str:
    return f"agent:main:cron:{JOB}:run:{session(number)}"


def session(number: int) -> str:
    return f"5e5510a0-0000-4000-8000-{number:012d}"


def write_state(state: Path) -> Path:
    """A chat, thirty runs of two days ago, one of an hour ago; each with a transcript."""
    now_ms = int(time.time() * 1000)
    folder = state / "agents" / "main" / "sessions"
    folder.mkdir(parents=True)
    entries = {"agent:main:main": {"sessionId": session(99), "updatedAt": now_ms - HOUR_MS}}
    for n in range(31):
        age_ms = (48 if n else 1) * HOUR_MS
        entries[run_key(n)] = {
            "sessionId": session(n),
            "updatedAt": now_ms - age_ms,
            "status": "done",
            "label": f"grüße {n}",
        }
    (folder / "sessions.json").write_text(json.dumps(entries, indent=2, ensure_ascii=False))
    for entry in entries.values():
        lines = [{"type": "session", "version": 3, "id": entry["sessionId"]}, {"n": [now_ms] * 9}]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        transcript = folder / f"{entry['sessionId']}.jsonl"
        transcript.write_text(text)
        # A run is as old as the last sign of it, and its transcript is one.
        os.utime(transcript, ns=(entry["updatedAt"] * 1_000_000,) * 2)
    job = {
        "id": JOB,
        "name": "nightly",
        "enabled": True,
        "createdAtMs": now_ms,
        "updatedAtMs": now_ms,
        "schedule": {"kind": "every", "everyMs": 900 * HOUR_MS, "anchorMs": now_ms},
        "sessionTarget": "isolated",
        "wakeMode": "now",
        "payload": {"kind": "agentTurn", "message": "x"},
        "state": {"nextRunAtMs": now_ms + 900 * HOUR_MS},
    }
    (state / "cron").mkdir()
    (state / "cron" / "jobs.json").write_text(json.dumps({"version": 1, "jobs": [job]}))
    return folder


def test_after_three_days_of_a_living_gateway_every_transcript_comes_back(
    gateway_install: Install, tmp_path: Path
) -> None:
    """Its reaper deletes for good what it finds as `.deleted.<time>` and older than 24 h."""
    state = tmp_path / "state"
    folder = write_state(state)
    store = folder / "sessions.json"
    port = real_gateway.configure(state)
    members = dict(split_members(store.read_bytes()))
    transcripts = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}

    ran = real_gateway.tailflip(gateway_install, state, "compact", "--apply")
    assert ran.returncode == 0, ran.stderr
    taken = members.keys() - json.loads(store.read_bytes()).keys()
    assert taken == {run_key(n) for n in range(1, 31)}
    gone = transcripts.keys() - {path.name for path in folder.glob("*.jsonl")}
    assert gone == {f"{session(n)}.jsonl" for n in range(1, 31)}

    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.000Z"
    witness = folder / f"{session(77)}.jsonl.deleted.{stamp}"
    witness.write_text("its own reaper takes this")
    (tmp_path / "ahead").write_text(str(72 * HOUR_MS))
    preload = f"--require={AHEAD}"
    with real_gateway.gateway(gateway_install, state, port=port, node_options=preload) as running:
        assert running.settle(), running.output()[-2000:]
        until = time.monotonic() + 200
        while witness.exists() and time.monotonic() < until:
            assert running.process.poll() is None, running.output()[-2000:]
            time.sleep(0.5)
        assert not witness.exists(), f"no reaper came: {running.output()[-2000:]}"
    (tmp_path / "ahead").unlink()

    ran = real_gateway.tailflip(gateway_install, state, "restore", "--all", "--apply")
    assert ran.returncode == 0, ran.stderr
    back = dict(split_members(store.read_bytes()))
    assert {key: back.get(key) for key in taken} == {key: members[key] for key in taken}
    for name in gone:
        assert (folder / name).read_bytes() == transcripts[name], name
    assert not (folder / ".tailflip").exists()
    with real_gateway.gateway(gateway_install, state, port=port) as running:
        assert running.settle(), running.output()[-2000:]
