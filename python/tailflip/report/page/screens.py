"""The page itself, and that of one incident, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_ago, format_bytes, format_counted, format_moment, format_time
from tailflip.report.page.base import join_words, make_document, make_table, make_tile
from tailflip.report.page.charts import draw
from tailflip.report.page.html import Html, tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.report.narrative import Line
    from tailflip.report.page.view import Event, ShownIncident, View

REFRESH_S = 15
_WORDS = {
    "ok": ("OK", "ok"),
    "waiting": ("WAITING", "warn"),
    "down": ("DOWN", "bad"),
    "at-risk": ("AT RISK", "bad"),
}
_ONLY = "Read only. Nothing here changes anything."
_LEFT_OUT = (
    "Names of jobs and sessions, paths and what the gateway wrote are left out: "
    "`tailflip status` and `tailflip check` tell them."
)


def draw_page(view: View, others: Sequence[tuple[str, str]] = ()) -> str:
    """Draw the page of one gateway; `others` are links to those of others, with their names."""
    word, _ = _WORDS[view.state]
    parts = [
        _draw_header(view, others),
        _draw_verdict(view),
        tag("div", *_draw_tiles(view), cls="tiles"),
        *_draw_needs(view),
        *_draw_incidents(view.incidents, view.now_ms),
        tag("h2", "The last 24 hours"),
        tag("div", draw(view.memory), draw(view.stores), cls="charts"),
        *_draw_events(view.happened, view.now_ms),
        tag("footer", tag("p", _ONLY), tag("p", _write_code(_LEFT_OUT))),
    ]
    return make_document(f"{word} - tailflip", *parts)


def draw_incident(incident: ShownIncident, lines: Sequence[Line], now_ms: int) -> str:
    """Draw the story of one incident."""
    rows: list[tuple[Html | str, ...]] = [(format_time(line.at_ms), line.text) for line in lines]
    seen = "a person took note of it" if incident.is_seen else "nobody took note of it yet"
    since = format_moment(incident.opened_ms, now_ms)
    many = format_counted(incident.death_count, "death")
    step = f"`tailflip incidents why {incident.id}` tells all of it"
    return make_document(
        f"incident {incident.id} - tailflip",
        tag("header", tag("h1", f"Incident {incident.id}"), tag("a", "back", href="/")),
        tag(
            "div",
            tag("p", incident.says),
            tag("p", f"{incident.cause}, {many}, since {since}; {seen}", cls="soft"),
            cls="verdict",
        ),
        tag("h2", "What happened"),
        make_table(("when", "what"), rows),
        tag("footer", tag("p", _write_code(step)), tag("p", _ONLY)),
    )


def _draw_header(view: View, others: Sequence[tuple[str, str]]) -> Html:
    about = [
        f"OpenClaw {view.openclaw_version}" if view.openclaw_version else "release unknown",
        f"port {view.port}" if view.port is not None else "",
        f"guarded by {view.guarded_by}" if view.guarded_by else "guarded by nobody now",
        f"{format_time(view.now_ms)}, anew every {REFRESH_S} s",
    ]
    links = (tag("a", name, href=href) for href, name in others)
    return tag(
        "header",
        tag("h1", "tailflip"),
        tag("span", view.state_dir),
        tag("span", " · ".join(filter(None, about)), cls="soft"),
        tag("nav", join_words("also:", *links)) if others else None,
    )


def _draw_verdict(view: View) -> Html:
    word, tone = _WORDS[view.state]
    times = []
    if view.since_ms is not None:
        times.append(f"since {format_moment(view.since_ms, view.now_ms)}")
    if view.until_ms is not None:
        times.append(f"until {format_moment(view.until_ms, view.now_ms)} at the latest")
    return tag(
        "div",
        tag("p", tag("strong", f"{word}: ", cls=tone), view.reason),
        tag("p", ", ".join(times), cls="soft small") if times else None,
        tag("p", "next: ", _write_code(view.next_step)),
        cls=f"verdict {tone}",
    )


def _draw_tiles(view: View) -> Iterator[Html]:
    is_well = view.state == "ok"  # where nobody guards a gateway, none need run
    down = ("NOT RUNNING", "") if is_well else ("DOWN", "bad")
    runs = {True: ("RUNS", "ok"), False: down, None: ("UNKNOWN", "warn")}[view.is_alive]
    more = ""
    if view.started_ms is not None:
        more = f"since {format_ago(view.started_ms, view.now_ms)}"
    if view.is_alive:
        more += ", has answered" if view.is_ready else ", no answer on record"
    yield make_tile("gateway", runs[0], more.lstrip(", "), runs[1])
    used, limit = view.rss_bytes, view.heap_limit_bytes
    value = format_bytes(used) if used is not None else "unknown"
    more = f"heap limit {format_bytes(limit)}" if limit is not None else "limit unknown"
    tone = ""
    if view.memory_full_ms is not None:
        more, tone = f"full {format_ago(view.memory_full_ms, view.now_ms)} at this pace", "warn"
    yield make_tile("memory", value, more, tone)
    size, growth = view.stores_bytes, view.stores_bytes_per_day
    more = "growth unknown" if growth is None else f"{_write_growth(growth)} a day"
    stores = f" in {view.store_count}" if view.store_count is not None else ""
    value = format_bytes(size) if size is not None else "unknown"
    yield make_tile("stores", value + stores, more)
    free, total = view.disk_free_bytes, view.disk_total_bytes
    value = format_bytes(free) if free is not None else "unknown"
    yield make_tile("disk free", value, f"of {format_bytes(total)}" if total is not None else "")
    tone = {"allowed": "ok", "one trial": "warn"}.get(view.starts, "bad")
    yield make_tile(
        "starts", view.starts, f"{format_counted(view.deaths_in_a_day, 'death')} in 24 h", tone
    )
    unseen = sum(not each.is_seen for each in view.incidents)
    value, tone = (f"{unseen} open", "bad") if unseen else ("none new", "ok")
    yield make_tile("incidents", value, f"{len(view.incidents)} open in all", tone)


def _write_growth(bytes_per_day: float) -> str:
    sign = "+" if bytes_per_day >= 0 else "-"
    return f"{sign}{format_bytes(abs(int(bytes_per_day)))}"


def _draw_needs(view: View) -> Iterator[Html]:
    yield tag("h2", f"Needs you ({len(view.needs)})")
    if not view.needs:
        yield tag("p", "Nothing is known to be wrong.", cls="soft")
        return
    rows: list[tuple[Html | str, ...]] = []
    for each in view.needs:
        tone = "bad" if each.severity == "error" else "warn"
        many = f" ({each.count})" if each.count > 1 else ""
        what = tag("span", tag("strong", each.severity, cls=tone), f" {each.code}{many}")
        since = tag("span", f"since {format_moment(each.since_ms, view.now_ms)}", cls="soft small")
        rows.append((what, join_words(each.says, tag("br"), since), _write_code(each.step)))
    yield make_table(("what", "it says", "what to do"), rows)


def _draw_incidents(incidents: Sequence[ShownIncident], now_ms: int) -> Iterator[Html]:
    if not incidents:
        return
    yield tag("h2", f"Open incidents ({len(incidents)})")
    rows: list[tuple[Html | str, ...]] = [
        (
            tag("a", f"incident {each.id}", href=f"/incidents/{each.id}"),
            each.says,
            f"{format_counted(each.death_count, 'death')}, {format_ago(each.opened_ms, now_ms)}"
            + ("" if each.is_seen else ", not seen"),
        )
        for each in incidents
    ]
    yield make_table(("incident", "cause", "how often"), rows)


def _draw_events(events: Sequence[Event], now_ms: int) -> Iterator[Html]:
    yield tag("h2", "What happened in the last week")
    if not events:
        yield tag("p", "No death and no action is on record.", cls="soft")
        return
    rows: list[tuple[Html | str, ...]] = []
    for each in events:
        tone = "bad" if each.kind == "death" else "ok"
        undo = tag("code", each.undo) if each.undo else ""
        what = join_words(tag("strong", each.kind, cls=tone), each.text)
        rows.append((format_moment(each.at_ms, now_ms), what, undo))
    yield make_table(("when", "what", "undo"), rows)


def _write_code(text: str) -> Html:
    """Write a text whose commands stand in backquotes."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a mark without its other half
        return tag("span", text)
    return tag("span", *(tag("code", each) if n % 2 else each for n, each in enumerate(parts)))
