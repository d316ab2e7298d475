"""Takes settings out of the environment and off the command line, where all is text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.config.catalog import OPTIONS, list_settings
from tailflip.config.mistakes import Given

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.config.catalog import Setting

_PREFIX = "TAILFLIP_"
# What a program that is run for a message finds in its environment, after `TAILFLIP_ALERT_`.
OF_A_MESSAGE = ("NUMBER", "KIND", "URGENCY", "SUBJECT", "BODY", "NAMES", "MADE_AT", "TO")
# Variables of ours that are no settings; the last row is our tests'.
_NO_SETTINGS = frozenset(
    {"TAILFLIP_CONFIG", "TAILFLIP_STATE_DIR", "TAILFLIP_TRACEBACK", LIFE_VARIABLE}
    | {"TAILFLIP_ALERT_COMMAND"}
    | {f"TAILFLIP_ALERT_{each}" for each in OF_A_MESSAGE}
    | {"TAILFLIP_FUZZ_SECONDS", "TAILFLIP_SYSTEMD_CACHE"}
)
_OF_TESTS = "TAILFLIP_TEST_"
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NUMBERS = {
    int: re.compile(r"[+-]?[0-9]{1,18}"),
    float: re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,3})?", re.IGNORECASE),
}


def take_environment(env: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
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


def take_flags(flags: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """Yield the options of the command line by key."""
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
