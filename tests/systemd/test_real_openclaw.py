"""The real OpenClaw under a real systemd: its own installer and doctor, and us between them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from machine import USER, NotPossible, boot
from stand_in import TAILFLIP, UNITS, collect_wheels, install_all

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
import real_gateway

# Its commands take 2 to 40 s each.
pytestmark = [pytest.mark.systemd, pytest.mark.gateway, pytest.mark.timeout(1200)]

CONFIG = """{"gateway": {"mode": "local", "bind": "loopback", "port": 18789,
  "auth": {"mode": "token", "token": "test-token"}},
  "discovery": {"mdns": {"mode": "off"}}, "update": {"checkOnStart": false}}"""
QUIET = {"OPENCLAW_HIDE_BANNER": "1", "NO_COLOR": "1", "CI": "1", "OPENCLAW_SKIP_CHANNELS": "1"}
UNIT = f"{UNITS}/openclaw-gateway.service"
# What a doctor's line is about when it is about a service; and what is a fact and no complaint.
OURS = re.compile(
    r"tailflip|drop-in|systemd|service|unit|ExecStart|wrapper|setting|--force", re.IGNORECASE
)
FACTS = re.compile(r"invokes OPENCLAW_WRAPPER|heap control|service argv|^/home/\S+-gate\.sh$")


@pytest.fixture(scope="module", params=["2026.4.14", "2026.9.6"])
def openclaw(request, tmp_path_factory):
    """A machine in which OpenClaw installed its service; and a way to run its command line."""
    try:
        install = real_gateway.install(request.param)
    except real_gateway.NotInstallable as e:
        pytest.skip(str(e))
    folder = tmp_path_factory.mktemp("machine")
    wheels = collect_wheels(tmp_path_factory.mktemp("wheels"))
    try:
        with boot(folder, {real_gateway.cache_dir(): "/gateways"}) as machine:
            install_all(machine, wheels)
            here = real_gateway.cache_dir()
            node = f"/gateways/{install.node.resolve().relative_to(here)}"
            (machine.root / "usr/bin/node").unlink()  # the stand-ins' own; its doctor asks it
            (machine.root / "usr/bin/node").symlink_to(node)
            entry = f"/gateways/{(install.package / 'openclaw.mjs').relative_to(here)}"
            state = machine.root / f"home/{USER}/.openclaw"
            state.mkdir()
            (state / "openclaw.json").write_text(CONFIG)
            machine.run("chown", "-R", f"{USER}:", f"/home/{USER}")

            def run(*argv: str, check: bool = True) -> str:
                path = f"{Path(node).parent}:/usr/bin:/bin"
                done = machine.run(
                    node, entry, *argv, user=True, check=check, timeout_s=240, **QUIET, PATH=path
                )
                return done.stdout + done.stderr

            run("gateway", "install", "--port", "18789")
            yield request.param, machine, run
    except NotPossible as e:
        pytest.skip(str(e))


def complain(before: str, after: str) -> list[str]:
    """What a doctor says of services now and did not say before."""

    def split(text: str) -> list[str]:
        return [" ".join(re.sub("[│◇├╮╯─]", " ", line).split()) for line in text.splitlines()]

    known = set(split(before))
    return [x for x in split(after) if x not in known and OURS.search(x) and not FACTS.search(x)]


def wait_up(machine) -> None:
    code = "import urllib.request as u; u.urlopen('http://127.0.0.1:18789/healthz', timeout=5)"
    machine.wait(
        lambda: machine.run("python3", "-c", code, check=False).returncode == 0, "answer", 120
    )


def test_openclaw_and_we_leave_each_other_alone(openclaw):
    """Installed, reinstalled, examined and taken away: one story, for each step needs the last."""
    version, machine, run = openclaw
    unit = machine.root / UNIT.lstrip("/")
    text = unit.read_text()
    wait_up(machine)
    healthy = run("doctor", "--non-interactive", check=False)

    said = machine.run(TAILFLIP, "install", "--apply", user=True, timeout_s=300)
    assert "by hand" not in said.stderr
    machine.run("systemctl", "--user", "restart", "openclaw-gateway", user=True)
    wait_up(machine)
    lives = machine.run(TAILFLIP, "status", "--json", user=True, check=False).stdout
    assert version in lives

    run("gateway", "install", "--force", "--port", "18789")
    wait_up(machine)
    pid = machine.run(
        *("systemctl", "--user", "show", "openclaw-gateway", "-p", "MainPID", "--value"), user=True
    ).stdout.strip()
    env = machine.run("cat", f"/proc/{pid}/environ").stdout
    assert "TAILFLIP_LIFE=" in env, "the reinstall took the gate away"
    now = run("doctor", "--non-interactive", check=False)
    assert complain(healthy, now) == [], now
    assert "everything is there already" in machine.run(TAILFLIP, "install", user=True).stdout

    machine.run(TAILFLIP, "uninstall", "--apply", user=True, timeout_s=300)
    assert unit.read_text() == text
    assert not list(unit.parent.rglob("*tailflip*"))
    wait_up(machine)
