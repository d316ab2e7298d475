"""Words for mistakes in settings: where, which setting, the rule, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import ConfigInvalid
from tailflip.config.addresses import mask_addresses
from tailflip.config.catalog import list_settings, list_tables
from tailflip.config.schema import Config
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pydantic_core import ErrorDetails

    from tailflip.config.catalog import Setting

GATEWAYS = "gateways"
_SHOWN_CHARS = 60
_NAME_RULE = (
    "the name must be of letters, digits, - and _, at most 32 of them, and not be heartbeat"
)
_HINT = "`tailflip config example` lists all settings"
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
class Source:
    """The file of settings; lines are counted when a mistake asks for one."""

    path: str
    data: bytes

    def find_line(self, name: str) -> int | None:
        """Find the line of a key."""
        from tailflip.config.lines import find_line, find_lines  # noqa: PLC0415 - a mistake alone pays

        return find_line(find_lines(self.data.decode("utf-8-sig", "replace")), name)


@dataclass(frozen=True)
class Given:
    """One value as it was given, before validation.

    `origin` is its source, and `name` what the source calls the setting. `shown` is the value
    for messages. `source` is None outside of the file.
    """

    value: object
    origin: str
    shown: object
    name: str
    source: Source | None = None

    @property
    def line(self) -> int | None:
        """The line of a file; None for other sources."""
        return None if self.source is None else self.source.find_line(self.name)

    @property
    def place(self) -> str:
        """The source, with its line in a file."""
        if self.source is None:
            return self.origin
        line = self.line
        return self.source.path if line is None else f"{self.source.path}:{line}"


@dataclass(frozen=True)
class Mistake:
    """One mistake. `key` is the given key, `meant` the setting to take out, if that is known."""

    text: str
    key: str
    meant: str | None = None
    is_in_file: bool = False
    line: int | None = None

    @property
    def rank(self) -> tuple[bool, int]:
        """The order in which people look: through the file, then elsewhere."""
        return not self.is_in_file, self.line or 0


def refuse(mistakes: Iterable[Mistake], hint: str = _HINT) -> ConfigInvalid:
    """Make the error of all mistakes."""
    return ConfigInvalid.listing((each.text for each in mistakes), hint=hint)


def explain(
    error: ErrorDetails, given: Mapping[str, Given], settings: Mapping[str, Setting]
) -> Mistake:
    """Explain a value that is against the rules of its setting."""
    key = ".".join(map(str, error["loc"]))
    setting = settings.get(key)
    rule = _RULES.get(error["type"], "" if setting is None else f"must be {setting.form}")
    rule = rule.format(**error.get("ctx", {}))
    if setting is None:  # a section of a table, as a whole
        whole = given[key]
        return Mistake(f"{_head(whole)}: {rule}", key, key, True, whole.line)
    # A default may be at odds with a value that was given: that one is named in the rule.
    at = key if key in given else next((each for each in given if f"{each} " in rule), key)
    one = given.get(at)
    if one is None:
        return Mistake(f"default: {key}: {rule}, found {show(error['input'])}", key)
    said = _head(one) if at == key else f"{one.place}: {key}"
    found = one.shown if at == key else error["input"]
    in_file = one.source is not None
    return Mistake(f"{said}: {rule}, found {show(found)}", key, at, in_file, one.line)


def explain_unknown(key: str, one: Given, known: Collection[str]) -> Mistake:
    """Name an unknown setting, and the one of the known that may have been meant."""
    in_file = one.source is not None
    tables = {each.key for each in list_tables()}
    if key in tables and isinstance(one.value, dict):
        text = f"{_head(one)}: {_NAME_RULE}"
        return Mistake(text, key, None, in_file, one.line)
    if key in Config.model_fields or key == GATEWAYS or key in tables:
        text = f"{_head(one)}: must be a section, found {show(one.shown)}"
        return Mistake(text, key, None, in_file, one.line)
    settings = list_settings()
    meant: str | None = None
    is_variable = key == one.origin
    if is_variable:
        # Without what all variables have in common, which makes any two of them alike.
        named = {each.variable.partition("_")[2]: each.variable for each in settings}
        said = _find_near(key.partition("_")[2], named)
    elif "." in key:
        said = _find_near_setting(key, known)
        # Whoever goes on takes no risk with the one that may have been meant, like it or not.
        meant = _find_near(key, {each: each for each in known})
    else:
        said = _find_near(key, {name: name for name in (*Config.model_fields, GATEWAYS)})
    taken = meant or said
    meant = next((each.key for each in settings if taken == each.variable), None)
    meant = taken if taken in known else meant
    what = "setting" if "." in key or is_variable else "section"
    advice = "" if said is None else f" (did you mean {said}?)"
    return Mistake(f"{_head(one)}: no such {what}{advice}", key, meant, in_file, one.line)


def _find_near(word: str, named: Mapping[str, str], alike: float = 0.6) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - a mistake alone pays for the import

    close = get_close_matches(word, named, 1, alike)
    return named[close[0]] if close else None


def _find_near_setting(key: str, keys: Iterable[str]) -> str | None:
    """Find a setting of the same section by its name alone, else one of another section."""
    section, _, name = key.rpartition(".")
    names = {each: each.rpartition(".") for each in keys}
    near = {own: each for each, (of, _, own) in names.items() if of == section}
    if near:
        return _find_near(name, near) or _find_near(
            name, {own: each for each, (_, _, own) in names.items()}, 0.8
        )
    return _find_near(key, {each: each for each in names})


def show(value: object) -> str:
    """Show a value in a message, cut to a length that can be read."""
    text = mask_addresses(str(value).lower() if isinstance(value, bool) else repr(value))
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _head(one: Given) -> str:
    place = one.place
    return place if place.endswith(one.name) else f"{place}: {one.name}"
