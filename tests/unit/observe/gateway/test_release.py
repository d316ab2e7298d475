"""A command is followed to its package.json by reading alone; what cannot be is unknown."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tailflip.observe.gateway.release import (
    find_missing_file,
    parse_version,
    read_release,
)

REAL = Path.home() / ".cache" / "tailflip-gateway"


@pytest.fixture
def package(tmp_path):
    """An installed package as npm lays it out, a `node` and an `openclaw` on the PATH."""
    root = tmp_path / "lib/node_modules/openclaw"
    (root / "dist").mkdir(parents=True)
    (root / "package.json").write_text('{"name": "openclaw", "version": "2026.4.14"}')
    (root / "dist/package.json").write_text('{"type": "module"}')
    for name in ("openclaw.mjs", "dist/index.js", "dist/entry.js"):
        script = root / name
        script.write_text("#!/usr/bin/env node\n")
        script.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/openclaw").symlink_to("../lib/node_modules/openclaw/openclaw.mjs")
    make_program(tmp_path / "bin/node")
    return root


@pytest.fixture
def env(package, tmp_path):
    return {"PATH": str(tmp_path / "bin"), "KEEP": "1"}


def make_program(path, text="#!/bin/sh\nexit 99\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_openclaw_on_the_path_is_followed_through_its_symlink(package, env, tmp_path):
    found = read_release(["openclaw", "gateway", "run", "--port", "18001"], env)
    assert (found.version, found.text) == ((2026, 4, 14), "2026.4.14")
    assert found.entry == package / "openclaw.mjs"
    assert found.node == str(tmp_path / "bin/node")
    assert (found.profile, found.port) == (None, 18001)
    assert str(package / "package.json") in found.evidence


@pytest.mark.parametrize("script", ["openclaw.mjs", "dist/index.js", "dist/entry.js"])
@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--max-old-space-size=384"],
        ["--require", "./hook.js", "--no-warnings"],
        ["--env-file=.env", "--"],
    ],
)
def test_a_script_of_node_is_found_behind_nodes_own_flags(package, env, script, flags):
    found = read_release(["node", *flags, str(package / script), "gateway"], env)
    assert (found.version, found.entry) == ((2026, 4, 14), package / script)


def test_a_script_is_found_from_the_current_directory(package, env, monkeypatch):
    monkeypatch.chdir(package)
    assert read_release(["node", "openclaw.mjs"], env).version == (2026, 4, 14)


def test_the_node_that_the_command_names_is_the_node(package, env, tmp_path):
    other = make_program(tmp_path / "other/node")
    found = read_release([str(other), str(package / "openclaw.mjs")], env)
    assert found.node == str(other)
    (package / "openclaw.mjs").write_text(f"#!{other}\n")
    assert read_release(["openclaw", "gateway"], env).node == str(other)


@pytest.mark.parametrize(
    "shim",
    [
        'exec node  "$basedir/../lib/node_modules/openclaw/openclaw.mjs" "$@"',
        'exec "$basedir/node"  "$basedir/../lib/node_modules/openclaw/openclaw.mjs" "$@"',
    ],
)
def test_a_package_managers_shell_shim_is_followed(package, env, tmp_path, shim):
    (tmp_path / "bin/openclaw").unlink()
    text = f'#!/bin/sh\nbasedir=$(dirname "$(echo "$0")")\n{shim}\n'
    make_program(tmp_path / "bin/openclaw", text)
    assert read_release(["openclaw", "gateway"], env).version == (2026, 4, 14)


def test_a_plain_script_in_front_is_followed_with_what_it_adds(package, env, tmp_path):
    """`status` said "version unknown", and the heap was that of another gateway."""
    (tmp_path / "bin/openclaw").unlink()
    script = make_program(
        tmp_path / "bin/openclaw",
        "#!/bin/sh\nexport NODE_OPTIONS=--max-old-space-size=400 OPENCLAW_STATE_DIR=/srv/oc\n"
        f'exec env A=b node --max-semi-space-size=9 {package}/openclaw.mjs --profile work "$@"\n',
    )
    for command in (["openclaw"], [str(script)], ["nohup", str(script)]):
        found = read_release([*command, "gateway", "--port", "18001"], env)
        assert (found.text, found.entry) == ("2026.4.14", package / "openclaw.mjs")
        assert (found.profile, found.port) == ("work", 18001)
        assert found.command[:2] == ("node", "--max-semi-space-size=9")
        assert found.env["NODE_OPTIONS"] == "--max-old-space-size=400"
        assert (found.env["OPENCLAW_STATE_DIR"], found.env["A"]) == ("/srv/oc", "b")
    assert "NODE_OPTIONS" not in env


def test_a_script_that_starts_itself_ends(package, env, tmp_path):
    (tmp_path / "bin/openclaw").unlink()
    make_program(tmp_path / "bin/openclaw", '#!/bin/sh\nexec openclaw "$@"\n')
    assert not read_release(["openclaw", "gateway"], env).is_found


def test_what_a_script_starts_and_is_gone_is_told(package, env, tmp_path):
    script = make_program(tmp_path / "claw", f'#!/bin/sh\nexec node {tmp_path}/gone.mjs "$@"\n')
    assert find_missing_file([str(script), "gateway"], env) == f"{tmp_path}/gone.mjs"


@pytest.mark.parametrize(
    "front",
    [
        ["env", "FOO=1"],
        ["/usr/bin/env", "-u", "BAR", "FOO=1", "BAR=2"],
        ["nohup"],
        ["tini", "-g", "--"],
        ["nice", "-n", "5", "env", "A=b"],
    ],
)
def test_what_only_stands_round_the_command_is_taken_off(package, env, front):
    command = [*front, "node", str(package / "openclaw.mjs"), "gateway", "--port=1"]
    found = read_release(command, env)
    assert (found.version, found.port) == ((2026, 4, 14), 1)


def test_env_in_the_command_changes_where_things_are_looked_for(package, env, tmp_path):
    """`env PATH=/opt/node/bin openclaw` would have been answered from our own PATH."""
    other = make_program(tmp_path / "other/node")
    path = f"{other.parent}:{env['PATH']}"
    found = read_release(["env", "-u", "KEEP", f"PATH={path}", "OPENCLAW_X=1", "openclaw"], env)
    assert found.node == str(other)
    assert found.env == {"PATH": path, "OPENCLAW_X": "1"}
    assert "KEEP" in env
    assert read_release(["env", "-i", "A=1", "openclaw"], env).env == {"A": "1"}


def test_an_environment_is_not_shown(package, env):
    assert "sekrit" not in repr(read_release(["openclaw"], {**env, "API_KEY": "sekrit"}))


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["env", "A=1"],
        ["sh", "-c", "openclaw gateway"],
        ["env", "-S", "openclaw gateway"],
        ["env", "--chdir=/", "openclaw"],
        ["node"],
        ["node", "-e", "1"],
        ["node", "--eval=1", "x.js"],
        ["no-such-program", "gateway"],
        ["node", "/nowhere/openclaw.mjs"],
    ],
)
def test_what_cannot_be_followed_is_unknown_and_says_why(env, command):
    found = read_release(command, env)
    assert (found.version, found.text) == (None, None)
    assert found.evidence


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"name": 1}', '{"name": "other", "version": "1.2.3"}']
)
def test_a_package_that_is_not_openclaw_has_no_version(package, env, text):
    (package / "package.json").write_text(text)
    assert read_release(["openclaw"], env).version is None


def test_a_version_that_is_no_number_keeps_its_text(package, env):
    (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": "main"}))
    found = read_release(["openclaw"], env)
    assert (found.version, found.text) == (None, "main")


@pytest.mark.parametrize(
    ("arguments", "profile", "port"),
    [
        (["gateway"], None, None),
        (["--profile", "work", "gateway", "--port", "18001"], "work", 18001),
        (["gateway", "run", "--profile=work", "--port=18001"], "work", 18001),
        (["--dev", "gateway"], "dev", None),
        (["gateway", "--dev"], None, None),  # the gateway's own flag, not a profile
        (["gateway", "--port", "1", "--port", "2"], None, 2),
        (["gateway", "--port", "many"], None, None),
        (["gateway", "--port=70000"], None, None),
        (["gateway", "--port"], None, None),
        (["gateway", "--", "--port", "1"], None, None),
        (["gateway", "--token", "--profile"], None, None),
    ],
)
def test_profile_and_port_of_the_command(package, env, arguments, profile, port):
    for front in (["openclaw"], ["node", str(package / "dist/index.js")]):
        found = read_release([*front, *arguments], env)
        assert (found.profile, found.port) == (profile, port)


def test_nodes_own_flags_are_not_the_gateways(package, env):
    found = read_release(["node", "--title", "x", str(package / "openclaw.mjs"), "gateway"], env)
    assert (found.version, found.profile) == ((2026, 4, 14), None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2026.4.14", (2026, 4, 14)),
        ("v2026.7.1-2-slim", (2026, 7, 1)),
        ("2026.9.6-beta.1", (2026, 9, 6)),
        ("2026.4", None),
        ("next", None),
    ],
)
def test_parse_version(text, version):
    assert parse_version(text) == version


@pytest.mark.skipif(not REAL.is_dir(), reason="no real gateway was installed by other tests")
def test_the_real_packages_tell_their_version(env):
    for root in REAL.glob("*/node_modules/openclaw"):
        if not (root / "package.json").is_file():
            continue  # it is being installed at this moment
        version = root.parent.parent.name
        assert read_release(["node", str(root / "openclaw.mjs")], env).text == version
        shim = root.parent / ".bin/openclaw"
        assert read_release([str(shim)], env).text == version


def test_nothing_is_started(package, env, tmp_path):
    """The `node` and `openclaw` on this PATH would leave a trace."""
    trace = tmp_path / "trace"
    shell = shutil.which("sh")
    for name in ("node", "openclaw"):
        (tmp_path / "bin" / name).unlink()
        make_program(tmp_path / "bin" / name, f"#!{shell}\n: > {trace}\n")
    read_release(["openclaw", "gateway"], env)
    read_release(["node", str(package / "openclaw.mjs")], env)
    assert not trace.exists()
    subprocess.run([str(tmp_path / "bin/openclaw")], check=True)
    assert trace.exists()


def test_the_node_that_a_script_names_and_that_is_gone_is_told(tmp_path):
    script = tmp_path / "openclaw"
    script.write_text(f"#!{tmp_path}/gone/node\n")
    assert find_missing_file([str(script), "gateway"], {}) == f"{tmp_path}/gone/node"
    script.write_text("#!/usr/bin/env node\n")
    assert find_missing_file([str(script), "gateway"], {}) is None
