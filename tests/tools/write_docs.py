"""Write the pages that are made from tables in the code: docs/causes.md and docs/findings.md.

    python tests/tools/write_docs.py

A test says whether the pages are current.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.units import format_span
from tailflip.diagnose.causes import CAUSES, WAITS, CauseRow, Opens
from tailflip.diagnose.findings.registry import ENTRIES
from tailflip.flow.findings import Severity
from tailflip.flow.lives import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs"
_MADE = "<!-- Made by tests/tools/write_docs.py; do not edit. -->"
_OPENS = {
    Opens.LATER: "",
    Opens.UNREADY: "at once, if the gateway had never answered",
    Opens.ALWAYS: "at once",
}

_INTRODUCTION = """\
`tailflip status` and `tailflip incidents why` name the cause of each end. A start that would
change nothing is not repeated: tailflip waits for the cure, and sees it within seconds."""
_LOOPS = """\
A loop is the third death of one kind in a row (`restart.loop_deaths`). Now and then one trial
start is made all the same. An end with exit 0 is no stop by itself: gateways end so of
themselves. To stop the gateway, stop tailflip or its service."""
_OF_MEMORY = """\
tailflip looks at the stores before the next start, and compacts them where they can have filled
the memory."""


def write_causes() -> str:
    """Write docs/causes.md from the table of causes."""
    failures = [(cause, row) for cause, row in CAUSES.items() if row.wish is None]
    wanted = [(cause, row) for cause, row in CAUSES.items() if row.wish is not None]
    lines = [
        "# Causes: why a gateway ended",
        "",
        _MADE,
        "",
        _INTRODUCTION,
        "",
        "| cause | in words | started again, after the first deaths | this wait begins |",
        "|---|---|---|---|",
        *(
            f"| [`{cause}`](#{cause}) | {row.words} | {_tell_wait(row)} "
            f"| {_OPENS[row.opens] or 'with a loop'} |"
            for cause, row in failures
        ),
        "",
        _LOOPS,
        "",
        "These ends are nobody's failure. They count for no loop of deaths and open no incident:",
        "",
        "| cause | in words |",
        "|---|---|",
        *(f"| `{cause}` | {row.words} |" for cause, row in wanted),
        "",
        "## What to do",
    ]
    for cause, row in failures:
        lines += ["", f"### {cause}", "", f"{_sentence(row.words)}.", "", f"{_step(row)}."]
        if row.of_memory:
            lines += ["", _OF_MEMORY]
    return "\n".join(lines) + "\n"


def _tell_wait(row: CauseRow) -> str:
    if row.of_other:
        return "when the other one is gone"
    if row.over_after_s:
        return f"after {format_span(1000 * row.over_after_s)}"
    until = WAITS[row.waiting].until
    return "with a growing delay" if row.waiting is Waiting.TIME else f"until {until}"


def _step(row: CauseRow) -> str:
    return _sentence(row.next_step.replace("VERSION", "latest"))


def _sentence(clause: str) -> str:
    first = clause.split(maxsplit=1)[0]
    return clause if first.startswith("`") or "-" in first else clause[0].upper() + clause[1:]


def write_findings() -> str:
    """Write docs/findings.md from the registry of findings."""
    lines = ["# Findings: what can be wrong", "", _MADE, "", _LOOKS]
    for severity, title in _TITLES.items():
        entries = [entry for entry in ENTRIES.values() if entry.severity is severity]
        lines += ["", f"## {title}", "", "| code | what is wrong | what to do |", "|---|---|---|"]
        lines += [f"| `{each.code}` | {each.doc} | {_sentence(each.hint)}. |" for each in entries]
    lines += ["", "## What each needs", "", _NEEDS, "", "| code | needs |", "|---|---|"]
    for code, entry in ENTRIES.items():
        needs = ", ".join(f"`{name}`" for name in entry.needs)
        lines.append(f"| `{code}` | {needs} |")
    return "\n".join(lines) + "\n"


_LOOKS = """\
`tailflip check` looks for all of these and exits with 1 if there is one. `status` looks for what
sizes, names and small files tell; `run`, `watch` and the gate look while they work, and put what
they find on record. What a look has no time for, or cannot see, it takes from that record. Codes
stay the same from release to release."""
_NEEDS = """\
A finding is looked for where its inputs are there. `check --json` and `status --json` list the
others as `not_looked_for`."""
_TITLES = {
    Severity.ERROR: "Errors: data is being lost, or the gateway cannot stay up",
    Severity.WARNING: "Warnings: on the way there",
}
PAGES: dict[str, Callable[[], str]] = {"causes.md": write_causes, "findings.md": write_findings}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), "utf-8")
