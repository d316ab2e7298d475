"""Sections of any name inside a section, such as `[alerts.to.phone]`, among the given values.

Such a section is given by its own key, with its settings beside it: one without a setting is a
mistake too. It has one address, and is nothing without it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.config.addresses import find_reader, mask_addresses
from tailflip.config.catalog import list_tables
from tailflip.config.document import SELECTORS
from tailflip.config.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tailflip.config.catalog import Setting
    from tailflip.config.mistakes import Given

# It is no address: a destination that has no more is left out.
_HIDDEN = b"***"


def is_section(key: str) -> bool:
    """Whether a key is that of a section in a table, and not of a setting in one."""
    return any(table.key == key.rpartition(".")[0] for table in list_tables())


def list_given(given: Iterable[str]) -> list[Setting]:
    """List the settings of the sections that are given."""
    return [each for key in given if is_section(key) for each in _list_in(key)]


def list_dependent(key: str, given: Iterable[str]) -> list[str]:
    """List what is not to be without a value: all of a section without its address."""
    section = key if is_section(key) else key.rpartition(".")[0]
    if not is_section(section) or (key != section and key not in _list_addresses(section)):
        return []
    return [each for each in given if each == section or each.startswith(f"{section}.")]


def is_replaced(key: str, own: Mapping[str, Given]) -> bool:
    """Whether a gateway's own section leaves no room for a setting of all gateways."""
    addresses = _list_addresses(key.rpartition(".")[0])
    return key in SELECTORS or (key in addresses and not own.keys().isdisjoint(addresses))


def find_open_secrets(
    given: Mapping[str, Given], settings: Mapping[str, Setting]
) -> Iterator[Mistake]:
    """Find the secrets that stand in a file which is not their owner's alone."""
    secrets = {
        key: one for key, one in given.items() if key in settings and settings[key].is_secret
    }
    for key, one in secrets.items():
        if one.source is None:
            continue
        try:
            reason = find_reader(Path(one.source.path))
        except OSError:
            reason = "its mode is not known"
        if reason is not None:
            advice = f"put the address into a file of its own, or `chmod 600 {one.source.path}`"
            text = f"{one.place}: {one.name}: stands in a file that is not yours alone: {reason}"
            yield Mistake(f"{text}; {advice}", key, key, is_in_file=True, line=one.line)


def hide_secrets(data: bytes, document: Mapping[str, Any]) -> bytes | None:
    """Take the secrets out of a file's bytes, for our records; None where they are not found.

    A secret that is written with escapes is not found in the bytes.
    """
    for secret in set(_list_secrets(document)):
        if secret.encode() not in data:
            return None
        data = data.replace(secret.encode(), _HIDDEN)
    return re.sub(rb"(?m)^\s*#.*$", lambda found: mask_addresses(found[0].decode()).encode(), data)


def fill_hidden(last: dict[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the secrets of the present file into one of our records, at the same places."""
    filled = dict(last)
    for name, value in last.items():
        now = present.get(name)
        if isinstance(value, dict):
            filled[name] = fill_hidden(value, now if isinstance(now, dict) else {})
        elif value == _HIDDEN.decode() and isinstance(now, str):
            filled[name] = now
    return filled


def _list_secrets(document: Mapping[str, Any]) -> Iterator[str]:
    """List the secrets in a file, wherever they stand."""
    listed = [each for table in list_tables() for each in table.list_settings("")]
    names = {each.name for each in listed if each.is_secret}
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _list_secrets(value)
        elif name in names and isinstance(value, str) and value:
            yield value


def _list_in(section: str) -> tuple[Setting, ...]:
    table, _, name = section.rpartition(".")
    return next((each.list_settings(name) for each in list_tables() if each.key == table), ())


def _list_addresses(section: str) -> list[str]:
    return [each.key for each in _list_in(section) if each.is_address]
