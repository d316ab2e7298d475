"""Property lists that launchd is given: by Apple's DTD, and by what launchd.plist(5) knows."""

from __future__ import annotations

import os
import plistlib
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.service_definitions import NEW, OLD, Host
from tailflip.install.plan import choose_program, plan_install
from tailflip.install.values import Facts, Mode
from tailflip.observe.host.services import Places, find_services

# PropertyList-1.0.dtd: plist holds one object; dict is (key, object)*; array is object*.
OBJECTS = {"array", "data", "date", "dict", "real", "integer", "string", "true", "false"}
EMPTY = {"true", "false"}
# launchd.plist(5): the keys that are used here, and their types.
KEYS = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": (bool, dict),
    "ThrottleInterval": int,
    "ProcessType": str,
    "LowPriorityIO": bool,
    "Umask": int,
    "StandardInPath": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "WorkingDirectory": str,
}


def check_object(element: ET.Element) -> None:
    assert element.tag in OBJECTS, element.tag
    assert not element.attrib
    children = list(element)
    if element.tag == "dict":
        assert len(children) % 2 == 0
        for key, value in zip(children[::2], children[1::2], strict=True):
            assert key.tag == "key"
            assert len(key) == 0
            check_object(value)
    elif element.tag == "array":
        for child in children:
            check_object(child)
    else:
        assert not children
        assert element.tag not in EMPTY or not (element.text or "").strip()
    if element.tag in ("dict", "array"):
        assert not (element.text or "").strip()


def check_plist(data: bytes) -> dict[str, object]:
    """Apple's DTD, then the keys of launchd."""
    assert b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN"' in data
    root = ET.fromstring(data)  # noqa: S314 - our own text
    assert (root.tag, root.attrib) == ("plist", {"version": "1.0"})
    [only] = list(root)
    check_object(only)
    content = plistlib.loads(data)
    for key, value in content.items():
        assert isinstance(value, KEYS[key]), key
    assert all(type(word) is str for word in content["ProgramArguments"])
    assert all(type(value) is str for value in content.get("EnvironmentVariables", {}).values())
    return content


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def make_plan(host, mode=Mode.GATE):
    env = {"HOME": str(host.home), "PATH": os.environ["PATH"]}
    places = Places.locate(env, root=host.home / "root")
    [service] = find_services(env, places)
    facts = Facts(
        tailflip=("/opt/homebrew/bin/tailflip",),
        settings={"TAILFLIP_CONFIG": "/x & <y>/config.toml"},
        systemd_version=252,
        unit_dirs={"user": host.units, "system": host.home / "root/etc/systemd/system"},
        config_dir=host.home / ".config/tailflip",
        agents_dir=host.agents,
        data_dir=host.home / ".local/share/tailflip",
        logs_dir=host.home / "Library/Logs",
    )
    return plan_install(service, mode, facts)


def test_the_rules_find_a_list_that_is_none():
    bad = b"""<?xml version="1.0"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "x">
    <plist version="1.0"><dict><key>Label</key><key>x</key></dict></plist>"""
    with pytest.raises(AssertionError):
        check_plist(bad)


@pytest.mark.parametrize("profile", [None, "work"])
def test_before_2026_4_26_the_gate_is_in_the_agents_own_arguments(host, profile):
    agent = host.put_agent(OLD, profile)
    before = plistlib.loads(agent.read_bytes())
    [file] = make_plan(host).files
    assert file.path == agent
    content = check_plist(file.data)
    words = content["ProgramArguments"]
    assert words[:4] == ["/opt/homebrew/bin/tailflip", "gate", "--park", "--"]
    assert words[4:] == before["ProgramArguments"]
    # What OpenClaw's own audit looks for.
    assert "gateway" in words
    assert content["RunAtLoad"] is True
    assert content["KeepAlive"] is True
    rest = {
        k: v for k, v in content.items() if k not in ("ProgramArguments", "EnvironmentVariables")
    }
    assert rest == {k: before[k] for k in rest}


@pytest.mark.parametrize("version", ["2026.4.26", NEW])
def test_from_2026_4_26_on_openclaw_keeps_a_wrapper(host, version):
    host.put_agent(version)
    plan = make_plan(host)
    [script] = plan.files
    [install] = plan.commands
    assert install[-6:] == ("install", "--force", "--port", "18789", "--wrapper", str(script.path))
    assert plan.undo == (("env", "OPENCLAW_WRAPPER=", *install[1:-2]),)
    assert script.mode == 0o755


def test_the_wrapper_hands_openclaws_arguments_on(host, tmp_path):
    host.put_agent(NEW)
    [script] = make_plan(host).files
    path = tmp_path / "gate.sh"
    shown = tmp_path / "tailflip"
    shown.write_text('#!/bin/sh\necho "$TAILFLIP_CONFIG"\nprintf "%s\\n" "$@"\n')
    shown.chmod(0o755)
    path.write_bytes(script.data.replace(b"/opt/homebrew/bin/tailflip", bytes(shown)))
    path.chmod(0o755)
    done = subprocess.run(
        [path, "gateway", "--port", "1 2"], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert said[:4] == ["/x & <y>/config.toml", "gate", "--park", "--"]
    assert said[4] == "/opt/homebrew/bin/node"
    assert said[-3:] == ["gateway", "--port", "1 2"]


def test_the_watcher_has_an_agent_of_its_own(host):
    host.put_agent(NEW, "work")
    plan = make_plan(host, Mode.WATCH)
    [file] = plan.files
    content = check_plist(file.data)
    assert file.path == host.agents / "io.tailflip.watch-ai.openclaw.work.plist"
    assert plan.enable == (content["Label"],)
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["ProgramArguments"][1] == "watch"


@pytest.mark.parametrize(
    ("argv0", "which", "chosen"),
    [
        ("/home/a/.local/bin/tailflip", None, ("/home/a/.local/bin/tailflip",)),
        ("/x/pytest", "/usr/bin/tailflip", ("/usr/bin/tailflip",)),
        ("/x/__main__.py", None, ("/py", "-m", "tailflip")),
    ],
)
def test_a_service_starts_us_as_we_were_started(argv0, which, chosen):
    assert choose_program(argv0, "/py", which) == chosen
    assert Path(chosen[0]).is_absolute()
