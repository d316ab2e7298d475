"""The answers of `maintenance`, and the part of others that tells of one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tailflip.cli.answers.base import Answer, Part, taken


class Maintenance(Part):
    """A maintenance; `ended_ms` null: it lasts. `quiet_only`: it silences alerts alone."""

    id: str
    started_ms: int = taken("began_ms")
    until_ms: int = Field(description="Its end, by the present wall clock.")
    reason: str
    by: str = Field(description="Who asked for it.")
    quiet_only: bool
    program: str | None = taken("command", "That it is wrapped round.")
    ended_ms: int | None
    end: str | None = Field(description="What ended it: time, off or command.")


class MaintenanceOn(Answer):
    """The maintenance that began, or lasts longer. `is_idle` false: a tailflip is still at work."""

    verb: Literal["maintenance on"] = "maintenance on"
    maintenance: Maintenance
    guard_pid: int | None = Field(description="Of the `tailflip run` that was woken.")
    is_idle: bool
    notes: tuple[str, ...]


class MaintenanceOff(Answer):
    """The maintenance that was ended; null where none was on."""

    verb: Literal["maintenance off"] = "maintenance off"
    maintenance: Maintenance | None
    guard_pid: int | None = Field(description="Of the `tailflip run` that was woken.")
    notes: tuple[str, ...]


class MaintenanceStatus(Answer):
    """The maintenance that lasts, and those before it, newest first."""

    verb: Literal["maintenance status"] = "maintenance status"
    maintenance: Maintenance | None
    past: tuple[Maintenance, ...]
    notes: tuple[str, ...]


ANSWERS: dict[str, tuple[type[Answer], ...]] = {
    "maintenance on": (MaintenanceOn,),
    "maintenance off": (MaintenanceOff,),
    "maintenance status": (MaintenanceStatus,),
}
