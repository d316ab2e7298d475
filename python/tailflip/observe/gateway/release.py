"""Finds the release of OpenClaw that a command starts; reads files and starts no program.

A command names the gateway as `openclaw` on the PATH (npm's symlink, pnpm's or yarn's shell
shim) or as `node [flags] .../openclaw.mjs`, perhaps behind `env` or a plain script (`launcher`).
The nearest package.json with a name above that script has the version. A command that cannot be
followed, such as `sh -c`, has an unknown release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.catalogue import Judged, Standing, read_catalogue
from tailflip.observe.gateway.launcher import read_launcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailflip.flow.capabilities import Capabilities, Version

_PACKAGES = frozenset({"openclaw", "clawdbot", "moltbot"})
_MAX_PACKAGE_BYTES = 4 << 20
_MAX_SHIM_BYTES = 64 << 10
_NODES = frozenset({"node", "nodejs"})
# Programs that wrap the command after them, with the flags that take a value.
_ROUND: dict[str, frozenset[str]] = {
    "env": frozenset({"-u", "--unset"}),
    "nohup": frozenset(),
    "setsid": frozenset(),
    "tini": frozenset({"-p", "-e"}),
    "dumb-init": frozenset({"-r", "--rewrite"}),
    "nice": frozenset({"-n", "--adjustment"}),
}
# Flags that move to another folder or hold a whole command line in one word.
_OPAQUE = ("-C", "--chdir", "-S", "--split-string")
# Node's own flags whose value may be the next word; V8 has no such flag.
_NODE_VALUES = frozenset(
    {"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"}
    | {"--env-file", "--env-file-if-exists", "--title", "--diagnostic-dir", "--icu-data-dir"}
    | {"--report-dir", "--report-directory", "--report-filename", "--report-signal"}
    | {"--redirect-warnings", "--trace-event-categories", "--openssl-config", "--disable-warning"}
)
_NODE_NO_SCRIPT = frozenset({"-e", "--eval", "-p", "--print", "-i", "--interactive", "--run"})
_VERSION = re.compile(r"v?([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?![0-9])")
_SHIM = re.compile(r'"\$basedir/([^"\n]+\.[cm]?js)"')
_MAX_PORT = 65_535
_MAX_LAUNCHERS = 4  # one after the other; more are a ring


@dataclass(frozen=True)
class Release:
    """The release that a command starts.

    `version` and `text` come from package.json; None where the command cannot be followed.
    `node` is the program that runs `entry`. `profile` and `port` are from the command; None where
    it has none. `env` is the environment that the gateway gets, changed by an `env` in the
    command or its launcher; it holds secrets. `words` follow the script, and may hold secrets.
    `evidence` is for people. `command` is what is started in the end, without what stands round it
    and with a launcher's own words; it may hold secrets.
    """

    version: Version | None
    text: str | None
    node: str | None
    entry: Path | None
    profile: str | None
    port: int | None
    evidence: str
    env: Mapping[str, str] = field(repr=False)
    words: tuple[str, ...] = field(default=(), repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_found(self) -> bool:
        """Say whether the command leads to a package: what another program starts is unknown."""
        return self.text is not None

    @property
    def capabilities(self) -> Capabilities:
        """The release's capabilities; an unknown release has no abilities."""
        return find_capabilities(self.version)


def read_release(command: Sequence[str], env: Mapping[str, str]) -> Release:
    """Follow a command to the package that it starts; reads small files."""
    env = dict(env)
    bare, problem = _unfold(command, env)  # applies an `env` in the command
    node = shutil.which("node", path=env.get("PATH"))
    if problem is not None:
        return Release(None, None, node, None, None, None, problem, env, (), tuple(command))
    program, arguments = bare[0], bare[1:]
    entry: Path | None
    if Path(program).name in _NODES:
        node = _find_program(program, env)
        at = _find_script(arguments)
        entry = None if at is None else Path(arguments[at]).absolute()
        arguments = [] if at is None else arguments[at + 1 :]
        problem = "node is given no script" if entry is None else None
    else:
        found = _find_program(program, env)
        entry = None if found is None else _follow_shim(Path(found))
        node = (entry and _read_shebang(entry)) or node
        problem = f"program not found: {program}" if entry is None else None
    profile, port = _parse_arguments(arguments)
    if entry is None:
        return Release(None, None, node, None, profile, port, str(problem), env, (), tuple(bare))
    version, text, evidence = _read_package(entry)
    words = tuple(arguments)
    return Release(version, text, node, entry, profile, port, evidence, env, words, tuple(bare))


def find_missing_file(command: Sequence[str], env: Mapping[str, str]) -> str | None:
    """Find a file that a command names by its whole path and that is missing; None if none is.

    A name without a path is not checked: another PATH may have it.
    """
    words, problem = _unfold(command, dict(env))
    if problem is not None or not words:
        words = list(command)
    program, arguments = words[0], words[1:]
    at = _find_script(arguments) if Path(program).name in _NODES else None
    named = [program, *([] if at is None else [arguments[at]])]
    shebang = _read_shebang(Path(program)) if os.path.isabs(program) else None  # noqa: PTH117
    named += [shebang] if shebang is not None else []
    return next((path for path in named if os.path.isabs(path) and _is_gone(path)), None)  # noqa: PTH117


def _is_gone(path: str) -> bool:
    """Say whether a file is surely missing; one that may not be looked at may exist."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def parse_version(text: str) -> Version | None:
    """Read `2026.4.14`, also with a suffix such as `-beta.1`; None for anything else."""
    match = _VERSION.match(text.strip())
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def judge(text: str) -> Judged | None:
    """Choose the release of the catalogue whose facts count for a version; None if it is none."""
    version = parse_version(text)
    if version is None:
        return None
    table = read_catalogue()
    judged = table.judge(version)
    if judged.is_listed and text.strip().removeprefix("v") not in table.releases:
        return Judged(judged.release, Standing.OTHER_BUILD)
    return judged


def _unfold(command: Sequence[str], env: dict[str, str]) -> tuple[list[str], str | None]:
    """Remove what stands round a command, and put what launchers start in their place."""
    words, problem = _strip_wrappers(list(command), env)
    for _ in range(_MAX_LAUNCHERS):
        found = None if problem is not None else _find_program(words[0], env)
        launcher = None if found is None else read_launcher(found)
        if launcher is None:
            break
        env |= launcher.env
        words, problem = _strip_wrappers([*launcher.words, *words[1:]], env)
    return words, problem


def _strip_wrappers(words: list[str], env: dict[str, str]) -> tuple[list[str], str | None]:
    """Remove the wrappers in front of a command, applying their assignments to `env`."""
    while words and (name := Path(words[0]).name) in _ROUND:
        words = words[1:]
        while words and words[0].startswith("-"):
            flag = words.pop(0)
            if flag == "--":
                break
            if name == "env" and flag.startswith(_OPAQUE):
                return [], f"cannot follow: env {flag}"
            if name == "env" and flag in ("-", "-i", "--ignore-environment"):
                env.clear()
            value = words.pop(0) if flag in _ROUND[name] and words else None
            if name == "env" and value is not None:
                env.pop(value, None)
        while name == "env" and words and "=" in words[0]:
            key, _, value = words.pop(0).partition("=")
            env[key] = value
    return words, None if words else "there is no command"


def _find_program(program: str, env: Mapping[str, str]) -> str | None:
    """Find the program that exec would run, on the PATH of the given environment."""
    return shutil.which(program, path=env.get("PATH", os.defpath))


def _find_script(arguments: Sequence[str]) -> int | None:
    """Find the script among node's arguments, after node's own flags."""
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            return at + 1 if at + 1 < len(arguments) else None
        if word in _NODE_NO_SCRIPT or word.startswith(("--eval=", "--print=", "--run=")):
            return None
        if not word.startswith("-"):
            return at
        at += 2 if word in _NODE_VALUES else 1
    return None


def _follow_shim(program: Path) -> Path:
    """Follow symlinks, and the one jump of the shell script that pnpm or yarn writes."""
    real = Path(os.path.realpath(program))
    try:
        text = read_regular(real, _MAX_SHIM_BYTES).decode("utf-8", "replace")
    except OSError:
        return real
    match = _SHIM.search(text) if text.startswith("#!/bin/sh") else None
    return real if match is None else Path(os.path.realpath(program.parent / match[1]))


def _read_shebang(entry: Path) -> str | None:
    """Read the path of the node in a script's first line; None for `env node` and other lines."""
    try:
        with entry.open("rb") as file:
            line = file.readline(256)
    except OSError:
        return None
    words = line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []
    return words[0] if words and Path(words[0]).name in _NODES else None


def _read_package(entry: Path) -> tuple[Version | None, str | None, str]:
    """Read the version from the nearest package.json with a name above the script."""
    real = Path(os.path.realpath(entry))
    for path in (folder / "package.json" for folder in real.parents):
        try:
            package = json.loads(read_regular(path, _MAX_PACKAGE_BYTES))
        except (OSError, ValueError, RecursionError):
            continue
        if not isinstance(package, dict) or not isinstance(package.get("name"), str):
            continue  # dist folders have one without a name: {"type": "module"}
        if package["name"] not in _PACKAGES:
            return None, None, f"{path} is of another package: {package['name']}"
        text = str(package.get("version"))
        return parse_version(text), text, f"{path} says {text}"
    return None, None, f"no package.json above {real}"


def _parse_arguments(arguments: Sequence[str]) -> tuple[str | None, int | None]:
    """Read profile and port as OpenClaw's command line does; the last of each counts.

    `--dev` before the command is a profile, after `gateway` it is the gateway's own flag
    (OpenClaw 2026.3.28 and 2026.4.14, `parseCliProfileArgs`).
    """
    profile: str | None = None
    port: int | None = None
    seen_gateway = False
    for name, value in _options(arguments):
        if name == "gateway":
            seen_gateway = True
        elif name == "--dev" and not seen_gateway:
            profile = "dev"
        elif name == "--profile" and value:
            profile = value
        elif name == "--port":
            number = int(value) if re.fullmatch(r"[0-9]{1,5}", value) else 0
            port = number if 0 < number <= _MAX_PORT else port
    return profile, port


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word before `--` with its value; of a bare word the value is empty."""
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            return
        name, equals, value = word.partition("=")
        if name in ("--profile", "--port") and not equals:
            value = next(rest, "")
        yield name, value
