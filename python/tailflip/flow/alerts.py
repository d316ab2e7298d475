"""Alerts: what a person must act on, how it is told, and to whom."""

from __future__ import annotations

from enum import StrEnum

from tailflip.flow.late import dataclass


class Urgency(StrEnum):
    """How soon a person must act: at once, today, or not at all."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"

    @property
    def rank(self) -> int:
        """Order urgencies: the most urgent is 0."""
        return list(Urgency).index(self)


class MessageKind(StrEnum):
    """What a message says about its alerts."""

    OPENED = "opened"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    RECOVERED = "recovered"
    WAS = "was"  # over before it could be delivered: from when to when
    DIGEST = "digest"
    TEST = "test"


@dataclass(frozen=True)
class Message:
    """One message to one destination, as it is stored and sent.

    Attributes:
        number: its row in the outbox; a receiver that gets the number twice has one message.
        kind: what it says.
        urgency: the highest of its alerts.
        subject: at most 80 characters, without control characters.
        body: at most 1,000 characters; lines of plain text.
        alerts: the names of its alerts, such as `tf-host-12`, the one it is about first. They stay
            the same from the first message to the last: mail threads by them.
        made_ms: when it was written.
    """

    number: int
    kind: MessageKind
    urgency: Urgency
    subject: str
    body: str
    alerts: tuple[str, ...]
    made_ms: int


@dataclass(frozen=True)
class Delivery:
    """How one try to send a message ended.

    `error` is "" after a delivery; otherwise words without token, path or query of the address.
    `is_final` says that no further try can help, as for an address that no service knows.
    """

    delivered: bool
    error: str = ""
    is_final: bool = False
