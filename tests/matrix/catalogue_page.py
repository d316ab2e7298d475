"""Write docs/catalogue.md from the catalogue: `python -m matrix page`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.observe.gateway.capabilities import RULES
from tailflip.observe.gateway.catalogue import Fact, read_catalogue

if TYPE_CHECKING:
    from tailflip.observe.gateway.capabilities import Rule
    from tailflip.observe.gateway.catalogue import Catalogue, Change, Value

PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"
_INTRODUCTION = """\
The packages of all stable releases on npm were read by `make catalogue`. A value holds from the
release named with it until the next one. "Run" names releases whose real gateway showed it."""
_OTHERS = """\
A release that is not listed is judged as the newest listed one before it. `tailflip check` says so.
A database of a schema that tailflip does not know is never changed."""
_ABILITIES = """\
What tailflip asks of a release follows from these facts. It compares versions nowhere else."""


def write() -> str:
    """Write docs/catalogue.md."""
    table = read_catalogue()
    return "\n".join(
        [
            "# Catalogue: what each release of OpenClaw has",
            "",
            "<!-- Made by `make catalogue`; do not edit. -->",
            "",
            _INTRODUCTION,
            "",
            _count(table),
            "",
            _OTHERS,
            "",
            "| fact | value, by release | run |",
            "|---|---|---|",
            *(_row(table, fact) for fact in Fact),
            "",
            "## Abilities",
            "",
            _ABILITIES,
            "",
            "| ability | follows from | has it, by release | how it was found out |",
            "|---|---|---|---|",
            *(_ability_rows(table)),
            "",
            "## Releases",
            "",
            "| month | releases |",
            "|---|---|",
            *_list_months(table),
            "",
        ]
    )


def _count(table: Catalogue) -> str:
    first, last = table.releases[0], table.releases[-1]
    return f"{len(table.releases)} releases, {first} to {last}, read on {table.read_on}."


def _list_months(table: Catalogue) -> list[str]:
    months: dict[str, list[str]] = {}
    for release in table.releases:
        year, month, day = release.split(".", 2)
        months.setdefault(f"{year}.{month}", []).append(day)
    return [f"| {month} | {', '.join(days)} |" for month, days in months.items()]


def _row(table: Catalogue, fact: Fact) -> str:
    values = [f"{change.since}: {tell(change.value)}" for change in table.facts[fact]]
    ran = ", ".join(table.ran[fact])
    return f"| {fact} | {'<br>'.join(values)} | {ran} |"


def tell(value: Value) -> str:
    """Tell a value in words."""
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"`{value}`".replace("|", "\\|")


def _ability_rows(table: Catalogue) -> list[str]:
    """Tell with which releases each ability comes and goes, and whether a gateway showed it."""
    rows = []
    for ability, rule in RULES.items():
        told = [
            f"{change.since}: {tell(change.value == rule.value)}" for change in _merge(table, rule)
        ]
        is_yes = rule.value is True
        follows = f"{rule.fact}" if is_yes else f"{rule.fact}: {tell(rule.value)}"
        how = "read and run" if table.ran[rule.fact] else "read"
        rows.append(f"| `{ability}` | {follows} | {'<br>'.join(told)} | {how} |")
    return rows


def _merge(table: Catalogue, rule: Rule) -> list[Change]:
    """Leave out the changes of a fact that do not change an ability."""
    kept: list[Change] = []
    for change in table.facts[rule.fact]:
        if not kept or (kept[-1].value == rule.value) != (change.value == rule.value):
            kept.append(change)
    return kept
