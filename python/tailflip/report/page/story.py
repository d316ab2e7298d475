"""The story of one incident, as `incidents why` tells it, in words that may be shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import Usage
from tailflip.ledger.history import History
from tailflip.report.narrative import Line, describe_cause, tell
from tailflip.report.page.safe import hide, hide_life, name_place, tell_finding
from tailflip.report.page.view import ShownIncident
from tailflip.stores.archive import list_actions

if TYPE_CHECKING:
    from tailflip.flow.lives import Incident
    from tailflip.ledger.findings import NotedFinding
    from tailflip.stores.archive import Archived

_MOST_LIVES = 2_000
_MOST_DIGITS = 12


def find_incident(history: History, incident_id: str) -> Incident | None:
    """Find an incident by what stands in an address; None for anything else."""
    if not incident_id.isdecimal() or len(incident_id) > _MOST_DIGITS:
        return None
    try:
        return history.incidents.find(incident_id)
    except Usage:
        return None


def tell_story(history: History, incident: Incident) -> tuple[ShownIncident, tuple[Line, ...]]:
    """Tell an incident of this or another gateway of the same ledger."""
    history = History(history.workspace, incident.guard)
    lives = [hide_life(each) for each in history.lives.read(_MOST_LIVES, incident=incident.id)]
    begun_ms = min([incident.opened_ms, *(life.started_ms for life in lives)])
    lines = tell(
        incident,
        lives,
        history.decisions.read_since(begun_ms),
        [_hide_action(each) for each in _list_own(history)],
        [_hide_finding(each) for each in history.findings.read(open_only=False)],
    )
    shown = ShownIncident(
        incident.id,
        incident.cause.value,
        describe_cause(incident.cause),
        incident.opened_ms,
        len(lives),
        incident.acked_ms is not None,
    )
    return shown, tuple(Line(each.at_ms, hide(each.text)) for each in lines)


def _list_own(history: History) -> list[Archived]:
    below = f"{history.guard}/"
    return [each for each in list_actions(history.workspace) if each.action.store.startswith(below)]


def _hide_action(archived: Archived) -> Archived:
    place = name_place(archived.action.store)
    return replace(archived, action=archived.action.model_copy(update={"store": place}))


def _hide_finding(noted: NotedFinding) -> NotedFinding:
    old = noted.finding
    told = replace(old, subject=old.code, message=tell_finding(old), hint="", evidence=())
    return replace(noted, finding=told)
