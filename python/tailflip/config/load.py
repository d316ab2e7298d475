"""Loads settings from a TOML file, the environment and flags, and records where each is from.

The file is $TAILFLIP_CONFIG, else $XDG_CONFIG_HOME/tailflip/config.toml, else
~/.config/tailflip/config.toml. Defaults < file < its section of the gateway at hand <
TAILFLIP_<SECTION>_<KEY> < flags.

A verb that acts refuses mistakes. One that starts a gateway, or only tells, goes on: with the last
good file where it is known, else with what is right. A wrong setting of what tailflip may change
then takes the value that changes least.
"""

from __future__ import annotations

import os
import re
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.config.catalog import OPTIONS, list_settings
from tailflip.config.file import expand, find_path, fingerprint, parse_config, read_config
from tailflip.config.kinds import OFF
from tailflip.config.mistakes import (
    GATEWAYS,
    Given,
    Mistake,
    Source,
    explain,
    explain_unknown,
    refuse,
)
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
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
# Variables of ours that are no settings; the last row is our tests'.
_NO_SETTINGS = frozenset(
    {"TAILFLIP_CONFIG", "TAILFLIP_STATE_DIR", "TAILFLIP_TRACEBACK", LIFE_VARIABLE}
    | {"TAILFLIP_ALERT_COMMAND"}
    | {"TAILFLIP_FUZZ_SECONDS", "TAILFLIP_SYSTEMD_CACHE"}
)
_OF_TESTS = "TAILFLIP_TEST_"
# Where nothing of a file can be read, nothing is changed, and no start is refused for it.
_ACTING = (
    "heal.enabled",
    "heal.admission",
    "reconcile.enabled",
    "archive.keep",
    "archive.max_size",
)
# Where one of these is wrong, it counts as false: nothing is removed for it.
_CAUTIOUS = ("heal.retention", "heal.max_lifetime", "archive.keep", "archive.max_size")
_SELECTORS = ("gateway.state_dir", "gateway.profile")
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NUMBERS = {
    int: re.compile(r"[+-]?[0-9]{1,18}"),
    float: re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE),
}


@dataclass(frozen=True)
class OfGateway:
    """The settings of one gateway; `state_dir` or `profile` says which, None for all others."""

    config: Config
    origins: Mapping[str, str]
    state_dir: Path | None = None
    profile: str | None = None


@dataclass(frozen=True)
class Loaded:
    """A valid configuration and where it is from.

    `origins` names the source of every setting, by its key such as "restart.cap_s": "default",
    the file's path, "TAILFLIP_RESTART_CAP_S" or "--set restart.cap_s". `path` is the
    configuration file and `found` says whether it exists; without a home directory `path` is
    None. `gateways` are those with a section of their own, and `gateway` names the one at hand.
    `mistakes` are empty unless the caller goes on with them. `is_last_good`: the file has a
    mistake, and its last good text counts. `text` is the file's own, where it has no mistake.
    """

    config: Config
    origins: Mapping[str, str]
    path: Path | None
    found: bool
    gateways: Mapping[str, OfGateway] = field(default_factory=dict)
    gateway: str | None = None
    mistakes: tuple[str, ...] = ()
    is_last_good: bool = False
    text: bytes | None = field(default=None, repr=False)

    @property
    def what_counts(self) -> str:
        """Say which settings count in spite of the mistakes."""
        until = "until that is corrected"
        if self.is_last_good:
            return f"{until}, the last good settings count"
        rest = "" if self.config.heal.enabled else ", and nothing is healed"
        return f"{until}, the settings that are right count{rest}"

    def choose(self, name: str) -> Loaded:
        """Choose the settings of a gateway that has a section."""
        own = self.gateways[name]
        return replace(self, config=own.config, origins=own.origins, gateway=name)


def load(
    env: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    *,
    goes_on: bool = False,
    last_good: bytes | None = None,
) -> Loaded:
    """Read all settings and check them.

    Args:
        env: the environment; an empty variable counts as unset.
        flags: text by key, such as {"gateway.heap_limit": "2gb", "heal.admission": "false"}.
        goes_on: mistakes in the file and the environment are told and not raised. Where
            nothing of the file can be read, healing and reconciling are off, unless the
            environment or a flag turns them on.
        last_good: the file's text when it had no mistake, for a caller that goes on.

    Raises:
        ConfigInvalid: lists every mistake: place, key, rule, value found.
        NoPermission: the file may not be read.
    """
    path = find_path(env)
    data, problem = None, None
    document: dict[str, Any] = {}
    try:
        data = _read(path, env)
        document = {} if path is None or data is None else parse_config(path, data)
    except (ConfigInvalid, NoPermission) as e:
        if not goes_on:
            raise
        problem = e
    stronger = {**dict(_take_environment(env)), **dict(_take_flags(flags or {}))}
    reading = _judge_all(document, Source(str(path), data or b""), stronger, env, problem)
    refused = [each for each in reading.mistakes if not goes_on or each.key in (flags or {})]
    if refused:
        raise refuse(refused)
    is_wrong = any(each.is_in_file for each in reading.mistakes)
    mistakes = tuple(each.text for each in reading.mistakes)
    is_last_good = is_wrong and last_good is not None and path is not None
    if is_last_good and path is not None and last_good is not None:
        source = Source(str(path), last_good)
        reading = _judge_all(_parse_again(path, last_good), source, stronger, env, None)
    return Loaded(
        reading.base.config,
        reading.base.origins,
        path,
        data is not None,
        reading.gateways,
        mistakes=mistakes,
        is_last_good=is_last_good,
        text=None if is_wrong else data,
    )


def _read(path: Path | None, env: Mapping[str, str]) -> bytes | None:
    data = None if path is None else read_config(path)
    if path is not None and data is None and env.get("TAILFLIP_CONFIG"):
        raise ConfigInvalid(
            f"no such configuration file: {path}", hint="correct TAILFLIP_CONFIG, or unset it"
        )
    return data


def _parse_again(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return parse_config(path, data)
    except ConfigInvalid:
        return {}  # it was parsed when it was put on record


@dataclass(frozen=True)
class _Reading:
    """One document with the stronger sources laid over it, judged for each gateway."""

    base: OfGateway
    gateways: Mapping[str, OfGateway]
    mistakes: tuple[Mistake, ...]


def _judge_all(
    document: Mapping[str, Any],
    source: Source,
    stronger: Mapping[str, Given],
    env: Mapping[str, str],
    problem: TailflipError | None,
) -> _Reading:
    """Judge the settings that count for all gateways, and those of each section."""
    mistakes = [] if problem is None else [Mistake(problem.message, "", is_in_file=True)]
    top = dict(_take_document(document, source))
    if problem is not None:
        top |= {key: Given(False, source.path, False, key) for key in _ACTING}
    base, found = _settle({**top, **stronger}, env)
    mistakes += found
    gateways = {}
    for name, content in _list_gateways(document):
        own = dict(_take_gateway(name, content, source))
        if not any(key in own for key in _SELECTORS):
            label = f"{GATEWAYS}.{name}"
            own["gateway.profile"] = Given(name, source.path, name, label, source)
        rest = {key: one for key, one in top.items() if key not in _SELECTORS}
        alone, _ = _settle({key: own[key] for key in _SELECTORS if key in own}, env)
        settings, found = _settle({**rest, **own, **stronger}, env)
        where = alone.config.gateway
        gateways[name] = replace(settings, state_dir=where.state_dir, profile=where.profile)
        mistakes += found
    once = {each.text: each for each in sorted(mistakes, key=lambda each: each.rank)}
    return _Reading(base, gateways, tuple(once.values()))


def _list_gateways(document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sections = document.get(GATEWAYS)
    listed = sections.items() if isinstance(sections, dict) else ()
    return [(name, content) for name, content in listed if isinstance(content, dict)]


def _take_document(document: Mapping[str, Any], source: Source) -> Iterator[tuple[str, Given]]:
    """Yield the settings for all gateways by key, and what is no section under its own name."""
    for name, content in document.items():
        if name != GATEWAYS:
            yield from _take_section(name, content, source, source.path, "")
        elif not isinstance(content, dict):
            yield name, Given(content, source.path, content, name, source)
        else:
            for each, inner in content.items():
                if not isinstance(inner, dict):
                    key = f"{GATEWAYS}.{each}"
                    yield GATEWAYS, Given(inner, source.path, inner, key, source)


def _take_gateway(
    name: str, content: Mapping[str, Any], source: Source
) -> Iterator[tuple[str, Given]]:
    """Yield the settings of one gateway; `state_dir` and `profile` may stand above its sections."""
    before = f"{GATEWAYS}.{name}."
    origin = f"{source.path} [{GATEWAYS}.{name}]"
    for word, inner in content.items():
        if f"gateway.{word}" in _SELECTORS:
            yield f"gateway.{word}", Given(inner, origin, inner, before + word, source)
        elif isinstance(inner, dict) or word in Config.model_fields:
            yield from _take_section(word, inner, source, origin, before)
        else:
            yield before + word, Given(inner, origin, inner, before + word, source)


def _take_section(
    section: str, content: object, source: Source, origin: str, before: str
) -> Iterator[tuple[str, Given]]:
    """Yield a section's settings by key; a value outside all sections, by its own name."""
    if isinstance(content, dict) and section in Config.model_fields:
        for name, value in content.items():
            key = f"{section}.{name}"
            yield key, Given(value, origin, value, before + key, source)
    else:
        yield section, Given(content, origin, content, before + section, source)


def _take_environment(env: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """Yield the variables of tailflip's own by key; an unknown name as it is."""
    known = {setting.variable: setting for setting in list_settings()}
    for name in sorted(env):
        text = env[name].strip()
        if not text or not name.startswith(_PREFIX):
            continue
        if name in _NO_SETTINGS or name.startswith(_OF_TESTS):
            continue
        setting = known.get(name)
        value = text if setting is None else _parse_text(setting, text)
        key = setting.key if setting else name
        yield key, Given(value, name, text, key)


def _take_flags(flags: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    known = {setting.key: setting for setting in list_settings()}
    for key, text in flags.items():
        setting = known.get(key)
        value = text if setting is None else _parse_text(setting, text)
        option = OPTIONS.get(key)
        yield key, Given(value, option or f"--set {key}", text, key)


def _parse_text(setting: Setting, text: str) -> object:
    """Turn text into the setting's type; other text stays text, and validation refuses it."""
    if setting.type is bool:
        return _WORDS.get(text.lower(), text)
    pattern = _NUMBERS.get(setting.type)
    return setting.type(text) if pattern is not None and pattern.fullmatch(text) else text


def _settle(given: dict[str, Given], env: Mapping[str, str]) -> tuple[OfGateway, list[Mistake]]:
    """Make a valid configuration of the given values, with every mistake in them.

    Wrong values are left out, or make way for those by which tailflip changes least.
    """
    settings = {setting.key: setting for setting in list_settings()}
    mistakes = [explain_unknown(key, one) for key, one in given.items() if key not in settings]
    right = {key: one for key, one in given.items() if key in settings}
    for each in mistakes:
        if each.meant is not None and each.meant not in right:
            _replace_wrong(right, each.meant)
    config = None
    while config is None:
        try:
            config = Config.model_validate(_arrange(right, settings, env))
        except ValidationError as e:
            found = [explain(one, right, settings) for one in e.errors(include_url=False)]
            mistakes += found
            for each in found:
                _replace_wrong(right, each.meant or each.key)
    origins = {key: right[key].origin if key in right else DEFAULT for key in settings}
    return OfGateway(config, origins), mistakes


def _replace_wrong(right: dict[str, Given], key: str) -> None:
    """Take a wrong value out; where it says what may be changed, put the least in its place."""
    wrong = right.pop(key, None)
    origin = DEFAULT if wrong is None else wrong.origin
    if key.startswith(("heal.", "reconcile.")) and _is_switch(key):
        right[key] = Given(False, origin, False, key)
    elif key in _CAUTIOUS:
        right[key] = Given(OFF, origin, OFF, key)
    if key == "heal.enabled":
        # What is not healed is not refused either: the mistake would keep the gateway down.
        right["heal.admission"] = Given(False, origin, False, "heal.admission")


def _arrange(
    given: Mapping[str, Given], settings: Mapping[str, Setting], env: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    """Arrange values by section, as the classes of the schema take them."""
    sections: dict[str, dict[str, object]] = {name: {} for name in Config.model_fields}
    for key, one in given.items():
        setting, value = settings[key], one.value
        if value == AUTO and setting.optional:
            value = None
        elif setting.type is Path and isinstance(value, str):
            value = _to_path(one, env)
        sections[setting.section][setting.name] = value
    return sections


def _to_path(one: Given, env: Mapping[str, str]) -> object:
    """Make a path of text; a flag's path may be relative: it was typed in a directory."""
    text = expand(str(one.value), env)
    if not text or "\0" in text or not (os.path.isabs(text) or one.origin.startswith("--")):  # noqa: PTH117
        return text  # not a Path, so validation refuses it
    return Path(os.path.abspath(text))  # noqa: PTH100 - keeps symlinks


def _is_switch(key: str) -> bool:
    return any(each.key == key and each.type is bool for each in list_settings())
