"""Releases a stuck job of a living gateway, by OpenClaw's own command line.

`openclaw cron disable` forgets the mark, `enable` plans the next run. The gateway holds its
jobs in memory, and would overwrite an edit of the file.

Source: `update` in OpenClaw's `src/cron/service/ops.ts`, the same in both versions.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tailflip.base.errors import Unavailable
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.stores.draft import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tailflip.flow.lives import Life
    from tailflip.flow.observed import Job
    from tailflip.reconcile.write.cron_store import Hands

_PATIENCE_S = 60.0
_TRIES = 3


def release_jobs(jobs: Sequence[Job], hands: Hands, command: Sequence[str], now_ms: int) -> None:
    """Disable and enable each job through the gateway, by OpenClaw's command.

    There is nothing to undo: a job is enabled before and after.

    Raises:
        Unavailable: OpenClaw's command failed.
    """
    hands.workspace.create()
    ledger = Ledger(hands.workspace)
    store = str(hands.installation.cron_store)
    for number, job in enumerate(jobs):
        action = Action(
            id=make_id(now_ms + number),
            kind=ActionKind.RELEASE,
            store=store,
            state=State.COMMITTED,
            created_ms=now_ms + number,
            details=Details(temps=()),
        )
        ledger.begin(action)
        try:
            _run(command, hands.env, "disable", job)
            for attempt in range(_TRIES):
                try:
                    _run(command, hands.env, "enable", job)
                    break
                except Unavailable:
                    if attempt == _TRIES - 1:
                        raise
        finally:
            ledger.advance(action, State.DONE)


def find_command(envs: Iterable[Mapping[str, str]], lives: Sequence[Life]) -> tuple[str, ...]:
    """Find OpenClaw's command: that of the last gateway, else the one on the first PATH with it.

    Raises:
        Unavailable: there is none.
    """
    for life in lives:
        if "gateway" in life.command:
            return life.command[: life.command.index("gateway")]
    places = (shutil.which("openclaw", path=env.get("PATH")) for env in envs)
    found = next(filter(None, places), None)
    if found is None:
        raise Unavailable(
            "no `openclaw` on the PATH: a stuck job cannot be released",
            hint="put it on the PATH of tailflip, or run `openclaw cron disable` and enable",
        )
    return (found,)


def _run(command: Sequence[str], env: Mapping[str, str], verb: str, job: Job) -> None:
    try:
        ran = subprocess.run(
            [*command, "cron", verb, job.job_id],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise Unavailable(f"`openclaw cron {verb}` gave no answer: {job.title}") from e
    except OSError as e:
        raise Unavailable(f"`openclaw cron {verb}` cannot be run: {e.strerror}") from e
    if ran.returncode != 0:
        raise Unavailable(
            f"`openclaw cron {verb}` failed with {ran.returncode}: {job.title}",
            hint=f"see `openclaw cron list`; `openclaw cron enable {job.job_id}` if it is disabled",
        )
