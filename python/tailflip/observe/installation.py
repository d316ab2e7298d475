"""Finds the files of an OpenClaw installation: state, configuration, agents, stores.

The gateway takes its directories from the environment of its service, so give the same
variables here when they are not the defaults.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import CannotCreate, ConfigInvalid, TailflipError, Usage
from tailflip.base.openclaw_units import parse_duration_ms, parse_size_bytes
from tailflip.flow.late import dataclass
from tailflip.flow.observed import Store
from tailflip.observe.agents import (
    find_databases,
    list_below,
    list_configured,
    read_section,
)
from tailflip.observe.files import can_be_path
from tailflip.observe.json5config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEFAULT_PORT = 18789
DEFAULT_RETENTION_MS = 86_400_000
DEFAULT_ROTATE_BYTES = 10 << 20
STORE_NAME = "sessions.json"
_LEGACY_STATE = (".clawdbot", ".moldbot")
_LEGACY_CONFIG = ("clawdbot.json", "moldbot.json")
# What else a gateway leaves in its state directory.
_STATE_FILES = ("cron/jobs.json", "tasks/runs.sqlite", "state/openclaw.sqlite")
_SHOWN_BELOW = 5
_STATE_DIR_ABOVE = 3  # STATE/agents/AGENT/sessions/sessions.json
_PROFILE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}")
_MAX_PORT = 65_535


@dataclass(frozen=True)
class Installation:
    """The directories, stores and settings of one gateway.

    `stores` exist; `missing` are stores that should exist, by configuration or by an agent's
    folder. Beside databases none is missing: a new file there would be imported, or keep the
    gateway down. `databases` are the agents' own; those with sessions are stores.
    `retention_ms` None means that the user keeps finished runs for ever. `retention_problem` says
    why a configured retention could not be read; the gateway then silently takes 24 h.
    `notes` are for people. `problem` says why the configuration could not be read: then all is
    taken to be where the gateway has it without one.
    """

    state_dir: Path
    config_path: Path
    config: dict[str, Any]
    agents: tuple[str, ...]
    stores: tuple[Store, ...]
    missing: tuple[Store, ...]
    databases: tuple[Path, ...]
    retention_ms: int | None
    retention_problem: str | None
    cron_store: Path
    port: int
    tls: bool
    enforces: bool
    rotate_bytes: int
    notes: tuple[str, ...] = ()
    problem: ConfigInvalid | None = None


def measure_stores(installation: Installation) -> int:
    """Sum the sizes of all stores, with one stat each."""
    total = 0
    for store in installation.stores:
        with suppress(OSError):
            total += store.path.stat().st_size
    return total


def owns(path: str, name: str, installation: Installation | None) -> bool:
    """Say whether a path on record belongs to a gateway; its configuration may name others.

    Args:
        path: real path of a store or ledger.
        name: the gateway's name, the real path of its state directory.
        installation: the gateway's, None if that cannot be read.
    """
    if path.startswith(name + os.sep):
        return True
    if installation is None:
        return False
    stores = (*installation.stores, *installation.missing)
    files = (installation.cron_store, *(store.path for store in stores))
    return path in {os.path.realpath(each) for each in files}


def choose_owned(env: Mapping[str, str], state_dir: Path) -> Callable[[str], bool]:
    """Make a function that says whether a path on record is of one state directory's gateway.

    The directory may be gone, or its configuration damaged: then what lay below it is its own.
    """
    try:
        installation = locate(env, state_dir=state_dir)
    except (TailflipError, OSError):
        installation = None
    name = os.path.realpath(state_dir)
    return lambda path: owns(path, name, installation)


def locate(
    env: Mapping[str, str],
    *,
    state_dir: Path | None = None,
    profile: str | None = None,
    is_lenient: bool = False,
) -> Installation:
    """Find the installation that a gateway with this environment would use.

    Args:
        env: environment variables, such as `OPENCLAW_STATE_DIR` and `HOME`.
        state_dir: given by hand; wins over `env` and `profile`.
        profile: as OpenClaw's own `--profile`; weaker than `OPENCLAW_STATE_DIR`.
        is_lenient: a configuration that cannot be read counts as empty, and is the `problem`.

    Raises:
        Usage: OpenClaw would refuse the profile's name.
        CannotCreate: there is no state directory.
        ConfigInvalid: the configuration cannot be read.
    """
    if profile is not None and not _PROFILE.fullmatch(profile):
        raise Usage(f"profile name is not valid: {profile!r}")
    state = find_state_dir(env, state_dir, profile)
    if not _is_folder(state):
        raise CannotCreate(
            f"no state directory: {state}: it does not exist or is not a directory",
            hint="pass --state-dir, or set OPENCLAW_STATE_DIR as the gateway's service has it",
        )
    config_path = _find_config(env, state, profile)
    try:
        config, notes = load_config(config_path, env)
        return _describe(state, config_path, config, notes, env)
    except ConfigInvalid as e:
        if not is_lenient:
            raise
        return replace(_describe(state, config_path, {}, (), env), problem=e)


def _describe(
    state: Path,
    config_path: Path,
    config: dict[str, Any],
    notes: tuple[str, ...],
    env: Mapping[str, str],
) -> Installation:
    """Describe an installation by its configuration."""
    template = _string(config, "session", "store", at=config_path)
    if template and not template.startswith(("~", "/")):
        notes = (*notes, "session.store is relative: taken from here, the gateway may differ")
    agents, files = _find_stores(config, state, template, env)
    databases = find_databases(config, state, lambda path: _expand(path, env))
    known = {each.path for each in databases}  # `session.store` may name one
    files = [store for store in files if store.path not in known]
    filled = (Store(each.path, each.agent, state) for each in databases if each.is_store)
    stores = _once([*files, *filled])
    retention_ms, problem = _read_retention(config)
    cron_store = _string(config, "cron", "store", at=config_path)
    maintenance = read_section(read_section(config, "session"), "maintenance")
    return Installation(
        state_dir=state,
        config_path=config_path,
        config=config,
        agents=agents,
        stores=tuple(store for store in stores if os.path.lexists(store.path)),
        missing=tuple(
            store
            for store in files
            if not os.path.lexists(store.path) and not any(each.is_store for each in databases)
        ),
        databases=tuple(each.path for each in databases),
        retention_ms=retention_ms,
        retention_problem=problem,
        cron_store=_expand(cron_store, env) if cron_store else state / "cron" / "jobs.json",
        port=_read_port(config, env),
        tls=read_section(read_section(config, "gateway"), "tls").get("enabled") is True,
        enforces=maintenance.get("mode") == "enforce",
        rotate_bytes=_read_rotate_bytes(maintenance),
        notes=notes,
    )


def require_state_dir(state_dir: Path, config_path: Path) -> None:
    """Refuse a directory with nothing of OpenClaw's in it: it says nothing about a gateway.

    Raises:
        CannotCreate: it is no state directory.
    """
    if config_path.is_file() or _holds_state(state_dir):
        return
    try:
        inside = sorted(each for each in state_dir.iterdir() if each.is_dir())
    except OSError:
        inside = []
    below = [each for each in inside if _holds_state(each)]
    below += [each / ".openclaw" for each in inside if _holds_state(each / ".openclaw")]
    shown = ", ".join(map(str, below[:_SHOWN_BELOW]))
    more = f" and {len(below) - _SHOWN_BELOW} more" if len(below) > _SHOWN_BELOW else ""
    hint = "give the directory that holds openclaw.json: OPENCLAW_STATE_DIR of the gateway"
    raise CannotCreate(
        f"this is no state directory of OpenClaw: {state_dir}: neither openclaw.json nor agents, "
        "cron or databases are in it; nothing was looked at",
        hint=f"below it are: {shown}{more}; give one of them" if below else hint,
    )


def _holds_state(folder: Path) -> bool:
    names = ("openclaw.json", *_LEGACY_CONFIG, *_STATE_FILES)
    return any(_is_there(folder / name) for name in names) or _is_folder(folder / "agents")


def find_own_state_dir(store: Path) -> Path | None:
    """Find the state directory that a store lies in, by its usual place; None where none is told.

    What `session.store` names as `DIR/agents/ID` has none of a state directory's own files above.
    """
    above = store.absolute().parents
    if len(above) <= _STATE_DIR_ABOVE or above[2].name != "agents":
        return None
    state = above[_STATE_DIR_ABOVE]
    names = ("openclaw.json", *_LEGACY_CONFIG, *_STATE_FILES)
    return state if any(_is_there(state / name) for name in names) else None


def find_state_dir(env: Mapping[str, str], given: Path | None, profile: str | None) -> Path:
    """Find the path of the state directory, whether it exists or not; arguments as for `locate`."""
    if given is not None:
        return Path(os.path.abspath(given))  # noqa: PTH100 - keeps the string
    override = env.get("OPENCLAW_STATE_DIR", "").strip()
    if override:
        return _expand(override, env)
    home = _find_home(env)
    if profile is not None and profile.lower() != "default":
        return home / f".openclaw-{profile}"
    default = home / ".openclaw"
    candidates = (default, *(home / name for name in _LEGACY_STATE))
    return next((path for path in candidates if _is_there(path)), default)


def _find_config(env: Mapping[str, str], state: Path, profile: str | None) -> Path:
    """Find the path of the configuration; the string as it is names the gateway's lock."""
    override = env.get("OPENCLAW_CONFIG_PATH", "").strip()
    # A variable for another state directory than the given one does not count.
    if override and state == find_state_dir(env, None, profile):
        return _expand(override, env)
    names = (state / name for name in ("openclaw.json", *_LEGACY_CONFIG))
    return next((path for path in names if _is_there(path)), state / "openclaw.json")


def _is_there(path: Path) -> bool:
    """Say whether a path exists; one that may not be looked at does not."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises there


def _is_folder(path: Path) -> bool:
    """Say whether a path is a directory; one that may not be looked at is not."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises there


def _find_home(env: Mapping[str, str]) -> Path:
    system = next(
        (value for name in ("HOME", "USERPROFILE") if (value := _set(env.get(name)))),
        os.path.expanduser("~"),  # noqa: PTH111 - Path.home raises without an entry
    )
    home = _set(env.get("OPENCLAW_HOME")) or system
    if home == "~" or home.startswith("~/"):
        home = system + home[1:]
    return Path(os.path.abspath(home))  # noqa: PTH100


def _set(value: str | None) -> str | None:
    """Treat JavaScript's words for a missing value as missing."""
    text = (value or "").strip()
    return text if text not in ("", "undefined", "null") else None


def _expand(path: str, env: Mapping[str, str]) -> Path:
    """Make a configured path absolute without resolving symlinks, `~` being the gateway's home."""
    if path == "~" or path.startswith("~/"):
        path = str(_find_home(env)) + path[1:]
    return Path(os.path.abspath(path))  # noqa: PTH100


def _string(config: dict[str, Any], section: str, key: str, *, at: Path) -> str | None:
    """Read a path from the configuration; an unresolved `${NAME}` is refused."""
    value = read_section(config, section).get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not can_be_path(value):
        raise ConfigInvalid(f"{at}: {section}.{key}: must be a path, found {value!r}")
    if re.search(r"\$\{[A-Z_][A-Z0-9_]*\}", value):
        raise ConfigInvalid(
            f"{at}: {section}.{key}: a variable is not set: {value}",
            hint="run with the environment of the gateway's service",
        )
    return value.strip() or None


def _find_stores(
    config: dict[str, Any], state: Path, template: str | None, env: Mapping[str, str]
) -> tuple[tuple[str, ...], list[Store]]:
    """List every agent's store once: the configured ones, then others found on disk."""
    configured = list_configured(config)
    on_disk = dict(list_below(state / "agents"))
    agents = list(dict.fromkeys([*configured, *on_disk]))
    found: list[Store] = []
    roots = {state / "agents"}
    if template and "{agentId}" not in template:
        found.append(Store(_expand(template, env), None))  # one file for all agents
    elif template:
        for agent in agents:
            path = _expand(template.replace("{agentId}", agent), env)
            if agent in configured or os.path.lexists(path):
                found.append(Store(path, agent))
            if path.parts[-2:] == ("sessions", STORE_NAME) and path.parent.parent.parent.name == (
                "agents"
            ):
                roots.add(path.parent.parent.parent)
    else:
        found += [
            Store(state / "agents" / agent / "sessions" / STORE_NAME, agent) for agent in configured
        ]
    for root in sorted(roots):
        for agent, folder in list_below(root):
            if agent not in agents:
                agents.append(agent)
            path = folder / "sessions" / STORE_NAME
            if os.path.lexists(path) or (not template and _is_folder(path.parent)):
                found.append(Store(path, agent))
    owned = [replace(store, state_dir=state) for store in found]
    return tuple(agents), list(_once(owned))


def _once(stores: list[Store]) -> Iterator[Store]:
    """Drop further names of the same file, by a symlink or a disk that ignores case."""
    seen: set[object] = set()
    for store in stores:
        try:
            status = store.path.stat()
            identity: object = (status.st_dev, status.st_ino)
        except OSError:
            identity = os.path.realpath(store.path)
        if identity not in seen:
            seen.add(identity)
            yield store


def _read_retention(config: dict[str, Any]) -> tuple[int | None, str | None]:
    """Read `cron.sessionRetention` as the gateway's own reaper does."""
    value = read_section(config, "cron").get("sessionRetention")
    if value is False:
        return None, None
    if value is None or value == "":
        return DEFAULT_RETENTION_MS, None
    if isinstance(value, str):
        try:
            return parse_duration_ms(value, "h"), None
        except ValueError:
            pass
    return DEFAULT_RETENTION_MS, f"cron.sessionRetention: not a duration or false: {value!r}"


def _read_rotate_bytes(maintenance: dict[str, Any]) -> int:
    value = maintenance.get("rotateBytes")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return parse_size_bytes(value)
        except ValueError:
            pass
    return DEFAULT_ROTATE_BYTES


def _read_port(config: dict[str, Any], env: Mapping[str, str]) -> int:
    text = env.get("OPENCLAW_GATEWAY_PORT", "").strip().rpartition(":")[2]
    value = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    if not value:
        configured = read_section(config, "gateway").get("port")
        if isinstance(configured, int | float) and not isinstance(configured, bool):
            value = int(configured)
    return value if 0 < value <= _MAX_PORT else DEFAULT_PORT
