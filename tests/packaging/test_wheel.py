"""The wheel installs and works where there is no source tree, by pip, pipx and uv."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

# These start a gateway and stay, or need a night behind them; other tests have them.
# Commands that need a gateway or its service: tests/docs has a unit for them.
ELSEWHERE = ("systemctl", *(f"tailflip {verb}" for verb in ("run", "gate", "install", "incidents")))
VERSION = r"^tailflip \d+\.\d+\.\d+ \(\w+ .*\)\n$"


def test_plain_pip_in_an_empty_environment(built, elsewhere):
    elsewhere.run(sys.executable, "-m", "venv", elsewhere.home / "venv")
    bin_dir = elsewhere.home / "venv" / "bin"
    elsewhere.run(bin_dir / "pip", "install", "--quiet", built.wheel)
    tailflip = bin_dir / "tailflip"
    assert re.match(VERSION, elsewhere.run(tailflip, "--version").stdout)
    where = elsewhere.run(bin_dir / "python", "-c", "import tailflip; print(tailflip.__file__)")
    assert str(elsewhere.home) in where.stdout
    # It works: makes a store, makes it small, puts it back, byte for byte.
    state = elsewhere.home / ".openclaw"
    elsewhere.run(
        bin_dir / "python",
        "-c",
        "import sys; from pathlib import Path; from tailflip.base import clock\n"
        "from tailflip.demo.incident import write_incident\n"
        "write_incident(Path(sys.argv[1]), size_bytes=3_000_000, now_ms=clock.now_ms())",
        state,
    )
    store = state / "agents/main/sessions/sessions.json"
    before = store.read_bytes()
    said = elsewhere.run(tailflip, "compact", "--apply", "--heap-limit", "2gb").stdout
    assert store.stat().st_size < len(before) / 5
    undo = re.search(r"undo: tailflip (.*)", said)
    elsewhere.run(tailflip, *undo[1].split())
    assert store.stat().st_size > len(before) * 0.9
    # What it installs comes out of the wheel too.
    assert (
        "tailflip-gateway.service"
        in elsewhere.run(tailflip, "install", "--mode", "run", "--", "/bin/sh", "gateway").stdout
    )


def test_the_readmes_commands_in_order_from_the_wheel_alone(built, elsewhere):
    """As a reader would type them; only that the wheel stands for the checkout."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```(sh|console)(?: [^\n]*)?\n(.*?)```", text, re.DOTALL)
    # The first screen shows what it says before it shows how to have it.
    words = [x for kind, block in blocks if kind == "sh" for x in block.splitlines() if x]
    words += [
        x[2:]
        for kind, block in blocks
        if kind == "console"
        for x in block.splitlines()
        if x.startswith("$ ")
    ]
    words = [word for word in words if not word.startswith(ELSEWHERE)]
    words = [word.replace("install .", f"install -q {built.wheel}") for word in words]
    assert any(word.startswith("tailflip") for word in words)
    state = elsewhere.home / ".openclaw" / "agents" / "main" / "sessions"
    state.mkdir(parents=True)
    (state / "sessions.json").write_text("{}")
    script = "\n".join(f'{word}\necho "rc=$? {word.split()[0]}"' for word in words)
    path = f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin"
    said = elsewhere.run("/bin/sh", "-c", script, PATH=path).stdout
    codes = re.findall(r"^rc=(\d+)", said, re.MULTILINE)
    assert len(codes) == len(words)
    assert set(codes) <= {"0", "1"}, said  # 1 is an answer of `check`
    assert codes[0] == "0"


def test_pipx_installs_it_with_its_manual(built, elsewhere, tools):
    homes = {f"PIPX_{name}": str(elsewhere.home / name) for name in ("HOME", "BIN_DIR", "MAN_DIR")}
    elsewhere.run(tools["pipx"], "install", "--python", sys.executable, built.wheel, **homes)
    assert re.match(VERSION, elsewhere.run(elsewhere.home / "BIN_DIR/tailflip", "--version").stdout)
    assert (elsewhere.home / "MAN_DIR/man1/tailflip.1").exists()


def test_uv_installs_it_as_a_tool(built, elsewhere, tools):
    homes = {
        "UV_TOOL_DIR": str(elsewhere.home / "tools"),
        "UV_TOOL_BIN_DIR": str(elsewhere.home / "bin"),
        "UV_CACHE_DIR": str(elsewhere.home / "cache"),
    }
    elsewhere.run(tools["uv"], "tool", "install", "--python", sys.executable, built.wheel, **homes)
    assert re.match(VERSION, elsewhere.run(elsewhere.home / "bin/tailflip", "--version").stdout)


def test_completion_is_offered(built, elsewhere):
    tailflip = Path(sys.executable).with_name("tailflip")
    for shell in ("bash", "zsh", "fish"):
        # Else typer asks which shell its parent is: here that is whatever runs the tests.
        named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        said = elsewhere.run(tailflip, "--show-completion", shell, **named).stdout
        assert "TAILFLIP_COMPLETE" in said


def test_the_wheel_is_for_every_python_from_3_11_on_and_complete(built):
    assert "-cp311-abi3-" in built.wheel.name
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
    for wanted in (
        "tailflip/install/units/gate.conf.in",
        "tailflip/py.typed",
        "tailflip/_native.pyi",
        ".data/data/share/man/man1/tailflip.1",
    ):
        assert any(name.endswith(wanted) for name in names), wanted
    assert not any("__pycache__" in name or name.startswith("tests") for name in names)
    assert built.wheel.stat().st_size < 6 << 20


def test_the_sdist_holds_what_a_build_needs(built):
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE-MIT"}
    wanted |= {"rust/native/src/lib.rs", "python/tailflip/install/units/gate.conf.in"}
    wanted |= {"packaging/wheel/data/share/man/man1/tailflip.1"}
    assert wanted <= names, wanted - names


def test_the_manual_is_what_the_command_line_says():
    sys.path.insert(0, str(ROOT / "tests/tools"))
    import write_man  # noqa: PLC0415

    assert write_man.PATH.read_text() == write_man.write_page(), "run `make man`"
