"""`tailflip incidents`: list incidents, and tell their stories in plain words."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import Usage
from tailflip.base.render import escape, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import (
    format_bytes,
    format_count,
    format_counted,
    format_moment,
    format_span,
    format_time,
)
from tailflip.base.workspace import Workspace
from tailflip.cli.completion import offer_incidents
from tailflip.cli.options import AsJson, Profile, StateDir, stand_for_group
from tailflip.diagnose.causes import choose_step
from tailflip.ledger.history import History
from tailflip.observe.installation import choose_owned
from tailflip.report.narrative import describe_cause, tell
from tailflip.report.status import CountedIncident
from tailflip.report.subject import find_subject
from tailflip.stores.archive import list_actions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.lives import Incident, Life
    from tailflip.stores.archive import Archived

app = typer.Typer(
    help="List incidents, tell the story of one, or note that you have seen it.",
    rich_markup_mode=None,
    invoke_without_command=True,
)

_MOST_LIVES = 2_000
_MOST_EVIDENCE = 10

IncidentId = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        help="An incident's number, from `tailflip incidents`; without it, the newest, or for "
        "`ack` the only open one.",
        autocompletion=offer_incidents,
    ),
]


@app.command("list")
def list_(*, state_dir: StateDir = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """List the incidents of the guarded gateway, newest first; this is what happens by default."""
    subject = find_subject(state_dir, profile)
    incidents = subject.history.incidents.read()
    counts = subject.history.lives.count_deaths()
    if as_json:
        from tailflip.cli.answers.verbs import IncidentsList  # noqa: PLC0415 - for --json

        both = [CountedIncident(each, counts.get(each.id, 0)) for each in incidents]
        IncidentsList.to(incidents=both, notes=subject.notes).say()
        return
    if incidents:
        now_ms = clock.now_ms()
        rows = [_row(each, counts.get(each.id, 0), now_ms) for each in incidents]
        head = ["id", "state", "opened", "cause", "lasted", "deaths"]
        print(format_table(head, rows, indent="", left=4))
    else:
        print(f"no incidents of {escape(subject.history.guard)}", file=sys.stderr)
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)


stand_for_group(app, list_)


def _row(incident: Incident, deaths: int, now_ms: int) -> list[str]:
    state = "open" if incident.closed_ms is None else "over"
    if incident.acked_ms is not None:
        state += ", seen"
    lasted = format_span((incident.closed_ms or now_ms) - incident.opened_ms)
    opened = format_moment(incident.opened_ms, now_ms)
    cause = incident.cause.value
    return [escape(incident.id), state, opened, cause, lasted, format_count(deaths)]


@app.command()
def why(
    incident_id: IncidentId = None,
    *,
    stderr: Annotated[
        bool,
        typer.Option(
            "--stderr",
            help="Print the last that the gateway wrote to stderr instead; it may hold secrets.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the story of an incident: what happened, why, what was done, how to undo it."""
    history = _open()
    incident = _find_newest() if incident_id is None else history.incidents.find(incident_id)
    history = History(history.workspace, incident.guard)
    lives = history.lives.read(_MOST_LIVES, incident=incident.id)
    kept = next((life.id for life in lives if history.lives.read_stderr(life.id)), None)
    if stderr:
        if as_json:
            text = history.lives.read_stderr(kept) if kept is not None else b""
            _answer(incident, stderr_life_id=kept, stderr=text.decode("utf-8", "replace"))
        else:
            _print_stderr(history, lives)
        return
    followed = _find_what_followed(history, incident, lives)
    lines = tell(
        incident,
        [*followed, *lives],
        history.decisions.read_since(
            min([incident.opened_ms, *(each.started_ms for each in lives)])
        ),
        _list_own_actions(history),
        history.findings.read(open_only=False),
        undecided=_find_undecided(history),
    )
    evidence = _gather_evidence(lives)
    step = _choose_step(incident, lives, followed, heard=kept is not None)
    if as_json:
        _answer(
            incident,
            story=lines,
            lives=lives,
            evidence=evidence,
            next_step=step,
            stderr_life_id=kept,
        )
        return
    over = "over" if incident.closed_ms is not None else "open"
    print(f"incident {escape(incident.id)} ({over}): {describe_cause(incident.cause)}")
    deaths = f"{format_counted(len(lives), 'death')} ({escape(incident.signature)})"
    since = format_moment(incident.opened_ms, clock.now_ms())
    print(f"gateway {escape(incident.guard)}, {deaths}, since {since}\n")
    for line in lines:
        print(f"{format_time(line.at_ms)}  {escape(line.text)}")
    if evidence:
        print("\nevidence")
    for item in evidence:
        print(f"  {escape(item)}")
    if step is not None:
        print(f"\nnext: {escape(step)}")
    if kept is not None:
        size = format_bytes(len(history.lives.read_stderr(kept)))
        print(f"\nthe last {size} of its stderr: tailflip incidents why {incident.id} --stderr")
    if incident.acked_ms is None:
        print(f"\nyou have seen it: tailflip incidents ack {incident.id}")


@app.command()
def ack(
    incident_id: IncidentId = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every open incident.")] = False,
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="What others should know.")
    ] = "",
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who has seen it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Note that you have seen an incident: `status` calls no longer, and reminders end."""
    from tailflip.alerts.seen import note_incident  # noqa: PLC0415 - this verb alone

    if incident_id is not None and every:
        raise Usage("an incident or --all, not both", hint="leave one of them out")
    ids = [incident_id] if incident_id is not None else _list_open(every=every)
    history, seen = _open(), []
    for incident in map(history.incidents.find, ids):
        own = History(history.workspace, incident.guard)
        seen.append(note_incident(own, incident, clock.now_ms(), by, note))
    if as_json:
        from tailflip.cli.answers.verbs import IncidentsAck  # noqa: PLC0415 - for --json

        IncidentsAck.to(incident=seen[0], incidents=seen).say()
        return
    for incident in seen:
        when = format_moment(incident.acked_ms or 0, clock.now_ms())
        who = f" by {escape(incident.acked_by)}" if incident.acked_by else ""
        print(f"incident {escape(incident.id)} is noted as seen{who} since {when}")


def _answer(incident: Incident, **told: Any) -> None:
    from tailflip.cli.answers.verbs import IncidentsWhy  # noqa: PLC0415 - for --json

    IncidentsWhy.to(incident=incident, **told).say()


def _open() -> History:
    """Open the record by an incident's id, for any gateway."""
    return History(Workspace(Home.locate(os.environ), RealDisk()), "")


def _find_newest() -> Incident:
    history = find_subject(None, None).history
    for incident in history.incidents.read(1):
        return incident
    raise Usage(
        f"no incidents of {history.guard}",
        hint="none of its deaths was seen by tailflip; `tailflip check` says what is wrong, "
        "`tailflip archive list` what was done",
    )


def _list_open(*, every: bool) -> list[str]:
    """List the open incidents of the gateway, newest first; one where not all are meant."""
    history = find_subject(None, None).history
    found = [each.id for each in history.incidents.read() if each.closed_ms is None]
    if not found:
        raise Usage(
            f"no incident is open of {history.guard}",
            hint="one that is over is named by its number, from `tailflip incidents`",
        )
    if len(found) > 1 and not every:
        many = f"{format_counted(len(found), 'incident')} are open: {', '.join(found)}"
        raise Usage(many, hint="name one, or say --all")
    return found


def _find_what_followed(
    history: History, incident: Incident, lives: Sequence[Life]
) -> tuple[Life, ...]:
    """Find the life that came after the last death: the cure, if the incident is over."""
    known = {life.id for life in lives}
    last_ms = max([incident.opened_ms, *(life.started_ms for life in lives)])
    later = [
        life
        for life in history.lives.read(_MOST_LIVES)
        if life.id not in known and life.started_ms >= last_ms
    ]
    return tuple(later[-1:])


def _find_undecided(history: History) -> Life | None:
    last = next(iter(history.lives.read(1)), None)
    return last if last is not None and history.decisions.is_undecided(last) else None


def _list_own_actions(history: History) -> tuple[Archived, ...]:
    is_own = choose_owned(os.environ, Path(history.guard))
    return tuple(each for each in list_actions(history.workspace) if is_own(each.action.store))


def _gather_evidence(lives: Sequence[Life]) -> tuple[str, ...]:
    """List the evidence of the verdicts, each item once, newest first."""
    items = (item for life in lives if life.death is not None for item in life.death.evidence)
    return tuple(dict.fromkeys(items))[:_MOST_EVIDENCE]


def _choose_step(
    incident: Incident, lives: Sequence[Life], followed: Sequence[Life], *, heard: bool
) -> str | None:
    """Choose the next step for the newest death of an open incident."""
    if incident.closed_ms is not None:
        return None
    if lives and lives[0].cured and any(life.ended_ms is None for life in followed):
        return "nothing to do: it was cured, and is over once the gateway has lived well"
    for life in lives:
        if life.death is not None:
            death = life.death
            return choose_step(death.cause, death.hint, life.version, heard=heard)
    return None


def _print_stderr(history: History, lives: Sequence[Life]) -> None:
    """Print the newest tail of standard error line by line, safe for a terminal."""
    for life in lives:
        tail = history.lives.read_stderr(life.id)
        if tail:
            when = format_time(life.ended_ms or life.started_ms)
            print(f"of the life that ended {when}", file=sys.stderr)
            for line in tail.decode("utf-8", "surrogateescape").split("\n"):
                print(escape(line.replace("\t", "    ")))
            return
    print("no stderr is kept of this incident", file=sys.stderr)
