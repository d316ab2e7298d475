"""Every command in the documentation is executed: a page that lies is a failing test.

Each page's ```sh blocks run in order in a home of their own, with the incident in small and a
gateway's unit in it. After `sh` a block may say: `exit=N`, how its last command ends, or
`exit=1,0`, how each does; `home=empty`, that it wants no unit; `docker` or `kubectl`, that those
are stand-ins which check what they are given; `norun=why`, that it is not run here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.service_definitions import Host
from support.serving import free_port
from tailflip.base import clock
from tailflip.cli.app import _ALL
from tailflip.demo.incident import write_incident

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/stop-a-crash-loop.md",
    "docs/maintenance.md",
    "docs/report.md",
    "docs/keep-it-alive.md",
    "docs/alerts.md",
    "docs/stuck-jobs.md",
    "docs/reclaim.md",
    "docs/slim.md",
    "docs/install.md",
    "docs/uninstall.md",
    "docs/containers.md",
    "docs/upgrade-to-sqlite.md",
    "docs/metrics.md",
    "docs/page.md",
)
CONSOLE_PAGES = ("docs/keep-it-alive.md", "docs/how-it-works.md")
# What is so before one reads the page.
BEFORE = {"docs/uninstall.md": ("tailflip install --apply", "tailflip compact --apply")}
BLOCK = re.compile(r"^( *)```sh(?: ([^\n]*))?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# Systemd and OpenClaw themselves: tests/systemd has the real ones.
STAND_INS = {
    "systemctl": 'case "$*" in *daemon-reload*|*openclaw-gateway*|*--version*|*tailflip*) ;; '
    "*) echo unknown >&2; exit 1 ;; esac",
    "openclaw": "exit 0",
    "make": 'test "$1" = wheel',
    "kubectl": 'case "$1 $2" in "create secret") test "$3" = generic ;; '
    '"apply -k") test -f "$3/kustomization.yaml" ;; *) exit 1 ;; esac',
    "kustomize": 'test "$1 $2 $3" = "edit set image" && grep -q "${4%%=*}" kustomization.yaml',
    "docker": f'exec {sys.executable} {Path(__file__).with_name("docker.py")} "$@"',
}


@dataclass(frozen=True)
class Block:
    about: dict[str, str]
    text: str
    line: int


def read_blocks(path: Path) -> list[Block]:
    text = path.read_text()
    found = []
    for match in BLOCK.finditer(text):
        pairs = [word.partition("=") for word in re.split(r" (?=\w+=)", match[2] or "") if word]
        body = "\n".join(line.removeprefix(match[1]) for line in match[3].splitlines())
        found.append(
            Block({k: v for k, _, v in pairs}, body, text[: match.start()].count("\n") + 1)
        )
    return found


@pytest.fixture
def home(tmp_path):
    """The incident in small, a unit that starts a gateway, and the programs that pages name."""
    host = Host(tmp_path / "home")
    host.home.mkdir()
    host.put_unit()
    write_incident(host.home / ".openclaw", size_bytes=2_000_000, now_ms=clock.now_ms())
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "port").write_text(str(free_port()))
    return host


def run(home: Host, block: Block) -> None:
    if block.about.get("home") == "empty":
        for path in home.units.rglob("*"):
            if path.is_file():
                path.unlink()
    bin_dir = Path(sys.executable).parent
    env = {
        "HOME": str(home.home),
        "PATH": f"{home.home.parent}/programs:{bin_dir}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "OPENCLAW_GATEWAY_PORT": "1",
        "ROOT": str(ROOT),
        **{k: v for k, v in os.environ.items() if k == "PYTHONPATH"},
    }
    env["TAILFLIP_SERVE_LISTEN"] = f"127.0.0.1:{(home.home.parent / 'port').read_text()}"
    text = block.text.replace("127.0.0.1:9309", env["TAILFLIP_SERVE_LISTEN"])
    lines = text.replace("\\\n", "").splitlines()
    codes = [int(code) for code in block.about.get("exit", "0").split(",")]
    assert len(codes) in (1, len(lines)), block
    place: Path | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("cd "):
            place = (place or ROOT) / line.removeprefix("cd ")
            assert place.is_dir(), line
            continue
        needs_root = "packaging/" in line or line.startswith("make")
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            env=env, cwd=place or (ROOT if needs_root else home.home),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        wanted = codes[number - 1] if len(codes) == len(lines) else 0
        if len(codes) == 1 and number == len(lines):
            wanted = codes[0]
        assert done.returncode == wanted, f"line {block.line}: {line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works_in_the_order_given(home, page):
    blocks = read_blocks(ROOT / page)
    assert blocks
    for line in BEFORE.get(page, ()):
        run(home, Block({}, line, 0))
    for block in blocks:
        if "norun" not in block.about:
            run(home, block)


def test_pages_name_only_files_that_are_there():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_names_every_verb_in_its_table():
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = [verb for row in rows for verb in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(_ALL)


def test_the_stand_in_for_docker_knows_the_services():
    """It would otherwise take anything."""
    services = yaml.safe_load((ROOT / "packaging/container/compose.yaml").read_text())["services"]
    assert {"gateway", "compactor", "gateway-alone"} == set(services)
    stand_in = Path(__file__).with_name("docker.py")
    bad = ["compose", "-f", "packaging/container/compose.yaml", "up", "-d", "no-such-service"]
    done = subprocess.run([sys.executable, stand_in, *bad], cwd=ROOT, check=False)
    assert done.returncode != 0


def test_the_pages_name_the_rust_and_python_that_the_build_needs():
    """Debian's cargo is older; who learns that from the compiler has lost ten minutes."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rust = manifest["workspace"]["package"]["rust-version"]
    python = project["requires-python"].removeprefix(">=")
    for page in ("docs/install.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        assert f"Rust {rust} or later" in text
        assert f"Python {python} or later" in text


def test_what_a_page_shows_is_what_the_verbs_print_today():
    """The page of an older version had no verdict, and lines that were cut."""
    shown = {page: (ROOT / page).read_text() for page in CONSOLE_PAGES}
    samples = {
        words: text
        for page in shown.values()
        for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for words, text in re.findall(
            r"^\$ tailflip ([^\n]+)\n(.*?)(?=^\$|\Z)", block, re.MULTILINE | re.DOTALL
        )
    }
    status = samples["status"].splitlines()
    assert re.match(r"(OK|WAITING|DOWN|AT RISK): ", status[0])
    first = {line.split()[0] for line in status if re.match(r"[a-z]+ {2,}", line)}
    rows = "next guards gateway guarded life memory stores starts last"
    assert first == set(rows.split())
    assert re.search(r"^incident \d+ \(open\): ", samples["incidents why"])
    assert "\nthis will fill the store again: " in samples["compact"]
    assert re.search(r"^after: .* of heap to load: it fits$", samples["compact"], re.MULTILINE)
    assert "V8's reserve of" in samples["compact"]
    assert not any("…\n" in samples[words] for words in ("status", "incidents why", "compact"))
