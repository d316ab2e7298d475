"""`tailflip install` and `uninstall`, on a home with units as OpenClaw writes them."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil

import pytest

from support.service_definitions import NEW, Host
from support.stores import list_tree
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home, Presence

DROP_IN = "openclaw-gateway.service.d/10-tailflip.conf"


@pytest.fixture
def host(place, monkeypatch):
    """A manager that obeys, no system units; but the real checker where there is one."""
    for name in ("OPENCLAW_STATE_DIR", "TAILFLIP_STATE_DIR", "OPENCLAW_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", Host(place.root).put_service_manager())
    return Host(place.root)


@pytest.fixture
def no_bus(host, monkeypatch):
    """The systemctl of a shell without a user bus, as in a container or under `su`."""
    (host.home / "manager/systemctl").write_text(
        "#!/bin/sh\necho 'Failed to connect to bus: No medium found' >&2\nexit 1\n"
    )
    return lambda there: monkeypatch.setattr(
        "tailflip.install.manager._BOOTED", place_of(host, there=there)
    )


def place_of(host, *, there):
    return host.home if there else host.home / "nowhere"


def read_drop_in(host, name=DROP_IN):
    return (host.units / name).read_text()


def test_a_dry_run_is_a_short_plan_and_writes_nothing(place, host):
    host.put_unit()
    before = list_tree(place.root)
    code, out, err = place.run("install")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) < 10
    assert "stands before each start; to be written\n" in out
    assert "nothing was changed; add --verbose to see the whole files, --apply to do it" in out
    assert list_tree(place.root) == before


def test_the_release_is_named_or_said_to_be_unknown(place, host):
    """It said "user systemd on ?"; and a hostile version reached the terminal."""
    host.put_unit()
    assert "(user systemd, OpenClaw 2026.4.14): gate\n" in place.run("install")[1]
    package = host.put_package("2026.4.14").parent.parent / "package.json"
    package.write_text('{"name": "openclaw", "version": "\\u001b[2J"}')
    assert "\x1b" not in place.run("install")[1]
    package.unlink()
    assert "(user systemd, its release is not known): gate\n" in place.run("install")[1]


def test_verbose_shows_every_text(place, host):
    host.put_unit()
    out = place.run("install", "--verbose")[1]
    assert "| ExecStart=\n" in out
    assert "gate --unit=" in out


def test_of_a_file_that_is_there_the_changed_lines_are_shown(place, host):
    unit = host.put_unit()
    place.run("install", "--apply")
    out = place.run("install", "--mode", "run")[1]
    changed = [line.strip() for line in out.splitlines() if line.startswith(("    - ", "    + "))]
    assert any(f" gate --unit={unit} " in line for line in changed if line.startswith("- "))
    assert any(f" run --unit={unit} " in line for line in changed if line.startswith("+ "))
    assert "StartLimitIntervalSec" not in out


@pytest.mark.parametrize("mode", ["gate", "run", "watch"])
def test_without_a_bus_it_says_that_nothing_was_started_and_what_starts_it(
    place, host, no_bus, mode
):
    host.put_unit()
    no_bus(there=True)
    code, out, err = place.run("install", "--mode", mode, "--apply")
    assert code == 69
    assert "written\n" in out
    assert not re.search(r"^  started", out, re.MULTILINE)
    assert "in force from the next start on" not in out
    assert "nothing was started: Failed to connect to bus: No medium found\n" in err
    last = {
        "gate": "systemctl --user restart openclaw-gateway.service",
        "run": "systemctl --user restart openclaw-gateway.service",
        "watch": "systemctl --user enable --now tailflip-watch.service",
    }
    assert f"`systemctl --user daemon-reload && {last[mode]}`" in err
    # It stays true: a second call says it again, for still nobody was told.
    assert place.run("install", "--mode", mode, "--apply")[0] == 69


def test_without_a_manager_it_says_how_the_gateway_is_guarded(place, host, no_bus):
    host.put_unit()
    no_bus(there=False)
    code, _, err = place.run("install", "--mode", "run", "--apply")
    assert (code, "no systemd runs here, so use `tailflip run -- " in err) == (69, True)
    assert "`tailflip uninstall --apply` takes the files away" in err


def test_to_uninstall_without_a_manager_is_to_take_the_files_away(place, host, no_bus):
    """It said that nothing was left to do, and ended with 69, as if something had failed."""
    unit = host.put_unit()
    before = unit.read_text()
    no_bus(there=False)
    place.run("install", "--apply")
    code, out, err = place.run("uninstall", "--apply")
    assert (code, err) == (0, "")
    assert "10-tailflip.conf: removed" in out
    assert "no systemd runs here: nothing was to be stopped" in out
    assert (unit.read_text(), sorted(host.units.iterdir())) == (before, [unit])


def test_a_manager_that_was_not_told_of_the_removal_is_a_failure(place, host, no_bus):
    """It still has the old units in mind: the next start would look for a file that is gone."""
    host.put_unit()
    no_bus(there=True)
    place.run("install", "--apply")
    code, out, err = place.run("uninstall", "--apply")
    assert (code, "10-tailflip.conf: removed" in out) == (69, True)
    assert "systemd was not told: Failed to connect to bus" in err
    assert "`systemctl --user daemon-reload` does the rest" in err


def test_an_own_service_that_was_not_started_is_not_called_started(place, host, no_bus):
    (host.home / ".openclaw").mkdir()
    no_bus(there=False)
    command = host.list_command()
    words = ("install", "--mode", "run", "--apply", "--json", "--", *command)
    code, out, _ = place.run(*words)
    told = json.loads(out)
    assert code == 69
    assert told["outcomes"][0]["undone"][-1]["command"][-2:] == [
        "enable",
        "tailflip-gateway.service",
    ]
    assert f"`tailflip run -- {' '.join(command)}`" in told["errors"][0]["hint"]


def test_installing_twice_is_installing_once(place, host):
    host.put_unit()
    assert place.run("install", "--apply")[0] == 0
    first = list_tree(place.root)
    code, out, _ = place.run("install", "--apply")
    assert (code, "everything is there already" in out) == (0, True)
    assert list_tree(place.root) == first


@pytest.mark.parametrize("argv", [(), ("--timer",), ("--mode", "run"), ("--mode", "watch")])
def test_uninstalling_leaves_no_trace(place, host, argv):
    host.put_unit()
    host.put_unit(NEW, profile="work", port=18790)
    before, folders = list_tree(place.root), {p for p in place.root.rglob("*") if p.is_dir()}
    assert place.run("install", *argv, "--apply")[0] == 0
    assert list_tree(place.root) != before
    code, _, _ = place.run("uninstall", "--apply")
    assert code == 0
    assert list_tree(place.root) == before
    left = {p for p in place.root.rglob("*") if p.is_dir()} - folders
    assert left <= {place.root / ".local", place.root / ".local/state"}
    assert place.run("uninstall")[1] == "nothing is installed\n"


def test_the_gate_stands_before_the_command_that_the_unit_says(place, host):
    unit = host.put_unit()
    place.run("install", "--apply")
    lines = read_drop_in(host).splitlines()
    command = unit.read_text().partition("ExecStart=")[2].partition("\n")[0]
    at = lines.index("ExecStart=")
    assert lines[at + 1].endswith(f" gate --unit={unit} -- {command}")
    assert "RestartPreventExitStatus=64 77 78" in lines
    assert "StartLimitIntervalSec=0" in lines
    assert not any(line.startswith("Environment") for line in lines)


def test_a_drop_in_stays_where_openclaw_accepts_it_though_it_knows_wrappers(place, host):
    host.put_unit("2026.5.28")
    place.run("install", "--apply")
    assert " gate --unit=" in read_drop_in(host)
    assert not (host.home / ".local/share/tailflip/openclaw-gateway-gate.sh").exists()


def test_from_2026_8_on_openclaw_is_told_of_a_wrapper(place, host):
    unit = host.put_unit(NEW)
    before = list_tree(place.root)
    code, _, err = place.run("install", "--apply")
    assert (code, err) == (0, "")
    script = host.home / ".local/share/tailflip/openclaw-gateway-gate.sh"
    assert f"ExecStart={script} gateway --port 18789\n" in unit.read_text()
    assert not unit.with_name(f"{unit.name}.d").exists()
    assert " gate --park -- " in script.read_text()
    # It sees through its own script: nothing is told twice.
    code, out, _ = place.run("install", "--apply")
    assert (code, "everything is there already" in out) == (0, True)
    assert "OpenClaw 2026.9.6" in out
    assert place.run("uninstall", "--apply")[0] == 0
    assert list_tree(place.root) == before


def test_run_stands_in_the_wrapper_too(place, host):
    """A drop-in that replaces the command is what OpenClaw's doctor minds."""
    unit = host.put_unit(NEW)
    before = list_tree(place.root)
    code, out, err = place.run("install", "--mode", "run", "--apply")
    assert (code, err) == (0, "")
    assert "has no watchdog" in out
    script = host.home / ".local/share/tailflip/openclaw-gateway-gate.sh"
    assert f"ExecStart={script} gateway --port 18789\n" in unit.read_text()
    assert not unit.with_name(f"{unit.name}.d").exists()
    line = script.read_text().splitlines()[-1]
    assert re.fullmatch(r'exec \S.* run -- \S+/node \S+/index\.js "\$@"', line)
    code, out, _ = place.run("install", "--mode", "run", "--apply")
    assert (code, "everything is there already" in out) == (0, True)
    assert "restarts its gateway" not in out
    assert place.run("uninstall", "--apply")[0] == 0
    assert list_tree(place.root) == before


def test_another_mode_changes_the_wrapper_and_openclaw_need_not_know(place, host):
    """Between two scripts of two names, its unit would start one that is not there."""
    unit = host.put_unit(NEW)
    before = list_tree(place.root)
    place.run("install", "--apply")
    text, node = unit.read_text(), host.home / "bin/node"
    program = node.read_bytes()
    node.write_text("#!/bin/sh\nexit 1\n")
    code, out, err = place.run("install", "--mode", "run", "--apply")
    assert (code, err) == (0, "")
    assert "in force from the next start on" in out
    assert unit.read_text() == text
    assert " run -- " in (host.home / ".local/share/tailflip/openclaw-gateway-gate.sh").read_text()
    node.write_bytes(program)
    place.run("uninstall", "--apply")
    assert list_tree(place.root) == before


def test_another_mode_beside_takes_the_wrapper_away_by_itself(place, host):
    """`watch` stands beside: it and the wrapper are two installations, each with its own end."""
    host.put_unit(NEW)
    before = list_tree(place.root)
    place.run("install", "--mode", "run", "--apply")
    place.run("install", "--mode", "watch", "--apply")
    assert place.run("uninstall", "--apply")[0] == 0
    assert list_tree(place.root) == before


def test_openclaw_that_cannot_forget_the_wrapper_is_helped(place, host):
    """Its command line is broken: the unit must not start a script that is gone."""
    unit = host.put_unit(NEW)
    text = unit.read_text()
    place.run("install", "--apply")
    (host.home / "bin/node").write_text("#!/bin/sh\nexit 1\n")
    code, _, err = place.run("uninstall", "--apply")
    assert (code, "put back as it was" in err) == (0, True)
    assert unit.read_text() == text


def test_a_unit_that_is_not_openclaws_own_is_left_its_command(place, host):
    """Nobody can be told of a wrapper: a preflight stands before it."""
    unit = host.put_unit(NEW)
    unit.rename(unit.with_name("my-openclaw.service"))
    place.run("install", "--apply")
    lines = read_drop_in(host, "my-openclaw.service.d/10-tailflip.conf").splitlines()
    assert not any(line.startswith("ExecStart=") for line in lines)
    assert any(line.startswith("ExecStartPre=") and " preflight " in line for line in lines)


def test_every_profile_gets_its_own(place, host):
    host.put_unit()
    host.put_unit(profile="work", port=18790)
    code, out, _ = place.run("install", "--mode", "watch", "--apply", "--json")
    assert code == 0
    told = json.loads(out)
    assert {s["name"] for s in told["services"]} == {
        "openclaw-gateway.service",
        "openclaw-gateway-work.service",
    }
    text = (host.units / "tailflip-watch-work.service").read_text()
    assert f"--state-dir={host.home}/.openclaw-work" in text
    assert (
        f"--state-dir={host.home}/.openclaw\n"
        in (host.units / "tailflip-watch.service").read_text()
    )
    # One goes, the other stays, with the alert that both need.
    assert place.run("uninstall", "--service", "openclaw-gateway-work", "--apply")[0] == 0
    assert not (host.units / "tailflip-watch-work.service").exists()
    assert (host.units / "tailflip-watch.service").exists()
    assert (host.units / "tailflip-alert@.service").exists()


def test_another_mode_takes_the_place_of_the_first(place, host):
    host.put_unit()
    before = list_tree(place.root)
    place.run("install", "--timer", "--apply")
    place.run("install", "--mode", "run", "--apply")
    assert " run --unit=" in read_drop_in(host)
    assert not list(host.units.glob("tailflip-reconcile*"))
    place.run("uninstall", "--apply")
    assert list_tree(place.root) == before


def test_a_service_that_is_told_otherwise_finds_our_directories(place, host, monkeypatch):
    monkeypatch.setenv("TAILFLIP_STATE_DIR", str(place.root / "a dir"))
    host.put_unit()
    place.run("install", "--apply")
    assert f'Environment="TAILFLIP_STATE_DIR={place.root}/a dir"\n' in read_drop_in(host)


# --- it does not fight ---------------------------------------------------------------------


def test_a_foreign_drop_in_that_replaces_the_command_is_refused(place, host):
    host.put_unit()
    other = host.units / "openclaw-gateway.service.d" / "override.conf"
    other.parent.mkdir()
    other.write_text("[Service]\nExecStart=\nExecStart=/usr/bin/other gateway\n")
    code, _, err = place.run("install", "--apply")
    assert (code, str(other) in err) == (64, True)
    assert not (host.units / DROP_IN).exists()


def test_a_foreign_drop_in_that_only_adds_is_none_of_our_business(place, host):
    host.put_unit()
    other = host.units / "openclaw-gateway.service.d" / "heap.conf"
    other.parent.mkdir()
    other.write_text("[Service]\nEnvironment=NODE_OPTIONS=--max-old-space-size=2048\n")
    assert place.run("install", "--apply")[0] == 0
    assert place.run("uninstall", "--apply")[0] == 0
    assert other.exists()


def test_a_command_that_begins_with_tailflip_is_left_alone(place, host):
    unit = host.put_unit()
    unit.write_text(unit.read_text().replace("ExecStart=", "ExecStart=/opt/tailflip gate -- "))
    code, _, err = place.run("install", "--apply")
    assert (code, "begins with tailflip already" in err) == (64, True)


def test_two_services_on_one_state_directory_are_refused(place, host):
    host.put_unit()
    copy = host.units / "my-openclaw.service"
    shutil.copy(host.units / "openclaw-gateway.service", copy)
    code, _, err = place.run("install", "--apply")
    assert (code, "same state directory" in err) == (64, True)


def test_a_living_supervisor_is_not_joined_by_another(place, host):
    host.put_unit()
    home = Home.locate(os.environ)
    guard = os.path.realpath(host.home / ".openclaw")
    with home.supervise(guard, Presence.RUN, clock.now_ms(), RealDisk()):
        code, _, err = place.run("install", "--apply")
    assert (code, "guarded already" in err) == (75, True)


def test_without_a_service_it_says_what_to_do(place, host):
    code, _, err = place.run("install")
    assert code == 64
    assert "openclaw gateway run" in err


def test_without_a_service_and_a_manager_it_names_run(place, host, no_bus):
    no_bus(there=False)
    code, _, err = place.run("install", "--mode", "run", "--apply")
    assert (code, "`tailflip run -- openclaw gateway run`" in err) == (64, True)


def test_a_file_that_was_changed_since_is_not_removed(place, host):
    host.put_unit()
    place.run("install", "--apply")
    drop_in = host.units / DROP_IN
    drop_in.write_text("[Service]\nNice=5\n")
    code, _, err = place.run("uninstall", "--apply")
    assert (code, str(drop_in) in err) == (65, True)
    assert drop_in.exists()


def test_a_text_that_the_checker_refuses_is_not_written(place, host, monkeypatch):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    unit = host.put_unit()
    monkeypatch.setattr("tailflip.cli.install.choose_program", lambda *_: ("/nowhere/tailflip",))
    code, _, err = place.run("install", "--apply")
    assert (code, "/nowhere/tailflip" in err) == (65, True)
    assert [p for p in host.units.rglob("*") if p.is_file()] == [unit]


# --- a gateway without a service --------------------------------------------------------------


def test_a_command_gets_a_service_of_its_own(place, host, monkeypatch):
    (host.home / ".openclaw").mkdir()
    command = host.list_command()
    code, _, err = place.run("install", "--mode", "run", "--apply", "--", *command)
    assert code == 0, err
    text = (host.units / "tailflip-gateway.service").read_text()
    assert f" run -- {' '.join(command)}\n" in text
    for line in ("Type=notify", "WatchdogSec=120", "KillMode=mixed", "TimeoutStopSec=345"):
        assert f"{line}\n" in text
    place.run("uninstall", "--apply")
    assert not (host.units / "tailflip-gateway.service").exists()


def test_a_command_whose_gateway_has_a_service_is_refused(place, host):
    host.put_unit()
    code, _, err = place.run("install", "--mode", "run", "--", *host.list_command())
    assert (code, "openclaw-gateway.service" in err) == (64, True)


# --- launchd ----------------------------------------------------------------------------------


def test_an_agent_gets_the_gate_and_is_put_back_byte_for_byte(place, host):
    agent = host.put_agent()
    before = agent.read_bytes()
    assert place.run("install", "--apply")[0] == 0
    words = plistlib.loads(agent.read_bytes())["ProgramArguments"]
    assert words[-8:-5] == ["gate", "--park", "--"]
    assert words[-5:] == plistlib.loads(before)["ProgramArguments"]
    assert place.run("install", "--apply")[1].endswith("everything is there already\n")
    assert place.run("uninstall", "--apply")[0] == 0
    assert agent.read_bytes() == before


def test_an_agent_that_openclaw_wrote_anew_is_not_put_back(place, host):
    agent = host.put_agent()
    place.run("install", "--apply")
    fresh = host.put_agent(profile=None).read_bytes() + b"\n"
    agent.write_bytes(fresh)
    assert place.run("uninstall", "--apply")[0] == 0
    assert agent.read_bytes() == fresh


def test_run_is_not_offered_for_launchd(place, host):
    host.put_agent()
    assert place.run("install", "--mode", "run", "--apply")[0] == 64


def test_a_program_that_is_gone_is_told(place, host):
    """A unit that pointed to a removed node was started 186,325 times."""
    unit = host.put_unit()
    command = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    gone = f"ExecStart=/gone/node {command.partition(' ')[2]}"
    unit.write_text(unit.read_text().replace(command, gone))
    code, out, _ = place.run("install")
    assert code == 0
    assert "/gone/node is not there: no start can succeed" in out
    code, out, _ = place.run("check")
    told = " ".join(out.split())
    assert code == 1
    assert "error: the gateway's service starts /gone/node, which is not there" in told
    assert "[program-gone] hint: `openclaw gateway install --force` writes the service" in told


def test_a_guard_that_is_gone_is_told(place, host):
    """A virtual environment was deleted, and its drop-in still stood in front of the gateway."""
    host.put_unit()
    assert place.run("install", "--apply")[0] == 0
    assert "program-gone" not in place.run("check")[1]
    drop_in = host.units / DROP_IN
    text = read_drop_in(host)
    program = re.search(r"^ExecStart=([^ ]+) ", text, re.MULTILINE)[1]
    drop_in.write_text(text.replace(f"ExecStart={program} ", 'ExecStart=-"/gone/tail flip" '))
    told = " ".join(place.run("check")[1].split())
    assert "tailflip in front of the gateway starts /gone/tail flip, which is not there" in told
    assert "[program-gone] hint: `tailflip install --apply` writes it anew" in told


@pytest.mark.parametrize("shell", ["/bin/sh -c", "/bin/bash -lc", "/usr/bin/env bash -c"])
def test_a_unit_behind_a_shell_is_named_with_the_reason(place, host, shell):
    unit = host.put_unit()
    unit.write_text(f'[Service]\nExecStart={shell} "node dist/index.js gateway --bind lan"\n')
    code, _, err = place.run("install")
    assert code == 64
    assert "openclaw-gateway.service starts its gateway through a shell" in err


def test_a_service_that_is_not_installed_is_not_uninstalled(place, host):
    """Of a misspelt name it said "nothing is installed", with 0, beside what was."""
    host.put_unit()
    place.run("install", "--apply")
    code, out, err = place.run("uninstall", "--service", "openclaw-gatway", "--apply")
    assert (code, out) == (64, "")
    assert err == (
        "error: not installed: openclaw-gatway\nhint: installed: openclaw-gateway.service\n"
    )
    assert (host.units / DROP_IN).exists()
    assert place.run("uninstall", "--apply")[0] == 0
    assert "hint: installed: nothing\n" in place.run("uninstall", "--service", "x")[2]
