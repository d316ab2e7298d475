"""The answer of `fleet`: every gateway, the worst first."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tailflip.cli.answers import gateway as of_gateway
from tailflip.cli.answers import maintenance as of_maintenance
from tailflip.cli.answers.base import Answer, Part, taken


class Member(Part):
    """One gateway; `verdict` null: it could not be read, for the reason in `problem`."""

    state_dir: str
    service: str | None
    verdict: of_gateway.Verdict | None
    problem: str = taken("error")
    is_grave: bool = Field(description="It needs somebody, or may.")
    openclaw_version: str | None = taken("version")
    port: int | None
    pid: int | None
    alive: bool | None = Field(description="Null: it is unknown.")
    mode: str = taken("guard", "Who guards it: run, watch, gate or preflight; empty for nobody.")
    memory: of_gateway.Memory | None
    store_totals: of_gateway.StoreTotals | None = taken("stores")
    deaths_in_a_day: int
    open_incident_count: int = taken("open_incidents")
    next_step: str
    maintenance: of_maintenance.Maintenance | None


class Fleet(Answer):
    """All gateways, the worst first; `gone` are on record, and no directory of theirs is left."""

    verb: Literal["fleet"] = "fleet"
    now_ms: int
    is_grave: bool = Field(description="The exit code is 1.")
    members: tuple[Member, ...]
    gone: tuple[str, ...]


ANSWERS: dict[str, tuple[type[Answer], ...]] = {"fleet": (Fleet,)}
