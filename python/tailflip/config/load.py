"""Loads settings from a TOML file, the environment and flags, and records where each is from.

The file is $TAILFLIP_CONFIG, else $XDG_CONFIG_HOME/tailflip/config.toml, else
~/.config/tailflip/config.toml. Defaults < file < TAILFLIP_<SECTION>_<KEY> < flags. SIGHUP loads
again: the new settings are valid as a whole, or `ConfigInvalid` is raised and nothing changed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.config.catalog import list_settings
from tailflip.config.file import expand, find_path, fingerprint, parse_config, read_config
from tailflip.config.schema import (
    Config,
    GatewaySettings,
    HealSettings,
    HealthSettings,
    LedgerSettings,
    LogSettings,
    MemorySettings,
    ReconcileSettings,
    RestartSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

    from tailflip.base.errors import TailflipError
    from tailflip.config.catalog import Setting

__all__ = [
    "Config",
    "GatewaySettings",
    "HealSettings",
    "HealthSettings",
    "LedgerSettings",
    "Loaded",
    "LogSettings",
    "MemorySettings",
    "ReconcileSettings",
    "RestartSettings",
    "find_path",
    "fingerprint",
    "load",
]

DEFAULT = "default"
AUTO = "auto"
_PREFIX = "TAILFLIP_"
_ACTING = ("heal.enabled", "reconcile.enabled", "archive.keep", "archive.max_size")
_SHOWN_CHARS = 60
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NUMBERS = {
    int: re.compile(r"[+-]?[0-9]{1,18}"),
    float: re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE),
}
# Sentences for pydantic's kinds of error; {…} are filled in by pydantic's context.
_RULES = {
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "value_error": "{error}",
}


@dataclass(frozen=True)
class Loaded:
    """A valid configuration and where it is from.

    `origins` names the source of every setting, by its key such as "restart.cap_s": "default",
    the file's path, "TAILFLIP_RESTART_CAP_S" or "--cap-s". `path` is the configuration file and
    `found` says whether it exists; without a home directory `path` is None. `problem` says why
    the file could not be read, where the caller goes on without it.
    """

    config: Config
    origins: Mapping[str, str]
    path: Path | None
    found: bool
    problem: TailflipError | None = None


@dataclass(frozen=True)
class _Given:
    """One value as it was given, before validation; `shown` is the value for messages."""

    value: object
    origin: str
    shown: object


def load(
    env: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    *,
    may_be_unreadable: bool = False,
) -> Loaded:
    """Read all settings and check them.

    Args:
        env: the environment; an empty variable counts as unset.
        flags: text by key, such as {"gateway.heap_limit": "2gb", "heal.admission": "false"}.
        may_be_unreadable: go on without a file that cannot be read, so that the gateway can
            start. Healing and reconciling are then off, unless the environment or a flag
            turns them on.

    Raises:
        ConfigInvalid: lists every problem in one line: origin, key, rule, value found.
        NoPermission: the file may not be read.
    """
    path = find_path(env)
    data, problem = None, None
    try:
        data = None if path is None else read_config(path)
    except (ConfigInvalid, NoPermission) as e:
        if not may_be_unreadable:
            raise
        problem = e
    if problem is None and path is not None and data is None and env.get("TAILFLIP_CONFIG"):
        raise ConfigInvalid(
            f"no such configuration file: {path}", hint="correct TAILFLIP_CONFIG, or unset it"
        )
    given: dict[str, _Given] = {}
    if path is not None and data is not None:
        given |= _take_document(parse_config(path, data), str(path))
    if problem is not None:
        given |= {key: _Given(False, str(path), False) for key in _ACTING}
    given |= _take_environment(env)
    given |= _take_flags(flags or {})
    config = _judge(given, env)
    origins = {
        setting.key: given[setting.key].origin if setting.key in given else DEFAULT
        for setting in list_settings()
    }
    return Loaded(config, origins, path, data is not None, problem)


def _take_document(document: Mapping[str, Any], origin: str) -> Iterator[tuple[str, _Given]]:
    """Yield a document's settings by key; a value outside all sections, by its own name."""
    for section, content in document.items():
        if isinstance(content, dict) and section in Config.model_fields:
            for name, value in content.items():
                yield f"{section}.{name}", _Given(value, origin, value)
        else:
            yield section, _Given(content, origin, content)


def _take_environment(env: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    """Yield the variables of tailflip's sections by key; an unknown name as it is."""
    known = {setting.variable: setting for setting in list_settings()}
    prefixes = tuple(f"{_PREFIX}{section.upper()}_" for section in Config.model_fields)
    for name in sorted(env):
        text = env[name].strip()
        if text and name.startswith(prefixes):
            setting = known.get(name)
            value = text if setting is None else _parse_text(setting, text)
            yield setting.key if setting else name, _Given(value, name, text)


def _take_flags(flags: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    known = {setting.key: setting for setting in list_settings()}
    for key, text in flags.items():
        setting = known.get(key)
        value = text if setting is None else _parse_text(setting, text)
        words = key.rpartition(".")[2].replace("_", "-")
        yield key, _Given(value, f"--no-{words}" if value is False else f"--{words}", text)


def _parse_text(setting: Setting, text: str) -> object:
    """Turn text into the setting's type; other text stays text, and validation refuses it."""
    if setting.type is bool:
        return _WORDS.get(text.lower(), text)
    pattern = _NUMBERS.get(setting.type)
    return setting.type(text) if pattern is not None and pattern.fullmatch(text) else text


def _judge(given: Mapping[str, _Given], env: Mapping[str, str]) -> Config:
    """Make a valid configuration of the given values, or raise with all that is wrong."""
    settings = {setting.key: setting for setting in list_settings()}
    problems: list[str] = []
    sections: dict[str, dict[str, object]] = {name: {} for name in Config.model_fields}
    for key, one in given.items():
        setting = settings.get(key)
        if setting is None:
            problems.append(_explain_unknown(key, one))
        elif one.value == AUTO and setting.optional:
            sections[setting.section][setting.name] = None
        elif setting.type is Path and isinstance(one.value, str):
            sections[setting.section][setting.name] = _to_path(one, env)
        else:
            sections[setting.section][setting.name] = one.value
    try:
        config = Config.model_validate(sections)
    except ValidationError as e:
        problems += [_explain(error, given, settings) for error in e.errors(include_url=False)]
    if problems:
        raise ConfigInvalid(
            "; ".join(problems), hint="`tailflip config example` lists all settings"
        )
    return config


def _to_path(one: _Given, env: Mapping[str, str]) -> object:
    """Make a path of text; a flag's path may be relative: it was typed in a directory."""
    text = expand(str(one.value), env)
    if not text or "\0" in text or not (os.path.isabs(text) or one.origin.startswith("--")):  # noqa: PTH117
        return text  # not a Path, so validation refuses it
    return Path(os.path.abspath(text))  # noqa: PTH100 - keeps symlinks


def _explain(
    error: ErrorDetails, given: Mapping[str, _Given], settings: Mapping[str, Setting]
) -> str:
    key = ".".join(map(str, error["loc"]))
    setting = settings[key]
    rule = _RULES.get(error["type"], f"must be {setting.form}").format(**error.get("ctx", {}))
    if key not in given:
        return f"{DEFAULT}: {key}: {rule}, found {_show(error['input'])}"
    return f"{given[key].origin}: {key}: {rule}, found {_show(given[key].shown)}"


def _explain_unknown(key: str, one: _Given) -> str:
    """Name an unknown setting, and the known one that may have been meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - a mistake alone pays for the import

    if key in Config.model_fields:
        return f"{one.origin}: {key}: must be a section, found {_show(one.shown)}"
    if key == one.origin:
        names = [setting.variable for setting in list_settings()]
    elif "." in key:
        names = [setting.key for setting in list_settings()]
    else:
        names = list(Config.model_fields)
    what = "setting" if "." in key or key == one.origin else "section"
    close = get_close_matches(key, names, 1)
    advice = f" (did you mean {close[0]}?)" if close else ""
    where = "" if key == one.origin else f"{one.origin}: "
    return f"{where}{key}: no such {what}{advice}"


def _show(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
