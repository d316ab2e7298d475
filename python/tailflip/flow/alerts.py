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
class Words:
    """What an alert tells; nothing of it is private, for a receiver may be public.

    Attributes:
        title: a name for what is wrong, at most 48 characters: `gateway down`.
        what: one sentence.
        done: what tailflip did about it; "": nothing.
        step: what a person does next, a command if there is one.
        undo: the command that undoes what was done; "": there is none.
    """

    title: str
    what: str
    done: str = ""
    step: str = ""
    undo: str = ""


@dataclass(frozen=True)
class Alert:
    """One thing that is wrong, from its opening to its end; the same thing has the same row.

    Attributes:
        number: names it in all its messages.
        code: what kind of thing it is.
        subject: what it is about; with the code it is the identity. It may be private.
        urgency: the highest that it had since it was opened.
        words: as they were last.
        since_ms: since when it is so.
        first_ms: when the row was made.
        opened_ms: when it was opened, for the `times`-th time.
        cleared_ms: since when it is no longer so; None while it is.
        closed_ms: when that had held for long enough.
        acked_ms: when a person took note of it; `by` and `note` are that person's.
        times: how often it was opened, each time soon after it was closed.
        maintained: whether it was opened while a person worked on the gateway.
    """

    number: int
    code: str
    subject: str
    urgency: Urgency
    words: Words
    since_ms: int
    first_ms: int
    opened_ms: int
    cleared_ms: int | None = None
    closed_ms: int | None = None
    acked_ms: int | None = None
    by: str = ""
    note: str = ""
    times: int = 1
    maintained: bool = False

    @property
    def is_open(self) -> bool:
        """Say whether it is not over yet."""
        return self.closed_ms is None


@dataclass(frozen=True)
class Notice:
    """One message to one destination in the outbox, and how its delivery fares.

    Attributes:
        number: of its message.
        destination: by its name.
        kind: what it says.
        urgency: the highest of its alerts.
        alerts: the numbers of its alerts, the one it is about first.
        subject: of its message.
        body: of its message.
        made_ms: when it was written.
        tries: how often it was tried.
        next_ms: when it is tried next; None once it is delivered, given up or replaced.
        delivered_ms: when the receiver had it.
        given_up_ms: when it was given up.
        error: why the last try failed.
    """

    number: int
    destination: str
    kind: MessageKind
    urgency: Urgency
    alerts: tuple[int, ...]
    subject: str
    body: str
    made_ms: int
    tries: int = 0
    next_ms: int | None = None
    delivered_ms: int | None = None
    given_up_ms: int | None = None
    error: str = ""


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
        patience_s: the first start after a death may take so long, as it may take by
            `health.start_patience_s`.
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
    patience_s: float = 900
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
class Silence:
    """A time in which a person works on the gateway: what destroys data is told, the rest waits.

    By the wall clock. One that is over tells nothing any more.
    """

    since_ms: int
    until_ms: int
