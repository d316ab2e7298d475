"""What a report tells of one gateway and one span of time, in words that may be handed on.

It leaves this host: no token, address, session, text or name of a job is in it, and no path
below the state directory. What may hold one is told in words of ours, by `report.page.safe`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes
from tailflip.config.catalog import list_settings
from tailflip.diagnose.causes import CAUSES
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Cause
from tailflip.report.narrative import describe_undo
from tailflip.report.page.charts import MOST_POINTS, Mark, Series, thin
from tailflip.report.page.safe import hide, tell_action
from tailflip.report.page.story import tell_story
from tailflip.report.page.view import Event, make_view
from tailflip.report.period import measure_period

if TYPE_CHECKING:
    from tailflip.config.schema import Config
    from tailflip.flow.lives import Incident, Life
    from tailflip.flow.maintenance import Maintenance
    from tailflip.observe.host.space import Space
    from tailflip.report.narrative import Line
    from tailflip.report.page.view import ShownIncident, View
    from tailflip.report.period import Period
    from tailflip.report.status import Situation
    from tailflip.report.subject import Subject

_LIVES, _MAINTENANCES = 2_000, 200
MOST_STORIES, MOST_LINES, MOST_ACTIONS = 20, 40, 50
_PLAIN = re.compile(r"(?:\d+(?:\.\d+)? ?[a-z]{0,4}|true|false|auto|[a-z]{2,12})", re.IGNORECASE)
_TEXT, _SET = "a text", "set, and not shown"
_HIDDEN = (
    "Names of jobs and sessions, what people and the gateway wrote, paths below the state "
    "directory, addresses and secrets are left out: a report is handed on."
)


@dataclass(frozen=True)
class Story:
    """An incident, with its sentences; `left_out` counts those that are not here."""

    incident: ShownIncident
    closed_ms: int | None
    lines: tuple[Line, ...]
    left_out: int


@dataclass(frozen=True)
class Cited:
    """A death's cause in words, with its numbers."""

    cause: str
    says: str
    count: int
    confidences: tuple[tuple[str, int], ...]
    last_ms: int


@dataclass(frozen=True)
class Handover:
    """The report. `about` says what the gateway runs on, `changed` which settings are not left."""

    view: View
    period: Period
    deaths: tuple[Cited, ...]
    stories: tuple[Story, ...]
    actions: tuple[Event, ...]
    maintenances: tuple[Maintenance, ...]
    memory: Series
    stores: Series
    about: tuple[tuple[str, str], ...]
    changed: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]

    @property
    def was_well(self) -> bool:
        """Say whether nothing happened that a person should read of first."""
        return self.view.state == "ok" and not self.period.death_count


def gather(subject: Subject, situation: Situation, space: Space | None, since_ms: int) -> Handover:
    """Gather what is on record from a moment on, and how the gateway fares now.

    Args:
        subject: the gateway.
        situation: how it fares.
        space: the room on the disk of its state directory.
        since_ms: where the report begins.
    """
    history, now_ms = subject.history, situation.look.now_ms
    view = make_view(situation, history, space)
    lives = history.lives.read(_LIVES)
    works = tuple(
        each.model_copy(update={"reason": "", "by": "", "command": None})
        for each in history.maintenances.read(_MAINTENANCES)
        if each.ended_ms is None or each.ended_ms >= since_ms
    )
    period = measure_period(
        _list_relevant(lives, since_ms), works, since_ms, now_ms, seen_ms=_find_seen(view, lives)
    )
    incidents = [
        each
        for each in history.incidents.read(_MAINTENANCES)
        if each.closed_ms is None or each.closed_ms >= since_ms
    ]
    actions = tuple(
        Event(each.action.created_ms, "action", hide(tell_action(each)), describe_undo(each))
        for each in situation.actions
        if each.action.created_ms >= since_ms
    )
    memory, stores = _draw_series(subject, view, lives, actions, since_ms)
    return Handover(
        view=view,
        period=period,
        deaths=tuple(
            Cited(each.cause, _say(each.cause), each.count, each.confidences, each.last_ms)
            for each in period.deaths
        ),
        stories=tuple(_tell(subject, each) for each in incidents[:MOST_STORIES]),
        actions=actions[:MOST_ACTIONS],
        maintenances=works,
        memory=memory,
        stores=stores,
        about=tuple(_describe(subject, situation, view)),
        changed=tuple(_list_changed(subject.config)),
        left_out=(
            _HIDDEN,
            *_count_left("incidents", len(incidents) - MOST_STORIES, "tailflip incidents"),
            *_count_left("actions", len(actions) - MOST_ACTIONS, "tailflip archive list"),
        ),
    )


def _list_relevant(lives: tuple[Life, ...], since_ms: int) -> list[Life]:
    """List the lives of the time, and the newest one before it: what is on record begins there."""
    inside = [life for life in lives if life.ended_ms is None or life.ended_ms >= since_ms]
    before = [life for life in lives if life not in inside]
    return [*inside, *before[:1]]


def _find_seen(view: View, lives: tuple[Life, ...]) -> int:
    """Find when a life without an end was last known to last."""
    if view.is_alive is not False:
        return view.now_ms
    measured = [at_ms for at_ms, _ in view.memory.points]
    started = [life.started_ms for life in lives if life.ended_ms is None]
    return max([*measured, *started], default=view.now_ms)


def _say(cause: str) -> str:
    known = next((each for each in Cause if each.value == cause), None)
    return "it could not be started" if known is None else CAUSES[known].words


def _tell(subject: Subject, incident: Incident) -> Story:
    shown, lines = tell_story(subject.history, incident)
    first = lines[: MOST_LINES // 2]
    last = lines[max(len(first), len(lines) - MOST_LINES // 2) :]
    return Story(shown, incident.closed_ms, (*first, *last), len(lines) - len(first) - len(last))


def _draw_series(
    subject: Subject,
    view: View,
    lives: tuple[Life, ...],
    actions: tuple[Event, ...],
    since_ms: int,
) -> tuple[Series, Series]:
    """Take the measurements of the whole time, with the deaths and actions in it."""
    samples = subject.history.samples.read(since_ms)
    rss = [(each.at_ms, each.rss_bytes) for each in samples if each.rss_bytes is not None]
    sizes = [(each.at_ms, each.stores_bytes) for each in samples if each.stores_bytes is not None]
    deaths = [
        Mark(life.ended_ms, "death")
        for life in lives
        if life.ended_ms is not None and life.ended_ms >= since_ms and life.incident is not None
    ]
    marks = (*deaths, *(Mark(each.at_ms, "action") for each in actions))
    span = (since_ms, view.now_ms)
    return (
        Series("Memory", *span, thin(rss, MOST_POINTS), view.heap_limit_bytes, marks),
        Series("Stores", *span, thin(sizes, MOST_POINTS), None, marks),
    )


def _describe(subject: Subject, situation: Situation, view: View) -> list[tuple[str, str]]:
    """Describe what the gateway runs on."""
    from tailflip import __version__  # noqa: PLC0415 - it reads the package's metadata

    memory, at = situation.look.memory, subject.installation
    limit = "unknown" if memory.limit_bytes is None else format_bytes(memory.limit_bytes)
    source = f" ({hide(memory.limit_source)})" if memory.limit_source else ""
    era = "unknown"
    if at is not None:
        era = "SQLite" if any(store.is_database for store in at.stores) else "JSON files"
    return [
        ("tailflip", __version__),
        ("OpenClaw", view.openclaw_version or "unknown"),
        ("sessions in", era),
        ("heap limit", f"{limit}{source}"),
        ("guarded by", view.guarded_by or "nobody now"),
        ("port", "unknown" if view.port is None else str(view.port)),
    ]


def _list_changed(config: Config) -> list[tuple[str, str]]:
    """List the settings that are not left to the default; a text that may be a secret is not."""
    changed = []
    for each in list_settings():
        value = getattr(getattr(config, each.section), each.name)
        if value == each.default:
            continue
        is_number = isinstance(value, bool | int | float)
        is_plain = is_number or (each.form != _TEXT and _PLAIN.fullmatch(str(value)) is not None)
        changed.append((each.key, str(value).lower() if is_plain else _SET))
    return changed


def _count_left(what: str, left: int, verb: str) -> list[str]:
    return [f"{left} older {what} are left out; `{verb}` has them."] if left > 0 else []
