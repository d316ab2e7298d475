"""What `alerts` says in JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tailflip.cli.answers.base import Answer, Part


class Alert(Part):
    """One thing that is wrong. `subject` is what it is about, and is told to nobody."""

    id: str = Field(description="Its name in all its messages, such as tf-host-12.")
    code: str
    subject: str
    urgency: str
    title: str
    what: str
    done: str = Field(description="What tailflip did; empty: nothing.")
    next_step: str
    undo: str = Field(description="The command that undoes what was done; empty: none.")
    since_ms: int
    opened_ms: int
    cleared_ms: int | None = Field(description="Since when it is no longer so.")
    closed_ms: int | None
    acked_ms: int | None = Field(description="When a person took note of it.")
    acked_by: str
    note: str
    times: int = Field(description="How often it was opened, soon after it was closed.")
    told: tuple[str, ...] = Field(description="The destinations that received it.")


class Notice(Part):
    """One message to one destination. `state` is waiting, delivered, given-up or replaced."""

    number: int
    destination: str
    kind: str
    urgency: str
    state: str
    alert_ids: tuple[str, ...]
    subject: str
    made_ms: int
    tries: int
    next_ms: int | None = Field(description="When it is tried again.")
    delivered_ms: int | None
    error: str


class AlertsList(Answer):
    """The open alerts, and the last messages, newest first."""

    verb: Literal["alerts list"] = "alerts list"
    alerts: tuple[Alert, ...]
    messages: tuple[Notice, ...]
    destinations: tuple[str, ...] = Field(description="Those of the settings.")
    due_ms: int | None = Field(description="When alerts are looked at again, by what is known.")
    notes: tuple[str, ...]


class AlertsAck(Answer):
    """The alert that a person took note of."""

    verb: Literal["alerts ack"] = "alerts ack"
    alert: Alert


class AlertsTest(Answer):
    """The test messages, and whether they arrived."""

    verb: Literal["alerts test"] = "alerts test"
    messages: tuple[Notice, ...]
    notes: tuple[str, ...]


class AlertsFlush(Answer):
    """What one pass did; `unreached` counts the destinations that could not be reached."""

    verb: Literal["alerts flush"] = "alerts flush"
    written: int
    delivered: int
    unreached: int
    messages: tuple[Notice, ...] = Field(description="Those that still wait.")
    due_ms: int | None
    notes: tuple[str, ...]


ANSWERS: dict[str, tuple[type[Answer], ...]] = {
    "alerts list": (AlertsList,),
    "alerts test": (AlertsTest,),
    "alerts ack": (AlertsAck,),
    "alerts flush": (AlertsFlush,),
}
