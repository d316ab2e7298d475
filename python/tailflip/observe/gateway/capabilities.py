"""The abilities of OpenClaw's releases: one row an ability, with how it was found out.

Ask this module about a release instead of comparing versions. For a release between two that were
looked at, the row's `since` and `before` decide: releases change an ability once. The heap of a
release has a table of its own, in `heaps`.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.capabilities import Capabilities
from tailflip.observe.gateway.heaps import (
    DATABASES,
    choose_database_heap,
    choose_heap,
    is_measured,
)

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Version


class Ability(StrEnum):
    """The abilities that some releases have and others lack; each is a field of `Capabilities`."""

    LOADS_STORES = "loads_stores"
    STARTUP_PROBE = "has_startup_probe"
    NO_HEALTH_PROBE = "lacks_health_probe"
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


TABLE: tuple[Row, ...] = (
    Row(
        Ability.LOADS_STORES,
        None,
        DATABASES,
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
        Ability.NO_HEALTH_PROBE,
        None,
        (2026, 3, 1),
        Proof.MEASURED,
        "2026.1.29 answers `/healthz` like any other path; 2026.3.28 has the endpoint, and the "
        "packages have it from 2026.3.1 on",
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
        is_measured=is_measured(version),
        store_heap=choose_heap(version),
        database_heap=choose_database_heap(version),
        restart_signal=next((number for each, number in _SIGNALS.items() if can[each]), None),
        drain_s=_BRIEF_DRAIN_S if can[Ability.DRAINS_BRIEFLY] else _LONG_DRAIN_S,
        **known,
    )


UNKNOWN = find_capabilities(None)
