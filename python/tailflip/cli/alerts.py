"""`tailflip alerts`: what people were told, what waits, and whether messages arrive."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TryLater, Unavailable, Usage
from tailflip.base.render import escape, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import format_ago, format_count, format_counted, format_moment
from tailflip.base.workspace import Workspace
from tailflip.cli.completion import offer_alerts
from tailflip.cli.options import AsJson, Profile, StateDir, end_with, stand_for_group
from tailflip.flow.alerts import MessageKind
from tailflip.ledger.history import History
from tailflip.report.subject import find_subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.alerts.words import Writer
    from tailflip.base.errors import TailflipError
    from tailflip.flow.alerts import Alert, AlertSettings, Notice
    from tailflip.report.subject import Subject

app = typer.Typer(
    help="Show the open alerts and what was sent, note that you have seen one, send a test.",
    rich_markup_mode=None,
    invoke_without_command=True,
)

_MOST_NOTICES = 20
_PAGE = "docs/alerts.md shows how to name one"

AlertId = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        help="An alert's name, from its messages or from `tailflip alerts`; without it, the only "
        "open one.",
        autocompletion=offer_alerts,
    ),
]
By = Annotated[str, typer.Option("--by", metavar="WHO", help="Who has seen it.")]
Note = Annotated[
    str,
    typer.Option(
        "--note", metavar="TEXT", help="What others should know; it is told with the recovery."
    ),
]


@app.command("list")
def list_(*, state_dir: StateDir = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """List the open alerts, what was sent of late, and what waits; this happens by default."""
    from tailflip.alerts.turn import DUE_FACT  # noqa: PLC0415 - this verb alone

    subject = find_subject(state_dir, profile)
    settings, writer = _choose(subject)
    alerts = _read_open(subject.history)
    notices = subject.history.notices.read_last(_MOST_NOTICES)
    first_ms = min((each.first_ms for each in alerts), default=clock.now_ms())
    about = subject.history.notices.read(first_ms)
    if as_json:
        from tailflip.cli.answers.alerts import AlertsList  # noqa: PLC0415 - for --json

        AlertsList.to(
            alerts=[_describe(writer, each, about) for each in alerts],
            messages=[_describe_notice(writer, each) for each in notices],
            destinations=[each.name for each in settings.destinations],
            due_ms=subject.history.facts.get(DUE_FACT),
            notes=subject.notes,
        ).say()
        return
    now_ms = clock.now_ms()
    _print_alerts(writer, alerts, about, now_ms)
    _print_notices(notices, now_ms)
    if not settings.destinations:
        print(f"nobody is told: the settings name no destination; {_PAGE}", file=sys.stderr)
    _print_notes(subject)


stand_for_group(app, list_)


@app.command("test")
def try_out(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A destination of the settings; without it, all of them."
        ),
    ] = None,
    *,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Send a message that says nothing is wrong, and say whether it arrived."""
    from tailflip.alerts.sending.deliver import Sender  # noqa: PLC0415 - this verb and `flush`
    from tailflip.alerts.turn import send_test  # noqa: PLC0415

    subject = find_subject(state_dir, profile)
    settings, writer = _choose(subject)
    names = _choose_names(name, settings)
    send = Sender(subject.config.alerts.to, os.environ).send
    sent = [send_test(subject.history, settings, send, each)[0] for each in names]
    lost = [each for each in sent if each.delivered_ms is None]
    if as_json:
        from tailflip.cli.answers.alerts import AlertsTest  # noqa: PLC0415 - for --json

        messages = [_describe_notice(writer, each) for each in sent]
        failed = [_fail(each) for each in lost]
        AlertsTest.to(failed=failed, messages=messages, notes=subject.notes).say()
    else:
        for each in sent:
            if each.delivered_ms is not None:
                print(f"{escape(each.destination)}: delivered")
        _print_notes(subject)
    end_with([_fail(each) for each in lost])


@app.command()
def ack(
    alert_id: AlertId = None,
    *,
    note: Note = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Note that you have seen an alert: reminders end, and nobody else is called."""
    from tailflip.alerts.seen import note_alert  # noqa: PLC0415 - this verb alone

    history = History(Workspace(Home.locate(os.environ), RealDisk()), "")
    alert = history.alerts.find(alert_id) if alert_id is not None else _find_only()
    own = History(history.workspace, history.alerts.find_guard(alert))
    seen = note_alert(own, alert, clock.now_ms(), by, note)
    settings, writer = _choose(find_subject(None, None))
    if as_json:
        from tailflip.cli.answers.alerts import AlertsAck  # noqa: PLC0415 - for --json

        AlertsAck.to(alert=_describe(writer, seen, own.notices.read(seen.first_ms))).say()
        return
    when = format_moment(seen.acked_ms or 0, clock.now_ms())
    who = f" by {escape(seen.by)}" if seen.by else ""
    print(f"alert {writer.name(seen.number)} is noted as seen{who} since {when}")
    if settings.destinations and seen.is_open:
        print("no more reminders; its end is told")


@app.command()
def flush(*, state_dir: StateDir = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Look what is to be told, and try now whatever waits for a receiver."""
    from tailflip.alerts.reading import read_silence  # noqa: PLC0415
    from tailflip.alerts.sending.deliver import Sender  # noqa: PLC0415 - this verb and `test`
    from tailflip.alerts.turn import take_turn  # noqa: PLC0415

    subject = find_subject(state_dir, profile)
    settings, writer = _choose(subject)
    history = subject.history
    now_ms = clock.now_ms()
    if any(each.next_ms is not None for each in history.notices.read(now_ms)):
        history.notices.hasten(now_ms)
    send = Sender(subject.config.alerts.to, os.environ).send
    done = take_turn(history, settings, send, read_silence(history))
    if done is None:
        raise TryLater(
            "messages are being sent by another tailflip; it looks once more when it is done",
            hint="`tailflip alerts` shows what became of them",
        )
    waiting = [each for each in history.notices.read(clock.now_ms()) if each.next_ms is not None]
    lost: list[TailflipError] = [_fail(*waiting)] if done.failed and waiting else []
    if as_json:
        from tailflip.cli.answers.alerts import AlertsFlush  # noqa: PLC0415 - for --json

        AlertsFlush.to(
            failed=lost,
            written=done.written,
            delivered=done.delivered,
            unreached=done.failed,
            messages=[_describe_notice(writer, each) for each in waiting],
            due_ms=done.due_ms,
            notes=subject.notes,
        ).say()
    else:
        many = format_counted(done.delivered, "message")
        print(f"{many} delivered, {format_count(len(waiting))} waiting")
        _print_notes(subject)
    end_with(lost)


def _choose(subject: Subject) -> tuple[AlertSettings, Writer]:
    from tailflip.alerts.turn import make_writer  # noqa: PLC0415 - help does without

    config = subject.config
    settings = config.alerts.choose(config.health.start_patience_s)
    return settings, make_writer(subject.history.guard, settings)


def _choose_names(name: str | None, settings: AlertSettings) -> list[str]:
    names = [each.name for each in settings.destinations]
    if not names:
        raise Usage("the settings name no destination", hint=_PAGE)
    if name is not None and name not in names:
        raise Usage(f"no such destination: {name}", hint=f"there is {', '.join(names)}")
    return names if name is None else [name]


def _read_open(history: History) -> tuple[Alert, ...]:
    return tuple(each for each in history.alerts.read(clock.now_ms()) if each.is_open)


def _find_only() -> Alert:
    history = find_subject(None, None).history
    found = _read_open(history)
    if not found:
        raise Usage(f"no alert is open of {history.guard}", hint="see `tailflip alerts`")
    if len(found) > 1:
        numbers = ", ".join(str(each.number) for each in found)
        many = format_counted(len(found), "alert")
        raise Usage(f"{many} are open: {numbers}", hint="name one")
    return found[0]


def _print_alerts(
    writer: Writer, alerts: Sequence[Alert], about: Sequence[Notice], now_ms: int
) -> None:
    if not alerts:
        print("no alert is open")
        return
    rows = [
        [
            writer.name(each.number),
            each.urgency.value,
            escape(each.words.title),
            format_moment(each.since_ms, now_ms),
            ", ".join(map(escape, _list_told(each, about))) or "nobody yet",
            "seen" if each.acked_ms is not None else "",
        ]
        for each in alerts
    ]
    head = ["alert", "urgency", "what", "since", "told", ""]
    print(format_table(head, rows, indent="", left=6))
    for each in alerts:
        print(f"\n{writer.name(each.number)}: {escape(each.words.what)}")
        if each.words.done:
            print(f"  done: {escape(each.words.done)}")
        print(f"  next: {escape(each.words.step)}")
        if each.words.undo:
            print(f"  undo: {escape(each.words.undo)}")
        if each.note:
            print(f"  note: {escape(each.note)}")


def _print_notices(notices: Sequence[Notice], now_ms: int) -> None:
    if not notices:
        return
    rows = [
        [
            format_ago(each.made_ms, now_ms),
            escape(each.destination),
            escape(each.subject),
            _tell_state(each, now_ms),
        ]
        for each in notices
    ]
    print("\nlast messages")
    print(format_table(["written", "to", "what", "state"], rows, indent="", left=4))


def _print_notes(subject: Subject) -> None:
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)


def _tell_state(notice: Notice, now_ms: int) -> str:
    if notice.next_ms is None:
        return name_state(notice)
    again = format_ago(max(notice.next_ms, now_ms), now_ms)
    why = f": {escape(notice.error)}" if notice.error else ""
    return f"waiting, next try {again}{why}"


def name_state(notice: Notice) -> str:
    """Name how a message fares."""
    if notice.next_ms is not None:
        return "waiting"
    if notice.delivered_ms is not None:
        return "delivered"
    return "given-up" if notice.given_up_ms is not None else "replaced"


def _list_told(alert: Alert, about: Sequence[Notice]) -> list[str]:
    told = (
        each.destination
        for each in about
        if alert.number in each.alerts and each.delivered_ms is not None
    )
    return list(dict.fromkeys(told))


def _describe(writer: Writer, alert: Alert, about: Sequence[Notice]) -> dict[str, Any]:
    words = alert.words
    names = ("code", "subject", "urgency", "since_ms", "opened_ms", "cleared_ms", "closed_ms")
    return {
        "id": writer.name(alert.number),
        **{name: getattr(alert, name) for name in (*names, "acked_ms", "note", "times")},
        "acked_by": alert.by,
        "title": words.title,
        "what": words.what,
        "done": words.done,
        "next_step": words.step,
        "undo": words.undo,
        "told": _list_told(alert, about),
    }


def _describe_notice(writer: Writer, notice: Notice) -> dict[str, Any]:
    names = ("number", "destination", "kind", "urgency", "subject", "made_ms", "tries")
    return {
        **{name: getattr(notice, name) for name in (*names, "next_ms", "delivered_ms", "error")},
        "alert_ids": [writer.name(each) for each in notice.alerts],
        "state": name_state(notice),
    }


def _fail(*notices: Notice) -> Unavailable:
    """Say which destinations could not be reached, and why."""
    errors = {each.destination: each.error for each in notices if each.error}
    told = "; ".join(f"{name}: {error}" for name, error in errors.items())
    is_test = all(each.kind is MessageKind.TEST for each in notices)
    kept = "what is to be told is kept, and tried again for a day; see `tailflip alerts`"
    again = "correct its address, and try `tailflip alerts test` again"
    return Unavailable(f"not delivered: {told}", hint=again if is_test else kept)
