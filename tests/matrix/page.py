"""Write docs/releases.md from the two records beside this file: `python -m matrix page`."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

from matrix import lines
from matrix.databases import refuses_files
from matrix.lines import SIZES_MB, Outcome, name_of
from tailflip.observe.gateway.heaps import choose_database_heap, choose_heap

PAGE = Path(__file__).parents[2] / "docs" / "releases.md"
MIB = 1 << 20
YOUNG_MIB = 192  # Node 24's `heap_size_limit` is that much above the option, for any of 96 to 4096
_INTRODUCTION = """\
Each line is a real release of OpenClaw, installed from npm and asked by `make matrix`. The
gateway boots, is killed in mid-run, dies of a small heap, is cured, compacted and put back. Where
sessions lie in databases, one is compacted, lived on and put back too. Where a release refuses a
`sessions.json`, its own tool imports it before the small heap, and after the compaction."""
_MEANING = """\
"Not served" means that tailflip says itself that it cannot do this yet. "Not there" means that the
release has nothing to compare with, or refuses by itself. Neither is a failure in silence."""
_HEAPS = """\
`make heaps` finds the smallest `--max-old-space-size` with which a release boots and ends one cron
run, by the size of its store. V8 adds 192 MiB for young objects, which gives the limit. The
forecast is what tailflip expects the gateway to take of it. It is to be on the safe side, and at
most 20 % above."""


def write() -> str:
    """Write docs/releases.md."""
    matrix, heaps = lines.read(lines.MATRIX), lines.read(lines.HEAPS)
    return "\n".join(
        [
            "# Releases: what was asked of real gateways",
            "",
            "<!-- Made by `make matrix` and `make heaps`; do not edit. -->",
            "",
            _INTRODUCTION,
            "",
            "| release | asked on | seconds | result | asked, and well | not so |",
            "|---|---|---|---|---|---|",
            *(_row(line) for line in matrix.values()),
            "",
            _MEANING,
            *(part for line in matrix.values() for part in _tell_rest(line)),
            "",
            "## Heap: forecast against measured",
            "",
            _HEAPS,
            "",
            "| release | asked on | store | smallest that lives | its limit | forecast | error |",
            "|---|---|---|---|---|---|---|",
            *(row for line in heaps.values() for row in _heap_rows(line)),
            "",
        ]
    )


def _row(line: dict[str, Any]) -> str:
    well = [each for each in line["answers"] if each["outcome"] == Outcome.OK]
    rest = len(line["answers"]) - len(well)
    cells = [
        f"`{line['release']}`",
        line["date"],
        f"{line['seconds']:.0f}",
        line["outcome"],
        str(len(well)),
        str(rest or ""),
    ]
    return f"| {' | '.join(cells)} |"


def _tell_rest(line: dict[str, Any]) -> list[str]:
    """Tell all answers of a release, in the order of asking."""
    rows = [
        f"| {each['asked']} | {each['outcome']} | {each['seconds']:.0f} | {_quote(each['told'])} |"
        for each in line["answers"]
    ]
    head = ["| asked | result | seconds | in words |", "|---|---|---|---|"]
    return ["", f"## {line['release']}", "", *head, *rows]


def _quote(told: str) -> str:
    """Quote what a release or tailflip said, so that it cannot end the cell or the quote."""
    return f"`{told.replace('|', '/').replace('`', chr(39))}`" if told else ""


def measured(line: dict[str, Any]) -> dict[int, int]:
    """Read the smallest heap in MiB for each size of store in MB."""
    told = {each["asked"]: each["told"] for each in line["answers"] if each["outcome"] == "ok"}
    return {mb: int(told[name_of(mb)].split()[0]) for mb in SIZES_MB if name_of(mb) in told}


def fit(heaps: dict[int, int]) -> tuple[float, int]:
    """Fit factor and base to the smallest heaps of some sizes, all below the line.

    They are of the whole limit, as a forecast is. Of the lines through two of the points, the one
    that is nowhere far above.
    """
    points = [(mb * 1_000_000, limit_mib(mib) * MIB) for mb, mib in sorted(heaps.items())]
    fits = []
    for (small, least), (large, most) in combinations(points, 2):
        factor = math.ceil((most - least) / (large - small) * 10) / 10
        base = max(limit - factor * size for size, limit in points)
        error = max((factor * size + base) / limit for size, limit in points)
        fits.append((error, factor, math.ceil(base / 1_000_000) * 1_000_000))
    _, factor, base_bytes = min(fits)
    return factor, base_bytes


def limit_mib(mib: int) -> int:
    """Compute the limit that V8 makes of `--max-old-space-size`: room for young objects more."""
    return mib + YOUNG_MIB


def guess_mib(release: str, size_mb: int, found: dict[int, int]) -> int:
    """Guess the smallest heap of a size, by what was found for smaller ones or by the forecast."""
    if len(found) > 1:
        factor, base_bytes = fit(found)
        limit = (factor * size_mb * 1_000_000 + base_bytes) / MIB
    else:
        limit = forecast_mib(release, size_mb)
    return round(limit) - YOUNG_MIB


def forecast_mib(release: str, size_mb: int) -> float:
    is_imported = refuses_files(release)
    use = choose_database_heap() if is_imported else choose_heap(lines.order(release)[:3])
    return (use.factor * size_mb * 1_000_000 + use.base_bytes) / MIB


def _heap_rows(line: dict[str, Any]) -> list[str]:
    found = measured(line)
    if not found:
        said = line["answers"][-1]
        return [
            f"| `{line['release']}` | {line['date']} | | {said['outcome']}: {said['told']} | | | |"
        ]
    rows = []
    for size_mb, mib in found.items():
        forecast, limit = forecast_mib(line["release"], size_mb), limit_mib(mib)
        rows.append(
            f"| `{line['release']}` | {line['date']} | {size_mb} MB | {mib} MiB | {limit} MiB "
            f"| {forecast:.0f} MiB | {forecast / limit - 1:+.0%} |"
        )
    return rows
