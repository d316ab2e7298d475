"""The abilities of OpenClaw's releases: one row an ability, with how it was found out.

Ask this module about a release instead of comparing versions. For a release between two that were
looked at, the row's `since` and `before` decide: releases change an ability once. The heap of a
release counts as measured where it was measured on that very release.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.capabilities import Capabilities, HeapUse

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Version


class Ability(StrEnum):
    """The abilities that some releases have and others lack; each is a field of `Capabilities`."""

    LOADS_STORES = "loads_stores"
    STARTUP_PROBE = "has_startup_probe"
    HANDOFF = "hands_off_restarts"
    SUPERVISOR_MODE = "takes_supervisor_mode"
    WRAPPER = "keeps_wrapper"
    DISOWNS_COMMAND = "disowns_replaced_command"
    INTERRUPTED_JOBS_WAIT = "lets_interrupted_jobs_wait"
    RESTARTS_ON_USR1 = "restarts_on_usr1"
    RESTARTS_ON_USR2 = "restarts_on_usr2"
    DRAINS_BRIEFLY = "drains_briefly"


class Proof(StrEnum):
    """The ways in which an ability was found out."""

    MEASURED = "measured"
    READ = "read in the source"
    REPORTED = "from a report"


@dataclass(frozen=True)
class Row:
    """One ability: from release `since` on and before `until`; None where there is no such end."""

    ability: Ability
    since: Version | None
    until: Version | None
    proof: Proof
    source: str

    def holds(self, version: Version) -> bool:
        """Say whether a release has the ability."""
        return (self.since is None or version >= self.since) and (
            self.until is None or version < self.until
        )


@dataclass(frozen=True)
class MeasuredHeap:
    """The heap that stores took in one release, fitted to the lives and deaths in `source`."""

    version: Version
    use: HeapUse
    source: str


# From this release on sessions are kept in databases; an older store is imported or refused.
_DATABASES = (2026, 8, 1)

TABLE: tuple[Row, ...] = (
    Row(
        Ability.LOADS_STORES,
        None,
        _DATABASES,
        Proof.MEASURED,
        "2026.3.28, 2026.4.14, 2026.5.28 and 2026.7.35 load `sessions.json`; 2026.8.1 and "
        "2026.9.6 only import it",
    ),
    Row(
        Ability.STARTUP_PROBE,
        (2026, 8, 1),
        None,
        Proof.READ,
        "`/startupz` (openclaw/openclaw #122477): in 2026.8.1 and later, in none before; "
        "measured on 2026.9.6",
    ),
    Row(
        Ability.HANDOFF,
        (2026, 8, 1),
        None,
        Proof.READ,
        "`openclaw gateway restart-handoff` belongs to the contract with external supervisors "
        "of 2026.8.1; measured on 2026.9.6",
    ),
    Row(
        Ability.SUPERVISOR_MODE,
        (2026, 8, 1),
        None,
        Proof.READ,
        "OPENCLAW_SUPERVISOR_MODE=external (openclaw/openclaw #109162, #121069); measured on "
        "2026.9.6",
    ),
    Row(
        Ability.WRAPPER,
        (2026, 8, 1),
        None,
        Proof.MEASURED,
        "2026.9.6 writes OPENCLAW_WRAPPER into its own unit and keeps it in updates; not tried "
        "before 2026.8.1",
    ),
    Row(
        Ability.DISOWNS_COMMAND,
        (2026, 8, 1),
        None,
        Proof.MEASURED,
        "2026.9.6 calls a drop-in that replaces ExecStart operator-owned and refuses to repair "
        "its service",
    ),
    Row(
        Ability.INTERRUPTED_JOBS_WAIT,
        None,
        (2026, 4, 0),
        Proof.MEASURED,
        "an interrupted recurring job waits for its next slot on 2026.3.28 and runs at once on "
        "2026.4.14; what lies between was not looked at",
    ),
    Row(
        Ability.RESTARTS_ON_USR1,
        None,
        (2026, 9, 6),
        Proof.READ,
        "SIGUSR1 restarts up to 2026.9.5; it opens Node's inspector from 2026.9.6 on",
    ),
    Row(
        Ability.RESTARTS_ON_USR2,
        (2026, 9, 6),
        None,
        Proof.MEASURED,
        "SIGUSR2 restarts 2026.9.6; it kills what came before",
    ),
    Row(
        Ability.DRAINS_BRIEFLY,
        None,
        (2026, 8, 1),
        Proof.READ,
        "a gateway gives itself 25 s to stop up to 2026.7.x, and 325 s from 2026.8.1 on",
    ),
)

# Each fitted to outcomes of the real gateway, all with Node 24 and stores of about 28 KB an entry.
# Where a fit had to choose, it predicts death: every measured death is predicted, and a life where
# a gateway at work lived too. Two more were seen at their start alone, too seldom for a fit:
# 2026.5.28 dies with 13.5, 20, 60 and 110 MB at 621 MB and lives with 11, but dies with 90 at
# 2,349, 2 % above what it would take as 2026.4.14. 2026.7.35 lives with 20 and 110 MB at 621, dies
# with 185 and 250, with 110 of wide text, and with 110 at 470.
HEAPS: tuple[MeasuredHeap, ...] = (
    MeasuredHeap(
        (2026, 3, 28),
        HeapUse(11.5, 230_000_000),
        "holds text, objects and two clones of a store at once as soon as a cron run works on "
        "it. Dies with 185 MB at 2,349 MB, busy (idle it lives), with 300 at 2,349 and 500 at "
        "4,496; lives with 185 MB of wide text at 4,496, where it took 4.3 GB",
    ),
    MeasuredHeap(
        (2026, 4, 14),
        HeapUse(22.0, 330_000_000),
        "parses every store with a JSON5 parser before it opens its port. Dies with 13.5, 16 and "
        "20 MB at a limit of 621 MB, with 120 at 2,349 and with 200 at 4,496; lives with 11 at "
        "621, 90 at 2,349 and 185 at 4,496. Of a limit, 201 MB are for young objects only. "
        "Entries of 700 bytes take no more: it lives with 11 MB of them at 621",
    ),
    MeasuredHeap(
        (2026, 9, 6),
        HeapUse(5.0, 220_000_000),
        "imports the store whole, and half a minute later its sweep copies every row. With "
        "185 MB it dies at limits of 537 to 738 MB and lives at 1,174 and 1,275",
    ),
)
# Of 2026.9.6. Once imported (106 MB of database) it dies at 587 and 738 and lives at 1,275; bytes
# are those in use.
_DATABASE_HEAP = HeapUse(5.0, 220_000_000)
# For an unknown release: the hungriest factor, and a base that refuses no gateway with empty
# stores.
_UNKNOWN_HEAP = HeapUse(22.0, 200_000_000)

_BRIEF_DRAIN_S, _LONG_DRAIN_S = 30.0, 330.0
_SIGNALS = {
    Ability.RESTARTS_ON_USR1: signal.SIGUSR1,
    Ability.RESTARTS_ON_USR2: signal.SIGUSR2,
}
_FIGURES = (*_SIGNALS, Ability.DRAINS_BRIEFLY)  # another field holds their value


def find_capabilities(version: Version | None) -> Capabilities:
    """Look up the capabilities of a release; None is an unknown one, without abilities."""
    can = {row.ability: version is not None and row.holds(version) for row in TABLE}
    known = {str(ability): has for ability, has in can.items() if ability not in _FIGURES}
    return Capabilities(
        is_known=version is not None,
        is_measured=any(heap.version == version for heap in HEAPS),
        store_heap=_UNKNOWN_HEAP if version is None else _choose_heap(version),
        database_heap=_UNKNOWN_HEAP if version is None else _DATABASE_HEAP,
        restart_signal=next((number for each, number in _SIGNALS.items() if can[each]), None),
        drain_s=_BRIEF_DRAIN_S if can[Ability.DRAINS_BRIEFLY] else _LONG_DRAIN_S,
        **known,
    )


UNKNOWN = find_capabilities(None)


def _choose_heap(version: Version) -> HeapUse:
    """Choose the measured heap; between two releases of one kind, the hungrier counts."""
    imports = version >= _DATABASES
    kin = [heap for heap in HEAPS if (heap.version >= _DATABASES) is imports]
    before = [heap for heap in kin if heap.version <= version]
    after = [heap for heap in kin if heap.version >= version]
    return max(
        (heap.use for heap in (*before[-1:], *after[:1])),
        key=lambda use: (use.factor, use.base_bytes),
    )
