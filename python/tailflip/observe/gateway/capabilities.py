"""The abilities of OpenClaw's releases: each follows from a fact of the catalogue.

Ask this module about a release instead of comparing versions. A release that is not in the
catalogue is judged as the newest one before it. The heap of a release has a table of its own, in
`heaps`.
"""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.capabilities import Capabilities
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.catalogue import Fact, Value, read_catalogue
from tailflip.observe.gateway.heaps import choose_database_heap, choose_heap, is_measured

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
    LEAVES_RUNNING_CHATS = "leaves_running_chats"
    REPAIRS_HEADERS = "repairs_headers"


@dataclass(frozen=True)
class Rule:
    """The fact that an ability follows from, and the value with which a release has it."""

    fact: Fact
    value: Value = True


RULES: dict[Ability, Rule] = {
    Ability.LOADS_STORES: Rule(Fact.SESSIONS, "files"),
    Ability.STARTUP_PROBE: Rule(Fact.STARTUPZ),
    Ability.NO_HEALTH_PROBE: Rule(Fact.HEALTHZ, value=False),
    Ability.HANDOFF: Rule(Fact.HANDOFF_COMMAND),
    Ability.SUPERVISOR_MODE: Rule(Fact.SUPERVISOR_MODE),
    Ability.WRAPPER: Rule(Fact.WRAPPER),
    Ability.DISOWNS_COMMAND: Rule(Fact.DROP_IN_DISOWNED),
    Ability.INTERRUPTED_JOBS_WAIT: Rule(Fact.INTERRUPTED_JOBS_WAIT),
    Ability.LEAVES_RUNNING_CHATS: Rule(Fact.RUNNING_CHATS_RESUMED, False),
    Ability.REPAIRS_HEADERS: Rule(Fact.HEADERS_REPAIRED),
}
_NUMBERS = (
    Fact.STOP_BUDGET_S,
    Fact.RESTART_SIGNAL,
    Fact.MAINTENANCE_MODE,
    Fact.MAINTENANCE_ENTRIES,
)
# What a gateway takes to stop is an upper limit of its own; so much more before it is killed.
_SPARE_S = 5.0
_LONG_DRAIN_S = 330.0


def find_capabilities(version: Version | None) -> Capabilities:
    """Look up the capabilities of a release; None is an unknown one, without abilities."""
    facts = {} if version is None else _read_facts(version)
    budget = facts.get(Fact.STOP_BUDGET_S)
    restarts = facts.get(Fact.RESTART_SIGNAL)
    most = facts.get(Fact.MAINTENANCE_ENTRIES)
    most_if_told = most if isinstance(most, int) else None
    deletes = facts.get(Fact.MAINTENANCE_MODE) == "enforce"
    return Capabilities(
        is_known=version is not None,
        is_measured=is_measured(version),
        store_heap=choose_heap(version),
        database_heap=choose_database_heap(),
        restart_signal=signal.Signals[restarts] if isinstance(restarts, str) else None,
        drain_s=budget + _SPARE_S if isinstance(budget, int) else _LONG_DRAIN_S,
        most_entries=most_if_told if deletes else None,
        most_if_told=most_if_told,
        **{
            str(ability): rule.fact in facts and facts[rule.fact] == rule.value
            for ability, rule in RULES.items()
        },
    )


def _read_facts(version: Version) -> dict[Fact, Value]:
    table = read_catalogue()
    release = table.judge(version).release
    needed = (*(rule.fact for rule in RULES.values()), *_NUMBERS)
    return {fact: table.find(fact, release) for fact in needed}


UNKNOWN = find_capabilities(None)
