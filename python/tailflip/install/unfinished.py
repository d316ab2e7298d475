"""What is told of an installation that the service manager did not take."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tailflip.base.errors import Unavailable
from tailflip.install.manager import is_manager_there
from tailflip.install.values import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.install.apply import Outcome
    from tailflip.install.record import Record
    from tailflip.install.values import Plan


def tell_not_installed(plan: Plan, outcome: Outcome, command: Sequence[str]) -> Unavailable:
    """Tell that the files are there and nothing was started, and what starts the gateway.

    Args:
        plan: the plan.
        outcome: its outcome, with at least one thing undone.
        command: the gateway's command.
    """
    said = "its files are in place" if plan.files else "no file was needed"
    reason = outcome.undone[0].reason
    message = f"{plan.subject}: {said}, but nothing was started: {reason}"
    if not is_manager_there(plan.manager):
        start = f"tailflip run -- {shlex.join(command)}"
        if plan.mode is Mode.WATCH:
            start = "tailflip watch"
        hint = (
            f"no {plan.manager} runs here, so use `{start}`; "
            "`tailflip uninstall --apply` takes the files away"
        )
        return Unavailable(message, hint=hint)
    return Unavailable(
        message, hint=f"as the gateway's user, logged in: `{_finish(plan, outcome)}`"
    )


def tell_not_removed(record: Record, outcome: Outcome) -> Unavailable | None:
    """Tell that the files are gone, and what a manager was not told of.

    None where it was told all, and where none runs: then it keeps nothing in mind.
    """
    if not outcome.undone or not is_manager_there(record.manager):
        return None
    message = f"{record.subject}: {record.manager} was not told: {outcome.undone[0].reason}"
    return Unavailable(
        message,
        hint="the files are taken away; `"
        + " && ".join(shlex.join(each.command) for each in outcome.undone)
        + "` does the rest",
    )


def _finish(plan: Plan, outcome: Outcome) -> str:
    """Return the command line that does what was not done, and starts what is to run."""
    undone = [each.command for each in outcome.undone]
    starts = [] if plan.enable else [plan.next_step]
    if plan.enable and plan.manager == "systemd":
        ctl = ("systemctl", "--user") if plan.scope == "user" else ("systemctl",)
        at = len(ctl)
        undone = [each for each in undone if each[at : at + 1] not in (("enable",), ("restart",))]
        starts = [shlex.join([*ctl, "enable", "--now", *plan.enable])]
        if plan.mode is not Mode.WATCH and plan.subject not in plan.enable:
            starts.append(plan.next_step)
    return " && ".join([*map(shlex.join, undone), *starts])
