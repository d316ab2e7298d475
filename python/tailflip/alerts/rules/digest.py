"""The daily digest: what was healed, what came and went, and what needs nobody at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tailflip.alerts.outage import is_failure
from tailflip.alerts.rules.moments import choose_quiet
from tailflip.alerts.rules.quiet import find_last, find_loud, find_next
from tailflip.alerts.table import find_row
from tailflip.base.units import format_counted
from tailflip.flow.alerts import Urgency
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.alerts.conditions import Known
    from tailflip.alerts.rules.moments import Around
    from tailflip.alerts.rules.told import Told
    from tailflip.flow.alerts import Alert, Destination

_MOST_TITLES = 8
_BY_ITSELF = {
    ActionKind.COMPACT: "compaction",
    ActionKind.SALVAGE: "salvage",
    ActionKind.MARKERS: "clearing of marks",
    ActionKind.HOLD: "hold",
    ActionKind.TASKS: "end of tasks",
    ActionKind.HEADERS: "new header of a transcript",
}


@dataclass(frozen=True)
class Digest:
    """The lines of a digest, if one is due.

    `until_ms` is up to when it tells, None where none is due. `due_ms` is when the next one is.
    """

    lines: tuple[str, ...] = ()
    until_ms: int | None = None
    due_ms: int | None = None


def digest(
    known: Known,
    alerts: Sequence[Alert],
    to: Destination,
    told: Told,
    *,
    since_ms: int | None,
    around: Around,
) -> Digest:
    """Write the digest of a destination, if its time has come.

    Args:
        known: what the ledger holds.
        alerts: the open ones and those closed of late.
        to: whose digest it is; who hears of what is critical alone has none.
        told: what it was told of already.
        since_ms: up to when it had its last one; None: it never had one, and counts from now.
        around: when it is due, and the present moment.
    """
    settings, now_ms = around.settings, around.now_ms
    if not settings.digest or to.least is Urgency.CRITICAL or to.after_ms:
        return Digest()
    next_ms = find_next(now_ms, settings.digest)
    if since_ms is None:
        return Digest((), now_ms, next_ms)
    loud_ms = find_loud(now_ms, choose_quiet(to, settings))
    if since_ms >= find_last(now_ms, settings.digest):
        return Digest((), None, next_ms)
    if loud_ms > now_ms:
        return Digest((), None, loud_ms)
    lines = (
        *_tell_deaths(known, since_ms),
        *_tell_actions(known, since_ms),
        *_tell_gone(alerts, to, told, since_ms),
        *_tell_notices(alerts, to),
    )
    return Digest(lines, now_ms, next_ms)


def _tell_deaths(known: Known, since_ms: int) -> Iterator[str]:
    """Tell the deaths; those that are not healed were told as an outage."""
    causes = Counter(
        "it could not be started" if each.death is None else each.death.cause.value
        for each in known.lives
        if is_failure(each) and (each.ended_ms or 0) > since_ms
    )
    if causes:
        many = format_counted(causes.total(), "death")
        told = ", ".join(f"{cause} {count}" for cause, count in causes.most_common())
        is_up = known.lives[0].ended_ms is None
        yield f"{many} of the gateway, {'started again' if is_up else 'not healed'}: {told}"


def _tell_actions(known: Known, since_ms: int) -> Iterator[str]:
    kinds = Counter(
        each.kind
        for each in known.actions
        if each.created_ms > since_ms and each.state is State.DONE and each.kind in _BY_ITSELF
    )
    if kinds:
        told = ", ".join(format_counted(count, _BY_ITSELF[kind]) for kind, count in kinds.items())
        yield f"healed: {told} (`tailflip archive list`)"


def _tell_gone(
    alerts: Sequence[Alert], to: Destination, told: Told, since_ms: int
) -> Iterator[str]:
    """Tell what came and went without a message."""
    gone = [
        each
        for each in alerts
        if each.closed_ms is not None
        and each.closed_ms > since_ms
        and each.urgency is not Urgency.NOTICE
        and each.urgency.rank <= to.least.rank
        and not told.list_present(each)
        and not told.knows_end(each)
    ]
    during = [each for each in gone if each.maintained]
    for words, chosen in (
        ("came and went", [each for each in gone if not each.maintained]),
        ("came and went during maintenance", during),
    ):
        if chosen:
            yield f"{words}: {_list_titles(chosen)}"


def _tell_notices(alerts: Sequence[Alert], to: Destination) -> Iterator[str]:
    """Tell what stands and needs nobody at once, to those who want to know."""
    standing = [each for each in alerts if each.is_open and each.urgency is Urgency.NOTICE]
    if standing and to.least is Urgency.NOTICE:
        yield f"stands: {_list_titles(standing)} (`tailflip check`)"


def _list_titles(alerts: Sequence[Alert]) -> str:
    titles = Counter(find_row(each.code).title for each in alerts)
    told = [title if count == 1 else f"{title} ({count})" for title, count in titles.most_common()]
    more = len(told) - _MOST_TITLES
    return ", ".join(told[:_MOST_TITLES]) + (f" and {more} more" if more > 0 else "")
