"""`gate --unit` and `gate --park`: what service managers start us with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from support.guarded_gateway import FAKE, wait_until


def put_unit(place, *arguments):
    unit = place.root / "openclaw-gateway.service"
    words = " ".join(f'"{word}"' for word in (sys.executable, FAKE, *arguments))
    unit.write_text(f"[Service]\nExecStart={words} gateway run --port {place.port}\n")
    return unit


def start(place, *argv, **settings):
    env = {**place.env, **{k: str(v) for k, v in settings.items()}}
    return subprocess.Popen(
        [sys.executable, "-m", "tailflip", "gate", *argv],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_the_unit_says_what_is_started(place):
    told = place.root / "told"
    unit = put_unit(place, "--tell", str(told))
    process = start(place, f"--unit={unit}", "--", "/bin/false", "gateway")
    try:
        wait_until(told.exists, "start of what the unit says")
        about = json.loads(told.read_text())
        assert about["pid"] == process.pid
        assert about["argv"][-1] == str(place.port)
    finally:
        process.kill()
        process.communicate()


def test_the_copy_is_started_when_the_unit_cannot_be_read(place):
    for text in (None, "[Service]\n", "[Service]\nExecStart=/x/tailflip gate -- y\n"):
        unit = place.root / "gone.service"
        unit.unlink(missing_ok=True)
        if text is not None:
            unit.write_text(text)
        process = start(place, f"--unit={unit}", "--", "/bin/echo", "gateway")
        said, _ = process.communicate(timeout=15)
        assert (process.returncode, said.splitlines()[-1]) == (0, "gateway")
        assert "cannot be read" in said


def test_a_refused_start_is_parked_until_something_changes(place):
    """launchd would start it again for ever, whatever the exit code."""
    store = place.state / "agents" / "main" / "sessions" / "sessions.json"
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_bytes(b"\x00\x01 no store at all")
    process = start(place, "--park", "--", "/bin/echo", "gateway", TAILFLIP_HEAL_SALVAGE="false")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "parked" in line:
            break
    assert any(line.startswith("error:") for line in lines), lines
    assert process.poll() is None
    store.write_text("{}")
    said, _ = process.communicate(timeout=15)
    assert (process.returncode, said.splitlines()[-1]) == (0, "gateway")


def test_a_parked_gate_ends_when_asked(place):
    store = place.state / "agents" / "main" / "sessions" / "sessions.json"
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_bytes(b"\x00\x01 no store at all")
    process = start(place, "--park", "--", "/bin/echo", "gateway", TAILFLIP_HEAL_SALVAGE="false")
    for line in process.stdout:
        if "parked" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 128 + signal.SIGTERM
