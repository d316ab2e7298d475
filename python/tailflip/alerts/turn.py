"""One pass: read what is wrong, decide whom to tell, write that down, send it.

    lock ─▶ alerts on record ─▶ notices on record ─▶ each due one: a try on record, sent, its
    outcome on record ─▶ when to come again, on record

Killed in between, the next pass goes on from what is on record. A message is sent at least once;
a receiver that acknowledged it gets it again only where the pass died before it could note that.
"""

from __future__ import annotations

import socket
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.alerts.conditions import find_conditions
from tailflip.alerts.reading import read_alerts, read_known, read_notices
from tailflip.alerts.rules.choose import choose
from tailflip.alerts.rules.failing import count_lost, list_failing
from tailflip.alerts.rules.moments import Around
from tailflip.alerts.rules.retry import begin_try, end_try, is_due
from tailflip.alerts.rules.standing import change_alerts
from tailflip.alerts.words import Writer, name_host, tell_lost
from tailflip.base import clock, log
from tailflip.flow.alerts import Delivery, Message, MessageKind, Notice, Urgency
from tailflip.flow.late import dataclass
from tailflip.ledger.notices import NEW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tailflip.alerts.conditions import Known
    from tailflip.alerts.rules.choose import Draft, Plan
    from tailflip.flow.alerts import Alert, AlertSettings, Silence
    from tailflip.ledger.history import History

    # Sends one message to the destination of that name.
    Send = Callable[[str, Message], Delivery]

# When the next pass is due, by the wall clock; None where nothing waits.
DUE_FACT = "alerts-due"
_ASKED, _DIGESTS = "alerts-asked", "alerts-digests"
_USUAL = ".openclaw"


@dataclass(frozen=True)
class Turn:
    """What a pass did, and when the next one is due; None where nothing waits for a time.

    `is_news`: what became of its messages is itself something to tell, or the end of it.
    """

    written: int = 0
    delivered: int = 0
    failed: int = 0
    due_ms: int | None = None
    is_news: bool = False

    def plus(self, other: Turn) -> Turn:
        """Add the pass that followed."""
        return Turn(
            self.written + other.written,
            self.delivered + other.delivered,
            self.failed + other.failed,
            other.due_ms,
        )


def take_turn(
    history: History, settings: AlertSettings, send: Send, silence: Silence | None = None
) -> Turn | None:
    """Make one pass for a gateway.

    Returns:
        what it did; None where another pass is at work, which then looks once more by itself.

    Raises:
        TailflipError: the ledger cannot be used.
    """
    home, disk, total = history.workspace.home, history.workspace.disk, None
    has_asked = False
    while True:
        with home.tell(history.guard, disk) as is_ours:
            if is_ours:
                asked = history.facts.get(_ASKED)
                turn = _Pass(history, settings, send, silence).make()
                total = turn if total is None else total.plus(turn)
                if turn.is_news:
                    total = total.plus(_Pass(history, settings, send, silence).make())
        if is_ours:
            if history.facts.get(_ASKED) == asked:
                return total
        elif has_asked or total is not None:
            return total
        else:
            # The other pass may have read the ledger before what we were started for.
            history.facts.put(_ASKED, (history.facts.get(_ASKED) or 0) + 1)
            has_asked = True


def send_test(
    history: History, settings: AlertSettings, send: Send, name: str
) -> tuple[Notice, Delivery]:
    """Send a message to one destination that only shows whether it arrives; it is tried once."""
    now_ms = clock.now_ms()
    subject, body = make_writer(history.guard, settings).write_test(name)
    notice = Notice(NEW, name, MessageKind.TEST, Urgency.NOTICE, (), subject, body, now_ms, tries=1)
    (notice,) = history.notices.write((notice,))
    delivery = _deliver(send, notice, (), body)
    final = Delivery(delivery.delivered, delivery.error, is_final=True)
    ended = end_try(notice, final, clock.now_ms())
    history.notices.note(ended)
    return ended, delivery


def make_writer(guard: str, settings: AlertSettings) -> Writer:
    """Make what writes messages about a gateway of this host."""
    host = socket.gethostname() if settings.host == "auto" else settings.host
    folder = Path(guard).name
    return Writer(name_host(host), "" if folder == _USUAL else _name_gateway(folder))


def _name_gateway(folder: str) -> str:
    return name_host(folder.removeprefix(f"{_USUAL}-").replace(".", " "))


@dataclass(frozen=True)
class _Pass:
    history: History
    settings: AlertSettings
    send: Send
    silence: Silence | None

    @cached_property
    def writer(self) -> Writer:
        """What writes the messages about this gateway."""
        return make_writer(self.history.guard, self.settings)

    def make(self) -> Turn:
        history, settings, now_ms = self.history, self.settings, clock.now_ms()
        alerts = read_alerts(history, now_ms)
        notices = read_notices(history, alerts, now_ms)
        known = read_known(history, settings, notices)
        seen = find_conditions(known, settings, now_ms)
        changed = change_alerts(alerts, seen, settings, self.silence, now_ms)
        if changed:
            history.alerts.put(changed)
            alerts = read_alerts(history, now_ms)
        plan = self._choose(alerts, notices, known, now_ms)
        written = self._write(plan, now_ms)
        if written or plan.replaced:
            notices = read_notices(history, alerts, now_ms)
        delivered, failed = self._send_due(notices)
        now_ms = clock.now_ms()
        if delivered or failed:
            notices = read_notices(history, alerts, now_ms)
        plan = self._choose(alerts, notices, known, now_ms)
        waiting = [each.next_ms for each in notices if each.next_ms is not None]
        dues = [*waiting, plan.due_ms, seen.due_ms, now_ms if plan.drafts else None]
        due_ms = min((each for each in dues if each is not None), default=None)
        history.facts.put(DUE_FACT, due_ms)
        failing = list_failing([each.name for each in settings.destinations], notices)
        return Turn(written, delivered, failed, due_ms, is_news=failing != known.failing)

    def _choose(
        self, alerts: Sequence[Alert], notices: Sequence[Notice], known: Known, now_ms: int
    ) -> Plan:
        digests = self.history.facts.get(_DIGESTS) or {}
        around = Around(self.settings, self.silence, now_ms)
        return choose(alerts, notices, known, digests, around)

    def _write(self, plan: Plan, now_ms: int) -> int:
        """Put what is to be told into the outbox; it is on the medium before anything is sent."""
        made = [_make_notice(self.writer, draft, now_ms) for draft in plan.drafts]
        digests = self.history.facts.get(_DIGESTS) or {}
        facts = {_DIGESTS: dict(plan.digests)} if plan.digests != digests else {}
        self.history.notices.write(made, replaced=plan.replaced, facts=facts)
        return len(made)

    def _send_due(self, notices: Sequence[Notice]) -> tuple[int, int]:
        """Send what is due, oldest first; after a failure its receiver is left alone for now."""
        names = {each.name for each in self.settings.destinations}
        delivered, failed = 0, set()
        for notice in notices:
            if notice.next_ms is None:
                continue
            if notice.destination not in names:
                gone = Delivery(False, "it is not in the settings any more", is_final=True)
                self.history.notices.note(end_try(notice, gone, clock.now_ms()))
                failed.add(notice.destination)
            elif is_due(notice, clock.now_ms()) and notice.destination not in failed:
                if self._try(notice, notices):
                    delivered += 1
                else:
                    failed.add(notice.destination)
        return delivered, len(failed)

    def _try(self, notice: Notice, notices: Sequence[Notice]) -> bool:
        tried = begin_try(notice, clock.now_ms())
        self.history.notices.note(tried)
        names = tuple(self.writer.name(each) for each in notice.alerts)
        body = tell_lost(notice.body, count_lost(notice.destination, notices))
        delivery = _deliver(self.send, notice, names, body)
        ended = end_try(tried, delivery, clock.now_ms())
        self.history.notices.note(ended)
        if not delivery.delivered:
            log.warning(
                "a message was not delivered",
                to=notice.destination,
                notice=notice.number,
                tries=ended.tries,
                error=delivery.error,
            )
        return delivery.delivered


def _make_notice(writer: Writer, draft: Draft, now_ms: int) -> Notice:
    if draft.kind is MessageKind.DIGEST:
        urgency = Urgency.NOTICE
        subject, body = writer.write_digest(draft.lines)
    else:
        urgency = min((each.urgency for each in draft.alerts), key=lambda each: each.rank)
        subject, body = writer.write(draft.kind, draft.alerts, now_ms)
    numbers = tuple(each.number for each in draft.alerts)
    return Notice(
        NEW, draft.destination, draft.kind, urgency, numbers, subject, body, now_ms, next_ms=now_ms
    )


def _deliver(send: Send, notice: Notice, names: tuple[str, ...], body: str) -> Delivery:
    message = Message(
        notice.number, notice.kind, notice.urgency, notice.subject, body, names, notice.made_ms
    )
    try:
        return send(notice.destination, message)
    except Exception as e:  # noqa: BLE001 - a fault in one road must not close the others
        return Delivery(False, f"the sender failed: {type(e).__name__}")
