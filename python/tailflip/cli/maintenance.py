"""`tailflip maintenance`: a person works on the gateway, and tailflip keeps its hands off."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.errors import TryLater, Usage
from tailflip.base.moments import read_moment
from tailflip.base.openclaw_units import parse_length_option
from tailflip.base.render import escape, format_maintenance
from tailflip.base.state_dir import Presence
from tailflip.base.units import format_ago, format_moment, format_span, format_time
from tailflip.cli.options import AsJson, Profile, StateDir, stand_for_group
from tailflip.flow.maintenance import MOST_MS, Maintenance, MaintenanceEnd
from tailflip.report.subject import find_subject
from tailflip.supervise.process.child import take_over

if TYPE_CHECKING:
    from tailflip.base.workspace import Workspace
    from tailflip.ledger.history import History
    from tailflip.report.subject import Subject

app = typer.Typer(
    help="Say that you work on the gateway: tailflip keeps its hands off until a set end.",
    rich_markup_mode=None,
    invoke_without_command=True,
)

_MOST_TEXT = 200
_PATIENCE_S, _LOOK_S = 60.0, 0.2
_UNDO = "tailflip maintenance off"
_ENDED = {
    MaintenanceEnd.TIME: "by its time",
    MaintenanceEnd.OFF: "by hand",
    MaintenanceEnd.COMMAND: "with its command",
}

Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; `status` and messages show it.")
]
By = Annotated[str, typer.Option("--by", metavar="WHO", help="Who works on it.")]
QuietOnly = Annotated[
    bool,
    typer.Option("--quiet-only", help="Silence alerts alone; tailflip heals and starts as ever."),
]


@app.command()
def on(
    *,
    length: Annotated[
        str,
        typer.Option(
            "--for", metavar="TIME", help="How long at most, such as 2h; no more than 24h."
        ),
    ],
    reason: Reason = "",
    by: By = "",
    quiet_only: QuietOnly = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Begin a maintenance; given again, it lasts that long from now on.

    Until it ends nothing is healed, slimmed, reconciled or held by itself, and no gateway is
    restarted for a hang or for memory. Under `run`, a gateway that ends stays down until then, and
    is started at the end. `gate` and `preflight` refuse only a start that would destroy data. What
    you ask for yourself works as ever: `compact --apply`, `retry`.
    """
    length_ms = _read_length(length)
    subject = find_subject(state_dir, profile)
    begun = subject.history.maintenances.begin(
        length_ms, read_moment(), reason=_clean(reason), by=_clean(by), quiet_only=quiet_only
    )
    guard_pid = _wake(subject.history)
    is_idle = quiet_only or _await_hands(subject.history.workspace)
    if as_json:
        from tailflip.cli.answers.maintenance import MaintenanceOn  # noqa: PLC0415 - for --json

        MaintenanceOn.to(
            maintenance=begun, guard_pid=guard_pid, is_idle=is_idle, notes=subject.notes
        ).say()
        return
    print(f"{escape(format_maintenance(begun))}, {format_ago(begun.until_ms, clock.now_ms())}")
    what = "alerts are silent" if quiet_only else "tailflip keeps its hands off"
    print(f"{what}: {escape(subject.history.guard)}")
    print(f"undo: {_UNDO}")
    if not is_idle:
        print("note: a tailflip is still at work on a store; it ends by itself", file=sys.stderr)
    _print_notes(subject)


@app.command()
def off(*, state_dir: StateDir = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """End the maintenance now; a gateway that is down under `run` is started."""
    subject = find_subject(state_dir, profile)
    ended = subject.history.maintenances.end(read_moment())
    guard_pid = _wake(subject.history) if ended is not None else None
    if as_json:
        from tailflip.cli.answers.maintenance import MaintenanceOff  # noqa: PLC0415 - for --json

        MaintenanceOff.to(maintenance=ended, guard_pid=guard_pid, notes=subject.notes).say()
        return
    if ended is None:
        print("no maintenance is on; nothing was changed")
    else:
        lasted = format_span((ended.ended_ms or ended.began_ms) - ended.began_ms)
        print(f"the maintenance is over, after {lasted}: {escape(subject.history.guard)}")
        if guard_pid is not None:
            print(f"its guard, pid {guard_pid}, is at work again; it starts a gateway that is down")
    _print_notes(subject)


@app.command()
def status(*, state_dir: StateDir = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Say whether a maintenance is on; this is what happens by default. Changes nothing."""
    subject = find_subject(state_dir, profile)
    active = subject.history.read_maintenance()
    past = [each for each in subject.history.maintenances.read(5) if each.ended_ms is not None]
    if as_json:
        from tailflip.cli.answers.maintenance import MaintenanceStatus  # noqa: PLC0415 - for --json

        MaintenanceStatus.to(maintenance=active, past=past, notes=subject.notes).say()
        return
    now_ms = clock.now_ms()
    if active is None:
        print(f"no maintenance is on: {escape(subject.history.guard)}")
    else:
        print(f"{escape(format_maintenance(active))}, {format_ago(active.until_ms, now_ms)}")
        by = f", by {escape(active.by)}" if active.by else ""
        print(f"since {format_moment(active.began_ms, now_ms)}{by}; undo: {_UNDO}")
    for each in past:
        print(_describe_past(each))
    _print_notes(subject)


stand_for_group(app, status)


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARGUMENTS]", show_default=False)
    ],
    *,
    length: Annotated[
        str,
        typer.Option(
            "--for", metavar="TIME", help="How long at most, if COMMAND does not end before."
        ),
    ] = "1h",
    reason: Reason = "",
    by: By = "",
    quiet_only: QuietOnly = False,
    state_dir: StateDir = None,
    profile: Profile = None,
) -> int:
    """Run COMMAND in a maintenance, which ends with it; its exit code is passed on.

    In one that is on already, COMMAND is run, and the maintenance stays on after it.
    """
    from tailflip.cli.wrapped import run_wrapped  # noqa: PLC0415 - this verb alone

    length_ms = _read_length(length)
    subject = find_subject(state_dir, profile)
    table, name = subject.history.maintenances, PurePath(command[0]).name
    active = subject.history.read_maintenance()
    if active is not None and active.command is not None:
        raise TryLater(
            f"a maintenance is on for `{active.command}`; nothing was changed",
            hint=f"wait for its end, or end it with `{_UNDO}`",
        )
    if active is not None:
        _say(f"{format_maintenance(active)} is on already, and stays on after `{name}`")
        return run_wrapped(command)
    begun = table.begin(
        length_ms,
        read_moment(),
        reason=_clean(reason),
        by=_clean(by),
        quiet_only=quiet_only,
        command=_clean(name),
    )
    _say(f"{format_maintenance(begun)}, or until `{name}` ends")
    try:
        _wake(subject.history)
        if not quiet_only and not _await_hands(subject.history.workspace):
            _say("note: a tailflip is still at work on a store; it ends by itself")
        code = run_wrapped(command)
    finally:
        ended = table.end(read_moment(), wrapped=begun)
        _wake(subject.history)
        told = "the maintenance is over" if ended else "the maintenance did not end with it"
        is_over = ended is None and subject.history.read_maintenance() is None
        _say("the maintenance was over before" if is_over else told)
    return code


def _read_length(text: str) -> int:
    length_ms = parse_length_option("--for", text)
    if not 0 < length_ms <= MOST_MS:
        raise Usage(
            f"--for must be more than 0 and at most 24h: {text}",
            hint="a maintenance ends by itself; give --for again to make it longer",
        )
    return length_ms


def _clean(text: str) -> str:
    """Make one line of a person's text: it is shown in statuses, logs and messages."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())[:_MOST_TEXT]


def _wake(history: History) -> int | None:
    """Let the gateway's `run` look into the ledger at once; return its pid."""
    supervisor = history.workspace.home.read_supervisor(history.guard)
    if supervisor is None or supervisor.mode is not Presence.RUN or not supervisor.pid:
        return None
    with suppress(PermissionError):
        # It looks by itself before every act; this saves the gateway a wait.
        take_over(supervisor.pid).send(signal.SIGCONT)
    return supervisor.pid


def _await_hands(workspace: Workspace) -> bool:
    """Wait until no tailflip is at work on a store; False if one still is after a minute."""
    until_s = clock.monotonic_s() + _PATIENCE_S
    while True:
        try:
            with workspace.home.claim(workspace.disk):
                return True
        except TryLater:
            if clock.monotonic_s() >= until_s:
                return False
            clock.sleep_s(_LOOK_S)


def _describe_past(past: Maintenance) -> str:
    ended_ms = past.ended_ms or past.began_ms
    how = "" if past.end is None else f", ended {_ENDED[past.end]}"
    why = f": {escape(past.reason)}" if past.reason else ""
    lasted = format_span(ended_ms - past.began_ms)
    return f"before: {format_time(past.began_ms)}, {lasted}{how}{why}"


def _say(text: str) -> None:
    print(f"tailflip: {escape(text)}", file=sys.stderr, flush=True)


def _print_notes(subject: Subject) -> None:
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
