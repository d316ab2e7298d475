"""Takes the settings out of a file: those for all gateways, and those of each one's section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailflip.config.addresses import mask_address
from tailflip.config.catalog import list_tables
from tailflip.config.mistakes import GATEWAYS, Given
from tailflip.config.schema import Config
from tailflip.config.telling import HEARTBEAT, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.config.catalog import Table
    from tailflip.config.mistakes import Source

SELECTORS = ("gateway.state_dir", "gateway.profile")


def list_gateways(document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """List the sections of single gateways by name."""
    sections = document.get(GATEWAYS)
    listed = sections.items() if isinstance(sections, dict) else ()
    return [(name, content) for name, content in listed if isinstance(content, dict)]


def take_document(document: Mapping[str, Any], source: Source) -> Iterator[tuple[str, Given]]:
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


def take_gateway(
    name: str, content: Mapping[str, Any], source: Source
) -> Iterator[tuple[str, Given]]:
    """Yield the settings of one gateway; `state_dir` and `profile` may stand above its sections."""
    before = f"{GATEWAYS}.{name}."
    origin = f"{source.path} [{GATEWAYS}.{name}]"
    for word, inner in content.items():
        if f"gateway.{word}" in SELECTORS:
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
        tables = {table.key: table for table in list_tables()}
        for name, value in content.items():
            key = f"{section}.{name}"
            if key in tables:
                yield from _take_table(tables[key], value, source, origin, before)
            else:
                yield key, Given(value, origin, value, before + key, source)
    else:
        yield section, Given(content, origin, content, before + section, source)


def _take_table(
    table: Table, content: object, source: Source, origin: str, before: str
) -> Iterator[tuple[str, Given]]:
    """Yield each section of a table, with its settings; what is none, by the table's key."""
    if not isinstance(content, dict):
        yield table.key, Given(content, origin, content, before + table.key, source)
        return
    for name, inner in content.items():
        key = f"{table.key}.{name}"
        if not (isinstance(inner, dict) and NAME.fullmatch(name) and name != HEARTBEAT):
            yield table.key, Given(inner, origin, inner, before + key, source)
            continue
        secret = {each.name for each in table.list_settings(name) if each.is_secret}
        yield key, Given(inner, origin, inner, before + key, source)
        for word, value in inner.items():
            shown = mask_address(value) if word in secret else value
            yield f"{key}.{word}", Given(value, origin, shown, f"{before}{key}.{word}", source)
