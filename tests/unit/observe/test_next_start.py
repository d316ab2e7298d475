"""What a gateway runs with and what starts next: its process, its definitions, the shell."""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys

import pytest

from support.service_definitions import Host
from tailflip.flow.lives import Life, LifeMode
from tailflip.flow.observed import Gateway
from tailflip.observe.installation import locate
from tailflip.observe.next_start import find_gateway_env, find_next_start, find_owners


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.fixture
def env(tmp_path):
    return {"HOME": str(tmp_path), "PATH": "/nowhere", "NODE_OPTIONS": "--max-old-space-size=4000"}


def options(host, env, gateway=None):
    """The options of each owner that tells, in order."""
    found = find_owners(host.home / ".openclaw", gateway, env)
    return [each.options for each in (found.living, *found.services) if each is not None]


def size(n):
    return f"--max-old-space-size={n}"


def test_the_unit_counts_with_its_drop_ins_and_environment_files(host, env):
    """A shell's NODE_OPTIONS said "it fits" for a gateway that its unit gives 400 MB."""
    assert options(host, env) == []
    unit = host.put_unit()
    assert options(host, env) == [""]
    text = unit.read_text().replace("[Install]", f"Environment=NODE_OPTIONS={size(400)}\n[Install]")
    unit.write_text(text)
    assert options(host, env) == [size(400)]
    drop_in = unit.with_name(f"{unit.name}.d") / "50-heap.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\nEnvironment=NODE_OPTIONS={size(500)}\nMemoryMax=1G\n")
    assert options(host, env) == [size(500)]
    assert find_owners(host.home / ".openclaw", None, env).services[0].memory_bytes == 1 << 30
    (host.home / "gw.env").write_text(f'export NODE_OPTIONS="{size(600)}"\n')
    drop_in.write_text("[Service]\nEnvironmentFile=%h/gw.env\nMemoryMax=infinity\n")
    drop_in.write_text(drop_in.read_text().replace("%h", str(host.home)))
    assert options(host, env) == [size(600)]
    assert find_owners(host.home / ".openclaw", None, env).services[0].memory_bytes is None


def test_a_drop_in_that_replaces_the_command_counts(host, env):
    unit = host.put_unit()
    entry = host.put_package("2026.4.14")
    drop_in = unit.with_name(f"{unit.name}.d") / "50-own.conf"
    drop_in.parent.mkdir()
    command = f"{host.home}/bin/node {size(700)} {entry} gateway --port 18789"
    drop_in.write_text(f"[Service]\nExecStart=\nExecStart={command}\n")
    assert options(host, env) == [size(700)]


def test_what_the_manager_gives_all_services_counts(host, env):
    host.put_unit()
    shared = host.home / ".config" / "environment.d" / "node.conf"
    shared.parent.mkdir()
    shared.write_text(f"NODE_OPTIONS={size(800)}\n")
    assert options(host, env) == [size(800)]


def test_an_environment_file_that_cannot_be_read_leaves_a_doubt(host, env):
    unit = host.put_unit()
    text = unit.read_text().replace("[Install]", "EnvironmentFile=/nowhere/x.env\n[Install]")
    unit.write_text(text)
    [owner] = find_owners(host.home / ".openclaw", None, env).services
    assert owner.doubt is not None
    assert "environment file" in owner.doubt


def test_a_launch_agent_counts_with_the_file_that_it_sources(host, env):
    host.agents.mkdir(parents=True)
    (host.home / ".openclaw").mkdir()
    sourced = host.home / "gw.env"
    sourced.write_text(f"export NODE_OPTIONS='{size(900)}'\n")
    command = ["/bin/sh", "/x/a-env-wrapper.sh", str(sourced), *host.list_command()]
    content = {
        "Label": "ai.openclaw.gateway",
        "ProgramArguments": command,
        "EnvironmentVariables": {"HOME": str(host.home), "NODE_OPTIONS": size(1)},
    }
    (host.agents / "ai.openclaw.gateway.plist").write_bytes(plistlib.dumps(content))
    assert options(host, env) == [size(900)]


SLEEPER = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def start(tmp_path):
    """Start a process that is called node, as a living gateway."""
    started = []

    def begin(name, *flags, script=("-c", SLEEPER), cwd=None, **env):
        program = tmp_path / name
        program.symlink_to(sys.executable)
        words = [str(program), *script, *flags]
        process = subprocess.Popen(words, env=env, cwd=cwd, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        return Gateway(True, process.pid, None, "test")

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_living_gateway_comes_before_its_definition(host, env, start):
    host.put_unit()
    living = start("node", size(111), NODE_OPTIONS=size(100))
    assert options(host, env, living) == [f"{size(100)} {size(111)}", ""]
    found = find_owners(host.home / ".openclaw", living, env)
    assert found.living.who == f"pid {living.pid}"
    assert found.living.doubt is None
    assert os.path.realpath(found.living.node) == os.path.realpath(sys.executable)
    assert not found.may_recall


def test_overwritten_arguments_are_a_doubt_unless_something_else_tells(host, env, start):
    """Up to 2026.4 a gateway's title takes the place of its arguments."""
    state = host.home / ".openclaw"
    titled = start("openclaw-gateway", PATH="/nowhere")
    assert "arguments cannot be read" in find_owners(state, titled, env).living.doubt
    sized = start("openclaw-gateway-2", NODE_OPTIONS=size(5))
    assert find_owners(state, sized, env).living.doubt is None
    ours = start("openclaw-gateway-3", TAILFLIP_LIFE="x")
    assert find_owners(state, ours, env).may_recall
    unit = host.put_unit()
    unit.write_text(unit.read_text().replace(" gateway --port", f" gateway {size(6)} --port"))
    found = find_owners(state, titled, env).living
    assert (found.doubt, found.options) == (None, size(6))


def test_the_gateway_s_own_paths_count_and_not_the_caller_s(host, env, start):
    state = host.home / ".openclaw"
    env |= {"OPENCLAW_CONFIG_PATH": "/of/the/caller", "OPENCLAW_GATEWAY_PORT": "1", "LANG": "C"}
    assert find_gateway_env(state, None, env) == env
    unit = host.put_unit()
    config = host.home / "elsewhere.json"
    config.write_text('{"gateway": {"port": 4444}}')
    line = f"Environment=OPENCLAW_CONFIG_PATH={config}\n[Install]"
    unit.write_text(unit.read_text().replace("[Install]", line))
    own = find_gateway_env(state, None, env)
    assert own["LANG"] == "C"
    assert "NODE_OPTIONS" not in own
    assert locate(own, state_dir=state).config_path == config
    living = start("node", OPENCLAW_STATE_DIR=str(state), OPENCLAW_CONFIG_PATH="/of/the/living")
    assert find_gateway_env(state, living, env)["OPENCLAW_CONFIG_PATH"] == "/of/the/living"
    other = start("node2", OPENCLAW_STATE_DIR="/in/a/container", OPENCLAW_CONFIG_PATH="/there")
    assert find_gateway_env(state, other, env)["OPENCLAW_CONFIG_PATH"] == str(config)


def test_without_a_definition_the_path_says_what_starts_next(host, env):
    (host.home / ".openclaw").mkdir()
    installation = locate(env, state_dir=host.home / ".openclaw")
    assert find_next_start(installation, env).command == ("openclaw",)
    host.put_unit("2026.9.6")
    assert find_next_start(installation, env).release.version == (2026, 9, 6)


def test_without_a_definition_the_living_gateway_says_it_before_the_path(host, env, start):
    """`status` said "version unknown" of a process whose command line names its package."""
    (host.home / ".openclaw").mkdir()
    installation = locate(env, state_dir=host.home / ".openclaw")
    entry = host.put_package("2026.5.28")
    entry.write_text(SLEEPER)
    living = start("node", "gateway", "run", script=(str(entry),), PATH="/nowhere")
    found = find_next_start(installation, env, living)
    assert found.release.text == "2026.5.28"
    assert found.command[1:] == (str(entry), "gateway", "run")
    host.put_unit("2026.9.6")
    assert find_next_start(installation, env, living).release.text == "2026.9.6"


def test_a_living_gateway_that_does_not_tell_its_package_says_nothing(host, env, start):
    (host.home / ".openclaw").mkdir()
    installation = locate(env, state_dir=host.home / ".openclaw")
    entry = host.put_package("2026.5.28")
    entry.write_text(SLEEPER)
    here = start("node", str(host.home), script=(entry.name,), cwd=entry.parent)
    titled = start("openclaw-gateway")
    for living in (here, titled):
        assert find_next_start(installation, env, living).command == ("openclaw",)


def test_without_a_definition_and_a_path_what_lived_last_is_next(host, env):
    """Of a gateway that `run` had guarded `check` did not know the release, in another shell."""
    (host.home / ".openclaw").mkdir()
    installation = locate(env, state_dir=host.home / ".openclaw")
    entry = host.put_package("2026.9.6")
    link = host.home / "openclaw"
    entry.chmod(0o755)
    link.symlink_to(entry)

    def find(*command, version="2026.8.1", **more):
        last = Life(
            id="1", guard="g", mode=LifeMode.RUN, started_ms=1, command=command, version=version
        )
        return find_next_start(installation, env | more, last=last)

    for command in (("node", str(entry), "gateway"), (str(link), "gateway")):
        assert find(*command).release.text == "2026.9.6", "read anew: it may have been updated"
        assert find(*command).command == command
    gone = find("openclaw", "gateway")
    assert (gone.release.text, gone.release.version, gone.command) == ("2026.8.1", (2026, 8, 1), ())
    assert gone.release.capabilities.is_known
    assert find("openclaw", version=None).release.version is None
    # The PATH of then may have led elsewhere, and the PATH of now leads somewhere.
    assert find("openclaw", "gateway", PATH=str(host.home)).release.text == "2026.9.6"
    host.put_unit("2026.4.14")
    assert find(str(link), "gateway").release.text == "2026.4.14"


def test_a_script_in_front_counts_with_the_heap_that_it_gives(host, env):
    """The heap was said to be node's own, and to fit: the script in the unit gave less."""
    unit = host.put_unit()
    entry = host.put_package("2026.4.14")
    script = host.home / "bin" / "claw"
    for line, given in (
        (f"exec {host.home}/bin/node {size(700)} {entry}", size(700)),
        (f"export NODE_OPTIONS={size(600)}\nexec {host.home}/bin/node {entry}", size(600)),
    ):
        script.write_text(f'#!/bin/sh\n{line} "$@"\n')
        script.chmod(0o755)
        text = re.sub("ExecStart=.*", f"ExecStart={script} gateway --port 18789", unit.read_text())
        unit.write_text(text)
        assert options(host, env) == [given]
