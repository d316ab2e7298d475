"""Finds the service definitions that start a gateway: of all profiles, the user's and the system's.

OpenClaw's own are known by name, others by the command that they start. The files are read:
definitions that systemd or launchd has loaded may be older than those that start next.
"""

from __future__ import annotations

import os
import pwd
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import TailflipError
from tailflip.base.remembered import remembered
from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular
from tailflip.observe.gateway.release import read_release
from tailflip.observe.host.service import Service
from tailflip.observe.host.unitfile import (
    Context,
    UnitUnreadable,
    choose_last,
    parse_command,
    parse_memory,
    parse_unit,
    quote_word,
    read_environment,
    read_manager_environment,
    read_variables,
)
from tailflip.observe.host.wrapper_script import MARK, unwrap
from tailflip.observe.installation import find_state_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tailflip.observe.gateway.release import Release
    from tailflip.observe.host.service import Scope
    from tailflip.observe.host.unitfile import Assignment

_MAX_BYTES = 1 << 20
_WORDS = (b"openclaw", b"clawdbot", b"moltbot")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash", "ksh"})
_OURS = "tailflip"
_GATEWAY = "gateway"


@dataclass(frozen=True)
class Places:
    """The directories of service definitions; the first one of a scope wins over later ones."""

    systemd_user: tuple[Path, ...]
    systemd_system: tuple[Path, ...]
    launch_agents: Path
    launch_daemons: Path

    @classmethod
    def locate(cls, env: Mapping[str, str], root: Path = Path("/")) -> Places:
        """Find the directories for a user's environment; `root` stands for `/`."""
        home = Path(env.get("HOME") or Path.home())
        config = _absolute(env.get("XDG_CONFIG_HOME")) or home / ".config"
        data = _absolute(env.get("XDG_DATA_HOME")) or home / ".local" / "share"
        shared = (root / "usr/local/lib/systemd", root / "usr/lib/systemd", root / "lib/systemd")
        return cls(
            systemd_user=(
                config / "systemd" / "user",
                root / "etc/systemd/user",
                data / "systemd" / "user",
                *(each / "user" for each in shared),
            ),
            systemd_system=(root / "etc/systemd/system", *(each / "system" for each in shared)),
            launch_agents=home / "Library" / "LaunchAgents",
            launch_daemons=root / "Library/LaunchDaemons",
        )


def find_services(env: Mapping[str, str], places: Places) -> list[Service]:
    """Find every service that starts a gateway; unreadable definitions are left out."""
    return list(_find_services(tuple(env.items()), places))


@remembered
def _find_services(variables: tuple[tuple[str, str], ...], places: Places) -> list[Service]:
    env = dict(variables)
    found: list[Service] = []
    scope: Scope
    for scope, folders in (("user", places.systemd_user), ("system", places.systemd_system)):
        for path in _list_files(folders, ".service"):
            service = _read_unit(path, scope, folders, env)
            if service is not None:
                found.append(service)
    for scope, folder in (("user", places.launch_agents), ("system", places.launch_daemons)):
        for path in _list_files((folder,), ".plist"):
            service = _read_plist(path, scope, env)
            if service is not None:
                found.append(service)
    return found


def find_opaque_services(places: Places) -> list[str]:
    """Name the units that start a gateway through a shell's `-c`: their command cannot be read."""
    found: list[str] = []
    for folders in (places.systemd_user, places.systemd_system):
        for path in _list_files(folders, ".service"):
            text = _read_text(path)
            if not (_is_by_name(path.name) or any(word.decode() in text for word in _WORDS)):
                continue
            with suppress(ValueError, KeyError, OSError):
                command = " ".join(choose_last(parse_unit(text), "ExecStart")[-1:]).split()
                names = [Path(word.lstrip("-@:+!")).name for word in command[:3]]
                runs_text = any(re.fullmatch(r"-[a-z]*c", word) for word in command)
                if _SHELLS & set(names) and runs_text and _GATEWAY in " ".join(command):
                    found.append(path.name)
    return found


def _absolute(text: str | None) -> Path | None:
    return Path(text) if text and os.path.isabs(text) else None  # noqa: PTH117


def _list_files(folders: Iterable[Path], ending: str) -> Iterator[Path]:
    """List files of a kind once by name; `systemctl enable` and aliases make links."""
    seen: set[str] = set()
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - names are enough
        except OSError:
            continue
        for name in names:
            if name.endswith(ending) and not name.startswith(_OURS) and name not in seen:
                seen.add(name)
                yield folder / name


def _read_bytes(path: Path) -> bytes:
    """Read a definition; empty if it is not of a gateway, a link elsewhere, or not readable."""
    try:
        if path.is_symlink():
            return b""
        data = read_regular(path, _MAX_BYTES)
    except OSError:
        return b""
    return data if any(word in data for word in _WORDS) else b""


def _read_unit(
    path: Path, scope: Scope, folders: tuple[Path, ...], env: Mapping[str, str]
) -> Service | None:
    data = _read_bytes(path)
    try:
        main = parse_unit(data.decode())
        drop_ins = [
            each
            for folder in folders
            for each in sorted((folder / f"{path.name}.d").glob("*.conf"))
        ]
        texts = {each: _read_text(each) for each in drop_ins}
        others = [each for text in texts.values() if MARK not in text for each in parse_unit(text)]
        user = next(iter(choose_last([*main, *others], "User")[-1:]), None)
        context = Context.for_unit(path, user if scope == "system" else None)
        commands = choose_last(main, "ExecStart")
        service_env, notes = read_environment([*main, *others], context)
        shared = read_manager_environment(folders[0]) if scope == "user" else {}
        service_env = {"HOME": context.home, **_only(env, "PATH"), **shared, **service_env}
        [text] = commands
        command, wrapper = unwrap(parse_command(text, context, service_env))
        last = choose_last([*main, *others], "ExecStart")[-1]
        starts, _ = unwrap(parse_command(last, context, service_env))
        memory_bytes = parse_memory([*main, *others])
        if wrapper is not None:
            text = " ".join(map(quote_word, command))
    except (ValueError, KeyError, OSError):
        return None
    foreign = [
        each
        for each, text in texts.items()
        if MARK not in text and any(_is_command(one) for one in parse_unit(text))
    ]
    return _make(
        Service,
        manager="systemd",
        scope=scope,
        name=path.name,
        path=path,
        data=data,
        command=tuple(command),
        command_text=text,
        wrapper=wrapper,
        env=service_env,
        user=context.user if scope == "system" else None,
        home=context.home,
        drop_ins=tuple(drop_ins),
        foreign=tuple(foreign),
        notes=tuple(notes),
        starts=tuple(_without_gate(starts)),
        memory_bytes=memory_bytes,
    )


def _is_command(one: Assignment) -> bool:
    return (one.section, one.key) == ("Service", "ExecStart")


def _read_plist(path: Path, scope: Scope, env: Mapping[str, str]) -> Service | None:
    import plistlib  # noqa: PLC0415 - launchd's alone, and it loads an XML parser

    data = _read_bytes(path)
    try:
        content = plistlib.loads(data)
        bare, sourced = _unwrap_shell([str(each) for each in content["ProgramArguments"]])
        command, wrapper = unwrap(bare)
        said = content.get("EnvironmentVariables", {})
        service_env = {str(key): str(value) for key, value in said.items()} | sourced
        user = content.get("UserName") if scope == "system" else None
        entry = pwd.getpwnam(user) if user else None
    except (
        plistlib.InvalidFileException,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        OSError,
    ):
        return None
    home = entry.pw_dir if entry else (env.get("HOME") or str(Path.home()))
    service_env = {"HOME": home, **_only(env, "PATH"), **service_env}
    return _make(
        Service,
        manager="launchd",
        scope=scope,
        name=str(content.get("Label") or path.stem),
        path=path,
        data=data,
        command=tuple(_without_gate(command)),
        starts=tuple(_without_gate(command)),
        command_text="",
        wrapper=wrapper,
        env=service_env,
        user=user,
        home=home,
    )


def _make(kind: type[Service], **fields: Any) -> Service | None:
    """Make a service, with what its command tells; None if it does not start a gateway."""
    command: tuple[str, ...] = fields["command"]
    by_hand = _starts_tailflip(command)
    inner = tuple(_without_gate(list(command)))
    release = read_release(inner, fields["env"])
    if _GATEWAY not in inner or not (release.version or _is_by_name(fields["name"])):
        return None
    try:
        state_dir = find_state_dir(
            release.env, None, release.profile or fields["env"].get("OPENCLAW_PROFILE")
        )
    except TailflipError:
        return None
    return kind(
        **fields,
        state_dir=state_dir,
        release=release,
        guarded_by_hand=by_hand,
        cli=_find_cli(release),
    )


def _find_cli(release: Release) -> tuple[str, ...]:
    """Find OpenClaw's own command line beside the program that the service starts."""
    if release.entry is None or release.node is None:
        return ("openclaw",)
    package = release.entry.parent.parent / "openclaw.mjs"
    return (release.node, str(package if package.is_file() else release.entry))


def _is_by_name(name: str) -> bool:
    return any(word.decode() in name for word in _WORDS)


def _starts_tailflip(command: Sequence[str]) -> bool:
    """Say whether a command begins with tailflip: by name, or as `python -m tailflip`."""
    if not command:
        return False
    return Path(command[0]).name == _OURS or tuple(command[1:3]) == ("-m", _OURS)


def _without_gate(command: list[str]) -> list[str]:
    """Remove `tailflip gate … --` from the front of a command."""
    if _starts_tailflip(command) and "--" in command:
        return command[command.index("--") + 1 :]
    return command


def _unwrap_shell(command: list[str]) -> tuple[list[str], dict[str, str]]:
    """Remove the script that sources an environment file, as OpenClaw from 2026.8.1 writes it.

    `/bin/sh WRAPPER ENVFILE node …`, or without the shell. Returns the file's variables too.
    """
    at = 1 if command and command[0] == "/bin/sh" else 0
    is_wrapper = len(command) > at + 2 and command[at].endswith("-env-wrapper.sh")
    if not is_wrapper:
        return command, {}
    try:
        return command[at + 2 :], read_variables(Path(command[at + 1]))
    except (OSError, ValueError):
        return command[at + 2 :], {}


def _only(env: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: env[name] for name in names if name in env}


def _read_text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError, UnitUnreadable):
        return ""
