"""Draws a report as one HTML file: no script, nothing from elsewhere, fit to be printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import (
    format_bytes,
    format_counted,
    format_moment,
    format_span,
    format_time,
)
from tailflip.report.page.base import make_document, make_table, make_tile
from tailflip.report.page.charts import draw
from tailflip.report.page.html import Html, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.report.handover import Handover, Story

TONES = {"ok": "ok", "waiting": "warn", "at-risk": "warn", "down": "bad"}
_SHARE_DIGITS = 2


def draw_report(found: Handover) -> str:
    """Draw the file."""
    view, period = found.view, found.period
    span = f"{format_time(period.began_ms)} to {format_time(view.now_ms)}"
    title = f"tailflip: {format_time(period.began_ms)[:10]} to {format_time(period.ended_ms)[:10]}"
    return make_document(
        title,
        tag(
            "header",
            tag("h1", "Report of a gateway"),
            tag("span", span, cls="soft"),
        ),
        tag(
            "div",
            tag("p", tag("strong", f"{sum_up(found)}.")),
            tag("p", f"Now: {view.state}: {view.reason}"),
            tag("p", "next: ", _write_code(view.next_step), cls="soft"),
            cls=f"verdict {TONES.get(view.state, '')}",
        ),
        tag("div", *_draw_tiles(found), cls="tiles"),
        tag("h2", "Memory and stores"),
        tag("div", draw(found.memory), draw(found.stores), cls="charts"),
        *_draw_deaths(found),
        *_draw_needs(found),
        *_draw_stories(found),
        *_draw_actions(found),
        *_draw_maintenances(found),
        *_draw_about(found),
        tag("h2", "What is left out"),
        *(tag("p", _write_code(each), cls="soft") for each in found.left_out),
        is_file=True,
    )


def sum_up(found: Handover) -> str:
    """Say in one sentence what the time was like."""
    period = found.period
    if period.availability is None:
        return "Nothing of this time is on record"
    died = format_counted(period.death_count, "death") if period.death_count else "no death"
    lasted = f", {format_span(period.down_ms)} without an answer" if period.down_ms else ""
    planned = ""
    if period.planned_ms:
        planned = f" ({format_span(period.planned_ms)} of that in maintenance)"
    return f"It was up {format_share(period.availability)} of the time{lasted}{planned}; {died}"


def format_share(share: float) -> str:
    """Write a share in percent; what was not whole is never written as 100 %."""
    text = f"{share * 100:.{_SHARE_DIGITS}f}"
    if share < 1 and float(text) == 100:  # noqa: PLR2004 - percent
        text = "99.99"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def _draw_tiles(found: Handover) -> Iterator[Html]:
    period, view = found.period, found.view
    share = "unknown" if period.availability is None else format_share(period.availability)
    yield make_tile("availability", share, f"of {format_span(period.known_ms)} on record")
    planned = f"{format_span(period.planned_ms)} in maintenance" if period.planned_ms else ""
    yield make_tile("downtime", format_span(period.down_ms), planned)
    many = format_counted(period.starts, "start")
    tone = "bad" if period.death_count else "ok"
    yield make_tile("deaths", str(period.death_count), many, tone)
    took = "-" if period.repair_ms is None else format_span(period.repair_ms)
    yield make_tile("until it answered again", took, "mean, after a death")
    used = "unknown" if view.rss_bytes is None else format_bytes(view.rss_bytes)
    yield make_tile("memory now", used)
    size = "unknown" if view.stores_bytes is None else format_bytes(view.stores_bytes)
    yield make_tile("stores now", size)
    free = "unknown" if view.disk_free_bytes is None else format_bytes(view.disk_free_bytes)
    yield make_tile("disk free", free)


def _draw_deaths(found: Handover) -> Iterator[Html]:
    if not found.deaths:
        return
    yield tag("h2", "Deaths by cause")
    yield make_table(
        ("cause", "it means", "how often", "how sure", "last"),
        [
            (
                each.cause,
                each.says,
                str(each.count),
                ", ".join(f"{count} {name}" for name, count in each.confidences),
                format_moment(each.last_ms, found.view.now_ms),
            )
            for each in found.deaths
        ],
    )


def _draw_needs(found: Handover) -> Iterator[Html]:
    yield tag("h2", f"Open findings ({len(found.view.needs)})")
    if not found.view.needs:
        yield tag("p", "Nothing is known to be wrong.", cls="soft")
        return
    yield make_table(
        ("what", "it says", "what to do"),
        [
            (f"{each.severity}: {each.code}", each.says, _write_code(each.step))
            for each in found.view.needs
        ],
    )


def _draw_stories(found: Handover) -> Iterator[Html]:
    yield tag("h2", f"Incidents ({len(found.stories)})")
    if not found.stories:
        yield tag("p", "There was none.", cls="soft")
    for story in found.stories:
        yield tag("h3", describe_incident(story, found.view.now_ms))
        rows: list[tuple[Html | str, ...]] = [
            (format_time(line.at_ms), _write_code(line.text)) for line in story.lines
        ]
        if story.left_out:
            many = format_counted(story.left_out, "sentence")
            rows.insert(len(rows) // 2, ("", f"{many} in between are left out"))
        yield make_table(("when", "what"), rows)


def describe_incident(story: Story, now_ms: int) -> str:
    """Describe an incident in a line."""
    incident = story.incident
    over = "open" if story.closed_ms is None else f"over {format_moment(story.closed_ms, now_ms)}"
    many = format_counted(incident.death_count, "death")
    return f"Incident {incident.id}: {incident.says}; {many}; {over}"


def _draw_actions(found: Handover) -> Iterator[Html]:
    yield tag("h2", f"What tailflip changed ({len(found.actions)})")
    if not found.actions:
        yield tag("p", "Nothing.", cls="soft")
        return
    yield make_table(
        ("when", "what", "undo"),
        [
            (
                format_moment(each.at_ms, found.view.now_ms),
                each.text,
                tag("code", each.undo) if each.undo else "",
            )
            for each in found.actions
        ],
    )


def _draw_maintenances(found: Handover) -> Iterator[Html]:
    if not found.maintenances:
        return
    yield tag("h2", f"Maintenances ({len(found.maintenances)})")
    now_ms = found.view.now_ms
    yield make_table(
        ("began", "lasted", "ended"),
        [
            (
                format_moment(each.began_ms, now_ms),
                format_span((each.ended_ms or now_ms) - each.began_ms),
                "it lasts" if each.end is None else f"by {each.end}",
            )
            for each in found.maintenances
        ],
    )


def _draw_about(found: Handover) -> Iterator[Html]:
    yield tag("h2", "What it runs on")
    yield make_table(("what", "is"), [*found.about])
    yield tag("h2", f"Settings that are not left to the default ({len(found.changed)})")
    if found.changed:
        yield make_table(("setting", "value"), [*found.changed])
    else:
        yield tag("p", "None.", cls="soft")


def _write_code(text: str) -> Html:
    """Write a text whose commands stand in backquotes."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a mark without its other half
        return join([text])
    return join(tag("code", each) if n % 2 else each for n, each in enumerate(parts))
