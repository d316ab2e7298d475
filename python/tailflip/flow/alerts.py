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


@dataclass(frozen=True)
class Destination:
    """Whom to tell, without the address: that is the sender's.

    Attributes:
        name: as the settings name it.
        least: the least urgency that it hears of at once.
        after_ms: it hears only of what is open and unacknowledged for so long; 0: of all.
        quiet: its own quiet hours, such as "22:00-07:00"; "": none; None: those of all.
    """

    name: str
    least: Urgency = Urgency.WARNING
    after_ms: int = 0
    quiet: str | None = None


@dataclass(frozen=True)
class AlertSettings:
    """How people are told; times of the day are those of the host's own time zone.

    Attributes:
        down_after_s: a gateway without a good answer for so long is down.
        gather_s: the wait before a first message, for all that belongs together.
        settle_s: what a finding said must be over for so long before it counts as over.
        remind_s: when a critical alert is told again, from its first message on; the last value
            repeats.
        most_per_hour: messages to one destination.
        quiet: hours in which only what is critical is told, such as "22:00-07:00"; "": none.
        digest: when notices and what waited are told, such as "08:00"; "": never.
        names: whether messages may hold names of jobs.
        host: the host's name in messages; "auto": the system's own.
        destinations: in the order of the settings.
    """

    down_after_s: float = 120
    gather_s: float = 30
    settle_s: float = 600
    remind_s: tuple[float, ...] = (3_600, 14_400, 86_400)
    most_per_hour: int = 10
    quiet: str = ""
    digest: str = "08:00"
    names: bool = False
    host: str = "auto"
    destinations: tuple[Destination, ...] = ()


@dataclass(frozen=True)
class Maintenance:
    """A time in which the gateway is worked on, by the wall clock; `reason` is a person's."""

    since_ms: int
    until_ms: int
    reason: str = ""
