"""The real OpenClaw gateway: install it from the npm registry, start it, ask it, stop it.

Nothing here imitates anything: the package is the one users run, the Node is the one
it asks for. Each version lives in its own folder of the cache
(`$OPENCLAW_TEST_CACHE`, else `~/.cache/tailflip-gateway`) and is installed once.
State, home and workspace are always temporary folders of the caller.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOBODY = 9  # a port where nobody listens
TOKEN = "test-token"  # noqa: S105 - guards a gateway that lives for seconds on loopback
HEAP_DEATH = "JavaScript heap out of memory"
# Both transitive versions are pinned because the newer ones need packages that are not
# in the registry.
OVERRIDES = {"linkedom": "0.18.12", "libsignal": "6.0.0"}
# On 2026.3.28 the optional packages are needed to start (axios); on 2026.4.14 they only cost room.
OMIT_OPTIONAL = frozenset({"2026.4.14"})
# Packages that a release imports and does not ask for.
LACKS = {"2026.1.29": {"strip-ansi": "7"}}
# What a release says that has no /healthz: before 2026.3 that path gives the page of the console.
_LISTENS, _SETTLED_S = "listening on ws://", 5
QUIET = dict.fromkeys(
    (
        "OPENCLAW_SKIP_CHANNELS",
        "OPENCLAW_SKIP_GMAIL_WATCHER",
        "OPENCLAW_SKIP_CANVAS_HOST",
        "OPENCLAW_SKIP_BROWSER_CONTROL_SERVER",
        "OPENCLAW_DISABLE_BONJOUR",
        "OPENCLAW_SKIP_ACPX_RUNTIME",
    ),
    "1",
)


class NotInstallable(Exception):
    """This machine cannot have the package; the message says why."""


def cache_dir() -> Path:
    configured = os.environ.get("OPENCLAW_TEST_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "tailflip-gateway"


def _npm_install(name: str, project: dict[str, dict[str, str]], *flags: str) -> Path:
    """Return the folder of an npm project, installed at most once per machine."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstallable("npm is not on PATH")
    folder = cache_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = json.dumps({"private": True, **project}, indent=2)
        done = folder / ".installed"
        if not done.exists() or done.read_text() != text:
            (folder / "package.json").write_text(text)
            # Asked once and shortly: without a registry, an install tries for a minute.
            first = next(iter(project["dependencies"]))
            _run_npm(npm, folder, "view", first, "name", "--fetch-retries=0")
            _run_npm(npm, folder, "install", "--ignore-scripts", "--no-audit", "--no-fund", *flags)
            done.write_text(text)
    return folder / "node_modules"


def _run_npm(npm: str, folder: Path, *words: str) -> None:
    ran = subprocess.run(
        [npm, *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    if ran.returncode != 0:
        said = [line for line in ran.stderr.splitlines() if line.startswith("npm error")]
        raise NotInstallable(f"npm {words[0]} failed in {folder}: {'; '.join(said[:4])[:300]}")


def install_node() -> Path:
    """Return a Node 24 executable: the platform package that `npm install node` would fetch."""
    system = platform.system().lower()
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    prefix = "node-bin" if (system, arch) == ("darwin", "arm64") else "node"
    package = f"{prefix}-{system}-{arch}"
    node = _npm_install("node-24", {"dependencies": {package: "24"}}) / package / "bin" / "node"
    npm = shutil.which("npm")
    if npm is not None:
        _lend_npm(npm, node)
    return node


def _lend_npm(npm: str, node: Path) -> None:
    """Put npm where gateways look for it, with this machine's settings, such as certificates."""
    asked = subprocess.run(
        [npm, "config", "get", "globalconfig"], capture_output=True, text=True, check=True
    )
    settings = node.parents[1] / "etc" / "npmrc"
    settings.parent.mkdir(exist_ok=True)
    for link, target in ((node.with_name("npm"), npm), (settings, asked.stdout.strip())):
        with suppress(FileExistsError):
            link.symlink_to(target)


@dataclass(frozen=True)
class Install:
    """One version of the gateway on this machine."""

    version: str
    node: Path
    package: Path

    def environment(
        self, state: Path, heap_mib: int | None = None, node_options: str = ""
    ) -> dict[str, str]:
        """Return the environment of a user of `state`; `heap_mib` limits every V8 heap in it."""
        foreign = ("OPENCLAW_", "NODE_", "TAILFLIP_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        home = state.parent / "home"
        home.mkdir(exist_ok=True)
        env = kept | {
            **QUIET,
            "HOME": str(home),
            "PATH": f"{self.node.parent}{os.pathsep}{kept.get('PATH', '')}",
            "OPENCLAW_STATE_DIR": str(state),
            "OPENCLAW_CONFIG_PATH": str(state / "openclaw.json"),
            "TAILFLIP_STATE_DIR": str(state.parent / "tailflip"),
            "NO_COLOR": "1",
            # `doctor --fix` would install dozens of plugin packages into the cache.
            "npm_config_offline": "true",
        }
        if any((self.package / "dist").glob("bundled-runtime-deps-*.js")):
            # These install packages of their plugins at their start; once is enough.
            env["OPENCLAW_PLUGIN_STAGE_DIR"] = str(self.package.parents[1] / "stage")
            del env["npm_config_offline"]
        if heap_mib is not None:
            node_options = f"--max-old-space-size={heap_mib} {node_options}"
        if node_options:
            env["NODE_OPTIONS"] = node_options.strip()
        return env

    def openclaw(self, state: Path, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the package's own command line on a state directory."""
        return subprocess.run(
            [str(self.node), str(self.package / "openclaw.mjs"), *args],
            env=self.environment(state),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def call(self, state: Path, port: int, method: str, **params: object) -> Any:
        """Make one call of the gateway's own protocol, and return its answer."""
        where = ("--url", f"ws://127.0.0.1:{port}", "--token", TOKEN, "--timeout", "150000")
        words = ("gateway", "call", method, "--params", json.dumps(params), "--json", *where)
        ran = self.openclaw(state, *words)
        assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-2000:]
        return json.JSONDecoder().raw_decode(ran.stdout, ran.stdout.index("{"))[0]

    def listed_sessions(self, state: Path) -> set[str]:
        """Return the session keys that `openclaw sessions --json` shows."""
        ran = self.openclaw(state, "sessions", "--json", "--limit", "all")
        if ran.returncode != 0 and "unknown option" in ran.stderr:  # it lists all, always
            ran = self.openclaw(state, "sessions", "--json")
        assert ran.returncode == 0, ran.stderr[-2000:]
        # Some starts log a line of theirs to stdout, before or after the document.
        document, _ = json.JSONDecoder().raw_decode(ran.stdout, ran.stdout.index("{\n"))
        return {session["key"] for session in document["sessions"]}


def install(version: str) -> Install:
    flags = ["--legacy-peer-deps"] + ["--omit=optional"] * (version in OMIT_OPTIONAL)
    lacks = LACKS.get(version, {})
    project = {"dependencies": {"openclaw": version, **lacks}, "overrides": OVERRIDES}
    package = _npm_install(version, project, *flags) / "openclaw"
    return Install(version=version, node=install_node(), package=package)


def configure(state: Path, model_port: int = NOBODY) -> int:
    """Write a configuration that needs no network, and return its port.

    Args:
        state: the gateway's state directory.
        model_port: of a model on loopback; without one no agent can talk.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    model = {
        "id": "echo-1",
        "name": "echo-1",
        "reasoning": False,
        "input": ["text"],
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": 128_000,
        "maxTokens": 4096,
    }
    config = {
        "gateway": {
            "mode": "local",
            "port": port,
            "bind": "loopback",
            "auth": {"mode": "token", "token": TOKEN},
        },
        "cron": {"enabled": True},
        "discovery": {"mdns": {"mode": "off"}},
        "update": {"checkOnStart": False},
        "agents": {
            "defaults": {
                "workspace": str(state.parent / "workspace"),
                "model": {"primary": "fake/echo-1"},
                "heartbeat": {"every": "0m"},
            }
        },
        "models": {
            "providers": {
                "fake": {
                    "baseUrl": f"http://127.0.0.1:{model_port}/v1",
                    "apiKey": "none",
                    "api": "openai-completions",
                    "models": [model],
                }
            }
        },
    }
    (state / "openclaw.json").write_text(json.dumps(config, indent=2))
    return port


@dataclass
class Running:
    """A gateway that was started, perhaps already dead."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    has_healthz: bool = field(default=True, kw_only=True)

    def is_healthy(self, path: str = "/healthz", status: str = "live") -> bool:
        """Ask it how it is; from 2026.8.1 on any path is answered, with a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if not self.has_healthz:
                return True
            is_json = "json" in (answer.getheader("Content-Type") or "")
            if answer.status != http.HTTPStatus.OK or not is_json:
                return False
            return bool(json.loads(answer.read())["status"] == status)
        except OSError:
            return False
        finally:
            connection.close()

    def settle(self, timeout_s: float = 90) -> bool:
        """Wait until it answers /healthz (True) or is dead (False)."""
        until = time.monotonic() + timeout_s
        listens_since = None
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return False
            if self.is_healthy():
                return True
            if listens_since is None and _LISTENS in self.output():
                listens_since = time.monotonic()
            if listens_since is not None and time.monotonic() - listens_since > _SETTLED_S:
                self.has_healthz = False
                return self.is_healthy()
            time.sleep(0.1)
        raise TimeoutError(f"neither healthy nor dead after {timeout_s} s: {self.output()[-2000:]}")

    def stays_up(self, seconds: float) -> bool:
        """Watch it for a while, and ask once more at the end."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.is_healthy()
        return False

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def gateway(
    install: Install,
    state: Path,
    *,
    heap_mib: int | None = None,
    port: int,
    node_options: str = "",
    prefix: Sequence[str] = (),
) -> Iterator[Running]:
    """Start what a user starts; the whole process tree is gone when the block ends.

    `prefix` stands before the command, such as what puts it into a cgroup.
    """
    log = state.parent / f"gateway-{time.monotonic_ns()}.log"
    program = [str(install.node), str(install.package / "openclaw.mjs")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*prefix, *program, "gateway", "--port", str(port)],
            env=install.environment(state, heap_mib, node_options),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield Running(process=process, port=port, log=log)
    finally:
        # The wrapper passes SIGTERM on; SIGKILL would leave the gateway as an orphan,
        # so its children are remembered first.
        tree = []
        if process.poll() is None:
            tree = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
        try:
            process.wait(25)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in tree:
            if child.is_running():
                child.kill()


def tailflip(
    install: Install, state: Path, *args: str, heap_mib: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run tailflip as the gateway's user would: same environment, Node and `openclaw`."""
    env = install.environment(state, heap_mib)
    env["PATH"] = f"{install.package.parent / '.bin'}{os.pathsep}{env['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "tailflip", *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
