"""Writes the messages: who, what, since when, what was done, what to do, how to undo it.

Read at 3 a.m. on a small screen, on the way through places that are public. Nothing but the words
of an alert, times and names of our own go in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tailflip.base.units import format_counted, format_span, format_time
from tailflip.flow.alerts import MessageKind, Urgency
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.alerts import Alert

SUBJECT_CHARS, BODY_CHARS = 80, 1_000
_MOST_HOST = 24
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")
_BEGINS = {
    MessageKind.OPENED: "",
    MessageKind.REMINDER: "still: ",
    MessageKind.ESCALATED: "nobody answered: ",
    MessageKind.RECOVERED: "over: ",
    MessageKind.WAS: "was: ",
}


@dataclass(frozen=True)
class Writer:
    """Writes for one host; `gateway` tells it from others there, "" where it is the usual one."""

    host: str
    gateway: str = ""

    def name(self, number: int) -> str:
        """Name an alert in all its messages."""
        return name_alert(self.host, number)

    def write(self, kind: MessageKind, alerts: Sequence[Alert], now_ms: int) -> tuple[str, str]:
        """Write subject and body of a message about alerts, the one it is about first."""
        main = alerts[0]
        more = f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        again = f", {_ordinal(main.times)} time" if main.times > 1 else ""
        when = f" {_tell_span(main)}" if kind is MessageKind.WAS else ""
        tail = f"{again}{when}{more}"
        subject = _cut(f"{self._who()}: {_BEGINS[kind]}{main.words.title}", SUBJECT_CHARS, tail)
        is_over = kind in (MessageKind.RECOVERED, MessageKind.WAS)
        tell = self._tell_end if is_over else self._tell_standing
        lines = [*tell(main, now_ms)]
        lines += [self._tell_short(each, is_over=is_over) for each in alerts[1:]]
        return subject, fit_lines(lines)

    def write_digest(self, lines: Sequence[str]) -> tuple[str, str]:
        """Write subject and body of the daily digest."""
        subject = _cut(f"{self._who()}: daily digest", SUBJECT_CHARS)
        return subject, fit_lines(lines)

    def write_test(self, destination: str) -> tuple[str, str]:
        """Write subject and body of a message that only shows that it arrives."""
        lines = (
            f"A test of {destination}: tailflip on {self._who()} can tell you.",
            "Nothing is wrong.",
        )
        return _cut(f"{self._who()}: test", SUBJECT_CHARS), fit_lines(lines)

    def write_unrecorded(self) -> tuple[str, str]:
        """Write subject and body of the message that the ledger cannot be used."""
        lines = (
            f"critical: tailflip on {self._who()} cannot use its own record.",
            "It is damaged, or cannot be read, or its disk is full.",
            "The gateway is not touched by that, but no store is healed.",
            "You are told of nothing else before it is mended.",
            "Done: nothing; nothing was changed.",
            "Next: tailflip status",
        )
        return _cut(f"{self._who()}: tailflip cannot remember", SUBJECT_CHARS), fit_lines(lines)

    def _who(self) -> str:
        return f"{self.host} ({self.gateway})" if self.gateway else self.host

    def _tell_standing(self, alert: Alert, now_ms: int) -> list[str]:
        words = alert.words
        since = f"since {format_time(alert.since_ms)}, {format_span(now_ms - alert.since_ms)} ago"
        during = ", during maintenance" if alert.maintained else ""
        name = self.name(alert.number)
        lines = [
            f"{name}, {alert.urgency}: {words.title} on {self._who()}, {since}{during}.",
            f"{_begin(words.what)}.",
            f"Done: {words.done or 'nothing; nothing was changed'}.",
            f"Next: {words.step}",
        ]
        if words.undo:
            lines.append(f"Undo: {words.undo}")
        if alert.acked_ms is None and alert.urgency is Urgency.CRITICAL:
            lines.append(f"Seen: tailflip alerts ack {name}")
        return lines

    def _tell_end(self, alert: Alert, _now_ms: int) -> list[str]:
        words = alert.words
        end_ms = alert.cleared_ms or alert.closed_ms or alert.since_ms
        span = f"From {format_time(alert.since_ms)} to {format_time(end_ms)}"
        lines = [
            f"{self.name(alert.number)}: {words.title} on {self._who()} is over.",
            f"{span}, {format_span(max(0, end_ms - alert.since_ms))}.",
            f"It was: {words.what}.",
            f"Done: {words.done or 'nothing; nothing was changed'}.",
        ]
        if words.undo:
            lines.append(f"Undo: {words.undo}")
        if alert.acked_ms is not None and alert.note:
            lines.append(f"Note: {alert.note}")
        return lines

    def _tell_short(self, alert: Alert, *, is_over: bool) -> str:
        told = f"{_tell_span(alert)}" if is_over else alert.words.what
        return f"- {self.name(alert.number)} {alert.words.title}: {told}"


def name_alert(host: str, number: int) -> str:
    """Name an alert: the same from its first message to its last."""
    return f"tf-{host}-{number}"


def name_host(name: str) -> str:
    """Make a host's name one word that fits an address, a subject and a command."""
    first = _NO_NAME.sub("-", name.partition(".")[0]).strip("-")[:_MOST_HOST].strip("-")
    return first or "host"


def fit_lines(lines: Sequence[str]) -> str:
    """Join lines to a body of at most 1,000 characters; what does not fit is counted."""
    clean = [_clean(each) for each in lines]
    kept: list[str] = []
    for at, line in enumerate(clean):
        rest = len(clean) - at - 1
        more = f"and {rest + 1} more"
        room = BODY_CHARS - sum(len(each) + 1 for each in kept)
        if len(line) + (len(more) + 1 if rest else 0) > room:
            return "\n".join([*kept, more if kept else _cut(line, BODY_CHARS)])
        kept.append(line)
    return "\n".join(kept)


def tell_lost(body: str, lost: int) -> str:
    """Add to a body that so many messages before it were not delivered."""
    if not lost:
        return body
    told = f"{format_counted(lost, 'message')} before this one could not be delivered."
    return f"{body[: BODY_CHARS - len(told) - 1]}\n{told}"


def _tell_span(alert: Alert) -> str:
    end_ms = alert.cleared_ms or alert.closed_ms or alert.since_ms
    return f"{_tell_clock(alert.since_ms)}-{_tell_clock(end_ms)}"


def _tell_clock(at_ms: int) -> str:
    local = datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone()
    return f"{local:%H:%M}"


def _ordinal(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".")


def _clean(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def _cut(text: str, most: int, tail: str = "") -> str:
    """Shorten a text so that it fits with its tail, which stays whole."""
    clean, room = _clean(text), most - len(tail)
    return (clean if len(clean) <= room else f"{clean[: room - 3].rstrip()}...") + tail
