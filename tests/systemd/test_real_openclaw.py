"""The real OpenClaw under a real systemd: its own installer and doctor, and us between them."""

from __future__ import annotations

import pytest
from real_openclaw import SERVICE, complain

# OpenClaw's commands take 2 to 40 s each.
pytestmark = [pytest.mark.systemd, pytest.mark.gateway, pytest.mark.timeout(1200)]

_CHILDREN = """
import os, sys
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
    except OSError:
        continue
    if words[1] == sys.argv[1]:
        print(name)
"""


def list_children(openclaw, pid: str) -> list[str]:
    return openclaw.machine.run("python3", "-c", _CHILDREN, pid).stdout.split()


def test_openclaw_and_the_gate_leave_each_other_alone(openclaw):
    """Installed, reinstalled, examined and taken away: one story, for each step needs the last."""
    text = openclaw.unit.read_text()
    openclaw.wait_up()
    healthy = openclaw.doctor()

    openclaw.tailflip("install", "--apply")
    openclaw.systemctl("restart", SERVICE)
    openclaw.wait_up()
    assert openclaw.version in openclaw.tailflip("status", "--json")

    openclaw.run("gateway", "install", "--force", "--port", "18789")
    openclaw.wait_up()
    env = openclaw.machine.run("cat", f"/proc/{openclaw.show('MainPID')}/environ").stdout
    assert "TAILFLIP_LIFE=" in env, "the reinstall took the gate away"
    now = openclaw.doctor()
    assert complain(healthy, now) == [], now
    assert "everything is there already" in openclaw.tailflip("install")

    openclaw.tailflip("uninstall", "--apply")
    assert openclaw.unit.read_text() == text
    assert not list(openclaw.unit.parent.rglob("*tailflip*"))
    openclaw.wait_up()


def test_openclaw_and_its_parent_leave_each_other_alone(openclaw):
    """The same with `run`: who dies is started again by us, and what systemd is told is obeyed."""
    text = openclaw.unit.read_text()
    openclaw.wait_up()
    healthy = openclaw.doctor()

    openclaw.tailflip("install", "--mode", "run", "--apply")
    openclaw.systemctl("restart", SERVICE)
    assert openclaw.show("ActiveState") == "active"
    # By a drop-in of ours, or through the wrapper that OpenClaw's own unit starts.
    assert openclaw.show("Type") == ("notify" if openclaw.version < "2026.8" else "simple")
    openclaw.wait_up()
    main = openclaw.show("MainPID")
    assert "run" in openclaw.read_command(main)
    restarts = openclaw.show("NRestarts")

    [gateway] = list_children(openclaw, main)
    openclaw.machine.run("python3", "-c", f"import os; os.kill({gateway}, 9)")
    openclaw.machine.wait(
        lambda: openclaw.answers() and gateway not in list_children(openclaw, main),
        "gateway after the kill", 120,
    )  # fmt: skip
    assert (openclaw.show("MainPID"), openclaw.show("NRestarts")) == (main, restarts)
    assert f"gateway ended pid={gateway} signal=SIGKILL" in openclaw.journal()

    is_old = openclaw.version < "2026.8"
    said = openclaw.run("gateway", "restart", check=is_old)
    if not is_old:  # it restarts only what says that systemd restarts it
        assert "Gateway was not signaled" in said
        openclaw.systemctl("restart", SERVICE)
    openclaw.wait_up()
    openclaw.run("gateway", "install", "--force", "--port", "18789")
    openclaw.wait_up()
    assert "run" in openclaw.read_command(openclaw.show("MainPID")), "a reinstall took us away"
    now = openclaw.doctor()
    assert complain(healthy, now) == [], now
    assert "everything is there already" in openclaw.tailflip("install", "--mode", "run")

    openclaw.systemctl("stop", SERVICE)
    assert openclaw.show("ActiveState") == "inactive"
    assert openclaw.show("Result") == "success"
    assert not openclaw.answers()

    openclaw.tailflip("uninstall", "--apply")
    assert openclaw.unit.read_text() == text
    assert not list(openclaw.unit.parent.rglob("*tailflip*"))
    assert openclaw.show("NeedDaemonReload") == "no"
    openclaw.systemctl("restart", SERVICE)
    openclaw.wait_up()
