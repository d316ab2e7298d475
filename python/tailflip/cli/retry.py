"""`tailflip retry`: after a repair, try to start the gateway now instead of waiting."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base.errors import TryLater
from tailflip.base.render import escape
from tailflip.base.state_dir import Presence
from tailflip.cli.options import AsJson, Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.diagnose.causes import WAITS
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Waiting
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.process import is_alive
from tailflip.report.installed import find_installed
from tailflip.report.subject import find_subject
from tailflip.supervise.process.child import take_over

if TYPE_CHECKING:
    from tailflip.ledger.history import History
    from tailflip.report.subject import Subject


@dataclass(frozen=True)
class Asked:
    """What was asked, and of whom.

    `asked` False: a gateway lives, and nothing waits. `pid` is of the process that waits, None
    where the next start honours the wish. `waited_for` is the reason of the wait, if it is known.
    """

    asked: bool
    pid: int | None
    waited_for: str | None
    next_step: str


def retry(*, state_dir: StateDir = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Try to start the gateway now, whatever its guard waits for: for after a repair.

    `run` that waits makes a trial at once, and so does a `gate` that is parked. Otherwise the next
    start through `gate`, `preflight` or `run` is one. If the trial fails, the wait begins anew. A
    living gateway is left alone, and so are its stores.
    """
    subject = find_subject(state_dir, profile)
    asked = _ask(subject)
    if as_json:
        from tailflip.cli.answers.verbs import Retry  # noqa: PLC0415 - for --json

        Retry.to(**vars(asked), notes=subject.notes).say()
    else:
        print(_tell(asked))
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)


def _ask(subject: Subject) -> Asked:
    """Leave the wish on record, and wake who waits.

    Raises:
        TryLater: another gateway lives there, and a second one would be refused.
    """
    history, standing = subject.history, subject.history.decisions.read_standing()
    waits_for_other = standing is not None and standing.waiting is Waiting.OTHER_INSTANCE
    living = _find_living(subject)
    if living is not None and waits_for_other:
        raise TryLater(
            f"another gateway lives here, pid {living}: a start would be refused; "
            "nothing was changed",
            hint=WAITS[Waiting.OTHER_INSTANCE].next_step,
        )
    if living is not None:
        return Asked(False, living, None, "`tailflip status` shows how it fares")
    last = next(iter(history.lives.read(1)), None)
    history.starts.ask_trial(last.id if last is not None else None)
    start = history.starts.read_last()
    waited = standing.reason if standing is not None else None
    if waited is None and start is not None and not start.go:
        waited = start.reason
    pid = _find_waiting(history)
    if pid is None:
        return Asked(True, None, waited, _name_start(history))
    with suppress(PermissionError):
        # It looks by itself every few seconds; this only saves them.
        take_over(pid).send(signal.SIGCONT)
    return Asked(True, pid, waited, "`tailflip status` shows what comes of it")


def _find_living(subject: Subject) -> int | None:
    """Find the living gateway: by its own records, else by ours."""
    if subject.installation is not None:
        gateway = read_gateway(subject.installation, os.environ)
        if gateway.alive is True:
            return gateway.pid
    last = next(iter(subject.history.lives.read(1)), None)
    if last is None or last.ended_ms is not None or last.pid is None:
        return None
    return last.pid if is_alive(last.pid, last.pid_ticks) else None


def _find_waiting(history: History) -> int | None:
    """Find the process that waits: `run`, or a gate that is parked."""
    supervisor = history.workspace.home.read_supervisor(history.guard)
    if supervisor is not None and supervisor.mode is Presence.RUN and supervisor.pid:
        return supervisor.pid
    start = history.starts.read_last()
    if start is None or start.go or start.pid is None:
        return None
    return start.pid if is_alive(start.pid, start.pid_ticks) else None


def _name_start(history: History) -> str:
    """Name the command that starts the gateway."""
    installed = find_installed(os.environ, history.workspace.home, history.guard)
    if installed is None or not installed.is_in_front:
        return "start it as before, through `tailflip run` or `tailflip gate`"
    if installed.manager != "systemd":
        return f"start {installed.service} again"
    scope = " --user" if installed.scope == "user" else ""
    return f"`systemctl{scope} start {installed.service}`"


def _tell(asked: Asked) -> str:
    if not asked.asked:
        return f"nothing waits: a gateway lives, pid {asked.pid}; nothing was changed"
    if asked.pid is None:
        first = "the next start is a trial, whatever the last one was held for"
    else:
        first = f"asked pid {asked.pid} to start the gateway now"
    waited = [] if asked.waited_for is None else [f"it waited: {escape(asked.waited_for)}"]
    return "\n".join([first, *waited, f"next: {escape(asked.next_step)}"])
