"""Finds the processes that own runs by the gateway's records, and asks which of them live.

A receipt without an end names its gateway. That process living is proof of life for the run. It
being gone is no proof of death: in another pid namespace the pid is somebody else's. The receipt
also has the start of the run, of which the entry has none: its times are those of later turns.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import make_owner, owner_lives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.numbers import ListedEntry
    from tailflip.flow.observed import Gateway, Store
    from tailflip.observe.records.reading import Records

_SLACK_MS = 2_000  # an entry is written some 0.1 s after its receipt


class OpenRun(NamedTuple):
    """A run without an end on record; `pid` is its owner where that lives, else None."""

    began_ms: int
    pid: int | None


@dataclass(frozen=True)
class Owners:
    """The runs without an end by job, of which a job has one, and who else has the store open.

    `lives` are start and end of the gateways that were stopped.
    """

    open_runs: Mapping[str, OpenRun] = field(default_factory=dict)
    holder_pid: int | None = None
    lives: tuple[tuple[int, int], ...] = ()

    def find(self, entry: ListedEntry) -> OpenRun | None:
        """Find the open run that an entry is of; an entry from before its start is of another."""
        found = self.open_runs.get(entry.job)
        if found is None or entry.updated_ms is None:
            return None
        return found if entry.updated_ms >= found.began_ms - _SLACK_MS else None


def read_owners(records: Records, store: Store, gateway: Gateway, notes: list[str]) -> Owners:
    """Read the owners of one store's runs; what cannot be read becomes a note."""
    owned, open_runs = records.read_owned(notes), {}
    for each in owned.receipts:
        lives = owner_lives(make_owner(each.owner_pid, each.owner_ticks, each.started_ms))
        open_runs[each.job_id] = OpenRun(each.started_ms, each.owner_pid if lives else None)
    holder = None
    if store.is_database and gateway.alive is False:
        own = os.path.realpath(store.path)
        for lease in owned.leases:
            owner = make_owner(lease.owner_pid, lease.owner_ticks, lease.opened_ms)
            if os.path.realpath(lease.path) == own and owner_lives(owner):
                holder = lease.owner_pid
    return Owners(open_runs, holder, owned.boots)
