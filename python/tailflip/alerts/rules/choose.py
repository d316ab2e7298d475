"""Whom to tell what now, and when to look again: one message of a kind to each destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.rules.digest import digest
from tailflip.alerts.rules.moments import (
    Around,
    choose_quiet,
    find_first,
    find_room,
    hears_of,
    hold_back,
)
from tailflip.alerts.rules.quiet import is_quiet
from tailflip.alerts.rules.remind import find_reminder
from tailflip.alerts.rules.standing import find_settled
from tailflip.alerts.rules.told import Told, is_inhibited, is_replaced, is_seen
from tailflip.alerts.table import OUTAGE, SALVAGED
from tailflip.flow.alerts import MessageKind, Urgency
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.alerts.conditions import Known
    from tailflip.flow.alerts import Alert, Destination, Notice

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Draft:
    """A message that is to be written: the alerts it is about, or the lines of a digest."""

    destination: str
    kind: MessageKind
    alerts: tuple[Alert, ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be told now.

    `replaced` are notices that are not sent any more. `digests` are the moments up to which each
    destination had its digest. `due_ms` is when to choose again, should nothing change.
    """

    drafts: tuple[Draft, ...]
    replaced: tuple[int, ...]
    digests: Mapping[str, int]
    due_ms: int | None


def choose(
    alerts: Sequence[Alert],
    notices: Sequence[Notice],
    known: Known,
    digests: Mapping[str, int],
    around: Around,
) -> Plan:
    """Choose what is to be told now.

    Args:
        alerts: the open ones and those closed of late, as they are on record.
        notices: those about these alerts, to all destinations, oldest first.
        known: what the ledger holds, for the digest.
        digests: up to when each destination had its digest.
        around: settings, maintenance, now.
    """
    drafts: list[Draft] = []
    replaced: list[int] = []
    dues = [
        settled
        for each in alerts
        if each.is_open and (settled := find_settled(each, around.settings)) is not None
    ]
    until = dict(digests)
    for to in around.settings.destinations:
        own = tuple(each for each in notices if each.destination == to.name)
        stale = _find_stale(own, alerts)
        chooser = _Chooser(to, tuple(alerts), own, stale, around)
        chooser.choose()
        chooser.add_digest(known, until)
        drafts += chooser.drafts
        replaced += chooser.replaced
        dues += chooser.dues
    later = [each for each in dues if each > around.now_ms]
    return Plan(tuple(drafts), tuple(replaced), until, min(later, default=None))


def _find_stale(own: Sequence[Notice], alerts: Sequence[Alert]) -> frozenset[int]:
    """Find the notices that wait, and whose first alert is over by now."""
    over = {each.number for each in alerts if not each.is_open}
    return frozenset(
        each.number
        for each in own
        if each.next_ms is not None
        and each.kind in (MessageKind.OPENED, MessageKind.ESCALATED, MessageKind.REMINDER)
        and each.alerts
        and each.alerts[0] in over
    )


class _Chooser:
    """Chooses for one destination."""

    def __init__(
        self,
        to: Destination,
        alerts: tuple[Alert, ...],
        own: tuple[Notice, ...],
        stale: frozenset[int],
        around: Around,
    ) -> None:
        self.to, self.alerts, self.own, self.stale, self.around = to, alerts, own, stale, around
        self.told = Told(tuple(each for each in own if not is_replaced(each)))
        self.drafts: list[Draft] = []
        self.replaced: list[int] = []
        self.dues: list[int] = []

    def choose(self) -> None:
        """Tell what is over, what is new, and what still stands."""
        heard = [each for each in self.alerts if hears_of(each, self.to)]
        ended = self._pick(
            [each for each in heard if self._is_over(each)],
            lambda each: hold_back(each.closed_ms or 0, (each,), self.to, self.around),
        )
        if ended and self._has_room():
            ended += self._find_carried(ended, heard)
            was_told = any(
                notice.delivered_ms is not None
                for each in ended
                for notice in self.told.list_present(each)
            )
            self._draft(MessageKind.RECOVERED if was_told else MessageKind.WAS, ended)
            over = {each.number for each in ended}
            self.replaced = [
                each.number
                for each in self.own
                if each.number in self.stale and each.alerts[0] in over
            ]
        standing = [each for each in heard if each.is_open and each.cleared_ms is None]
        free = [each for each in standing if not is_inhibited(each, self.alerts, self.told)]
        news = [each for each in free if self.told.is_news(each)]
        now = self._pick(news, self._find_first)
        if now and self._has_room():
            kind = MessageKind.ESCALATED if self.to.after_ms else MessageKind.OPENED
            now = [each for each in news if self._joins(each)]
            self._draft(kind, now)
        known = [each for each in free if each not in now and not is_seen(each, self.alerts)]
        again = self._pick(known, lambda each: find_reminder(each, self.to, self.told, self.around))
        if again and self._has_room():
            self._draft(MessageKind.REMINDER, again)

    def add_digest(self, known: Known, until: dict[str, int]) -> None:
        """Tell once a day what needed nobody."""
        last_ms = until.get(self.to.name)
        made = digest(known, self.alerts, self.to, self.told, since_ms=last_ms, around=self.around)
        self.dues += [made.due_ms] if made.due_ms is not None else []
        if made.lines and not self._has_room():
            return
        if made.lines:
            self.drafts.append(Draft(self.to.name, MessageKind.DIGEST, (), made.lines))
        if made.until_ms is not None:
            until[self.to.name] = made.until_ms

    def _is_over(self, alert: Alert) -> bool:
        """Say whether the end of an alert is to be told: to those alone who knew of it.

        Of an outage the end is told once no part of it stands, and so is the end of what it
        carried. What ends because a person has seen it needs no such message.
        """
        if alert.is_open or self.told.knows_end(alert) or alert.code == SALVAGED:
            return False
        outages = [each for each in self.alerts if each.is_open and each.code in OUTAGE]
        if any(alert.code in OUTAGE or self.told.list_present(each) for each in outages):
            return False
        return bool(self.told.list_present(alert)) or self._slept_through(alert)

    def _find_carried(self, ended: Sequence[Alert], heard: Sequence[Alert]) -> list[Alert]:
        """Find what an outage carried and is over with it, though not for long yet."""
        if not any(each.code in OUTAGE for each in ended):
            return []
        return [
            each
            for each in heard
            if each.is_open and each.cleared_ms is not None and self.told.list_present(each)
        ]

    def _slept_through(self, alert: Alert) -> bool:
        """Say whether an alert came and went in quiet hours: it waited, and is told."""
        closed_ms, cleared_ms = alert.closed_ms or 0, alert.cleared_ms or 0
        first_ms = alert.opened_ms + int(1000 * self.around.settings.gather_s)
        quiet = choose_quiet(self.to, self.around.settings)
        return (
            alert.urgency is not Urgency.CRITICAL
            and not (self.to.after_ms or alert.maintained)
            and self.around.now_ms - closed_ms < _DAY_MS
            and first_ms <= cleared_ms
            and is_quiet(first_ms, quiet)
        )

    def _find_first(self, alert: Alert, *, gathers: bool = True) -> int | None:
        seen = is_seen(alert, self.alerts)
        return find_first(alert, self.to, self.around, is_seen=seen, gathers=gathers)

    def _joins(self, alert: Alert) -> bool:
        at_ms = self._find_first(alert, gathers=False)
        return at_ms is not None and at_ms <= self.around.now_ms

    def _pick(self, alerts: Sequence[Alert], moment: Callable[[Alert], int | None]) -> list[Alert]:
        """Pick the alerts whose moment has come; the others' moments are noted."""
        picked = []
        for each in alerts:
            at_ms = moment(each)
            if at_ms is not None and at_ms <= self.around.now_ms:
                picked.append(each)
            elif at_ms is not None:
                self.dues.append(at_ms)
        return picked

    def _has_room(self) -> bool:
        at_ms = find_room(self.own, len(self.drafts), self.around)
        if at_ms > self.around.now_ms:
            self.dues.append(at_ms)
        return at_ms <= self.around.now_ms

    def _draft(self, kind: MessageKind, alerts: Sequence[Alert]) -> None:
        self.drafts.append(Draft(self.to.name, kind, tuple(sorted(alerts, key=_rank))))


def _rank(alert: Alert) -> tuple[int, int, int]:
    """Order alerts in a message: the outage, then by urgency, then the oldest."""
    outage = OUTAGE.index(alert.code) if alert.code in OUTAGE else len(OUTAGE)
    return outage, alert.urgency.rank, alert.number
