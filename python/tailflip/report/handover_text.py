"""Writes a report as Markdown for an issue: what helps a stranger, and nobody's name."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted, format_span, format_time
from tailflip.report.handover_page import describe_incident, format_share, sum_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailflip.report.handover import Handover

_LEAST = 3  # a shorter name would be found inside of words
_MARKS = re.compile(r"([\\*_<>\[\]|#])")
_MOST_STORIES = 3


def write_issue(found: Handover, env: Mapping[str, str]) -> str:
    """Write the report; names of the home directory, the user and the host are replaced."""
    return hide_names("\n".join(_write(found)) + "\n", env)


def hide_names(text: str, env: Mapping[str, str]) -> str:
    """Replace the names that say whose host this is."""
    for name, instead in _list_names(env):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", instead, text, flags=re.IGNORECASE)
    return text


def _list_names(env: Mapping[str, str]) -> list[tuple[str, str]]:
    home = env.get("HOME", "")
    homes = {home, os.path.realpath(home)} if home else set()
    hosts = {socket.gethostname(), socket.gethostname().partition(".")[0]}
    users = {env.get("USER", ""), env.get("LOGNAME", ""), Path(home).name if home else ""}
    found = [
        *((each, "~") for each in homes if each != os.sep),
        *((each, "HOST") for each in hosts),
        *((each, "USER") for each in users - {"root", "home"}),
    ]
    named = [(name, instead) for name, instead in found if len(name) >= _LEAST]
    return sorted(named, key=lambda pair: -len(pair[0]))  # the longest first: it holds the others


def _write(found: Handover) -> Iterator[str]:
    period, view = found.period, found.view
    span = f"{format_time(period.began_ms)} to {format_time(period.ended_ms)}"
    yield f"### Report of a gateway, {span}\n"
    yield f"**{_plain(sum_up(found))}.** Now: {view.state}: {_plain(view.reason)}\n"
    yield from _write_table(("what", "is"), [*found.about, *_list_numbers(found)])
    if found.deaths:
        yield "\n### Deaths by cause\n"
        rows = [
            (
                each.cause,
                each.says,
                str(each.count),
                ", ".join(f"{count} {name}" for name, count in each.confidences),
            )
            for each in found.deaths
        ]
        yield from _write_table(("cause", "it means", "how often", "how sure"), rows)
    if view.needs:
        yield "\n### Open findings\n"
        for need in view.needs:
            yield f"- {need.severity} `{need.code}`: {_plain(need.says)}"
    for story in found.stories[:_MOST_STORIES]:
        yield f"\n### {_plain(describe_incident(story, view.now_ms))}\n"
        for line in story.lines:
            yield f"- {format_time(line.at_ms)}: {_plain(line.text)}"
    if found.actions:
        yield "\n### What tailflip changed\n"
        for action in found.actions:
            yield f"- {format_time(action.at_ms)}: {_plain(action.text)}"
    if found.changed:
        yield "\n### Settings that are not left to the default\n"
        for key, value in found.changed:
            yield f"- `{key}` = {value}"
    yield "\n" + "\n".join(f"_{_plain(each)}_" for each in found.left_out)


def _list_numbers(found: Handover) -> Iterator[tuple[str, str]]:
    period, view = found.period, found.view
    if period.availability is not None:
        share = f"{format_share(period.availability)} of {format_span(period.known_ms)}"
        yield "availability", share
    yield "deaths", f"{period.death_count} in {format_counted(period.starts, 'start')}"
    if period.repair_ms is not None:
        yield "answered again after", f"{format_span(period.repair_ms)} in the mean"
    if view.rss_bytes is not None:
        yield "memory now", format_bytes(view.rss_bytes)
    if view.stores_bytes is not None:
        yield "stores now", format_bytes(view.stores_bytes)


def _write_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(_plain, row))} |"


def _plain(text: str) -> str:
    """Write a text that no mark of Markdown is in; what stands in backquotes stays code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        return _MARKS.sub(r"\\\1", "'".join(parts))
    return "`".join(each if n % 2 else _MARKS.sub(r"\\\1", each) for n, each in enumerate(parts))
