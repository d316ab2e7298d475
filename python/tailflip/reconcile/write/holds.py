"""Reads which works were held by tailflip, in which form the record of the hold may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.base.errors import TailflipError
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.work import Work, WorkKind
from tailflip.reconcile.write.cron_store import Changes
from tailflip.reconcile.write.record import read_record
from tailflip.reconcile.write.rows import RowChanges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailflip.base.state_dir import Home
    from tailflip.ledger.actions import Action


class Hold(NamedTuple):
    """A work that an action held, and the record of what was changed for that."""

    work: Work
    action: Action
    record: Changes | RowChanges


def is_of_rows(action: Action) -> bool:
    """Say whether an action changed rows of a database, and not a file."""
    return action.kind == ActionKind.HOLD and action.store_path.suffix == ".sqlite"


def read_holds(home: Home, actions: Iterable[Action]) -> Iterator[Hold]:
    """Read the works that actions held; a record that expired or is damaged holds none."""
    for action in actions:
        if action.kind != ActionKind.HOLD:
            continue
        try:
            if is_of_rows(action):
                rows = read_record(home, action.id, RowChanges)
                yield from (Hold(work, action, rows) for work in rows.works)
                continue
            record = read_record(home, action.id, Changes)
        except (TailflipError, OSError):
            continue  # `archive list` tells that
        for job in dict.fromkeys(edit.job_id for edit in record.edits):
            yield Hold(Work(kind=WorkKind.JOB, key=job), action, record)
