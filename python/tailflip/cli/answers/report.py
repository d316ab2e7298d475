"""The answer of `report`: what a span of time was like, in words that may be handed on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tailflip.cli.answers import gateway as of_gateway
from tailflip.cli.answers import maintenance as of_maintenance
from tailflip.cli.answers.base import Answer, Part, taken


class Cited(Part):
    """Deaths of one cause."""

    cause: str = Field(description="docs/causes.md lists them.")
    words: str = taken("says")
    count: int
    last_ms: int


class ReportedIncident(Part):
    """An incident; `closed_ms` null: it is open."""

    id: str = taken("incident.id")
    cause: str = taken("incident.cause")
    opened_ms: int = taken("incident.opened_ms")
    closed_ms: int | None
    death_count: int = taken("incident.death_count")
    story: tuple[of_gateway.Line, ...] = taken("lines")


class Change(Part):
    """What tailflip changed, and the command that undoes it."""

    at_ms: int
    text: str
    undo: str | None


class Need(Part):
    """Findings of one code."""

    code: str
    severity: str = Field(description="error or warning")
    count: int
    message: str = taken("says")
    next_step: str = taken("step")
    since_ms: int


class Report(Answer):
    """What a span of time was like. `availability`, 0 to 1, is of what is on record."""

    verb: Literal["report"] = "report"
    started_ms: int = taken("period.began_ms", "Where the report begins.")
    now_ms: int = taken("period.ended_ms")
    known_ms: int = taken("period.known_ms", "So much of that is on record.")
    availability: float | None = taken("period.availability")
    down_ms: int = taken("period.down_ms")
    planned_ms: int = taken("period.planned_ms", "Of that, in a maintenance.")
    repair_ms: float | None = taken("period.repair_ms", "The mean from a death to an answer.")
    start_count: int = taken("period.starts")
    death_count: int = taken("period.death_count")
    death_causes: tuple[Cited, ...] = taken("deaths")
    openclaw_version: str | None = taken("view.openclaw_version")
    reported_incidents: tuple[ReportedIncident, ...] = taken("stories")
    changes_made: tuple[Change, ...] = taken("actions")
    needs: tuple[Need, ...] = taken("view.needs")
    maintenances: tuple[of_maintenance.Maintenance, ...]
    left_out: tuple[str, ...]


ANSWERS: dict[str, tuple[type[Answer], ...]] = {"report": (Report,)}
