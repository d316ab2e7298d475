"""A real gateway started as its service does it; tailflip from a shell that knows nothing of it.

Its port is not the configuration's, its temp folder is its own: its lock is found nowhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from held_runs import prepare
from real_gateway import Running

pytestmark = pytest.mark.gateway


@pytest.fixture
def scene(json5_install, tmp_path):
    with prepare(json5_install, tmp_path) as made:
        yield made


@contextmanager
def started_as_a_service(scene, temp):
    """Start `dist/index.js` on another port than the configuration's, with a TMPDIR of its own."""
    temp.mkdir()
    port = scene.port
    config = json.loads((scene.state / "openclaw.json").read_text())
    config["gateway"]["port"] = 9  # what a shell would take for it
    (scene.state / "openclaw.json").write_text(json.dumps(config))
    log = scene.state.parent / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                str(scene.install.node),
                str(scene.install.package / "dist" / "index.js"),
                *("gateway", "--port", str(port)),
            ],
            env={**scene.install.environment(scene.state), "TMPDIR": str(temp)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        running = Running(process=process, port=port, log=log)
        assert running.settle(), running.output()[-2000:]
        yield process
    finally:
        process.kill()
        process.wait()


def ask(scene, *argv):
    """Run tailflip from a shell that has neither the port nor the temp folder."""
    env = scene.install.environment(scene.state)
    return subprocess.run(
        [sys.executable, "-m", "tailflip", *argv],
        env={name: value for name, value in env.items() if name not in ("TMPDIR", "TMP", "TEMP")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("lock", ["kept", "removed"])
def test_a_gateway_with_a_temp_folder_of_its_own_lives(scene, tmp_path, lock):
    """Its marker was cleared, and its run called lost, while it was in flight."""
    temp = tmp_path / "service-tmp"
    with started_as_a_service(scene, temp) as gateway:
        scene.add_job()
        scene.begin_run()
        if lock == "removed":
            for path in temp.glob("openclaw-*/gateway.*.lock"):
                path.unlink()
        marker = scene.read_job()["state"]["runningAtMs"]
        entries = scene.entries()
        assert ask(scene, "compact", "--apply").returncode == 0
        for argv in (("reconcile", "--apply"), ("check",), ("status",)):
            ran = ask(scene, *argv)
            assert "not running" not in ran.stdout, (argv, ran.stdout)
            assert "running (" in ran.stdout, (argv, ran.stdout, ran.stderr)
        assert str(gateway.pid) in ask(scene, "reconcile", "--apply").stdout
        assert scene.read_job()["state"]["runningAtMs"] == marker
        assert scene.entries() == entries
        scene.end_run()
    assert "not running" in ask(scene, "check").stdout
