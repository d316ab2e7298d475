"""Gives a gateway node's own heap limit as a flag, where its task ledger kills each start.

The worker that reads the ledger has 512 MB, whatever the heap's limit is, unless node is given a
limit: then the worker has that too. The flag says what node would choose by itself. Source:
measured on 2026.9.6, with 100,000 rows of `task_runs`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.diagnose.causes import CAUSES
from tailflip.observe.gateway.cgroup import read_limit
from tailflip.observe.gateway.heap import HeapOwner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.lives import Death
    from tailflip.supervise.context import GuardedGateway

_FACT = "heap flag"
_OPTIONS = "NODE_OPTIONS"
_FLAG = "--max-old-space-size"
_NAMES = (_FLAG, "--max-heap-size")  # the first also as a share of the memory
_YOUNG_MIB = 192  # what node 24 adds for young objects
_SHARE = 0.75  # of a cgroup or a machine: the rest is for what is no heap of JavaScript


def give_heap(gateway: GuardedGateway, death: Death) -> bool:
    """Put the flag on record after a death that it cures; say whether that is a change."""
    record, heal = gateway.record, gateway.config.heal
    if not CAUSES[death.cause].of_tasks or not (heal.enabled and heal.after_oom):
        return False
    if record.get_fact(_FACT) is not None or _is_given(gateway):
        return False
    limit = gateway.find_heap_limit()
    if limit.bytes is None:
        return False
    heap_mib = min((limit.bytes >> 20) - _YOUNG_MIB, _find_room_mib())
    record.put_fact(_FACT, heap_mib)
    log.warning(
        "the gateway gets its heap limit as a flag from now on: so its worker can read the tasks",
        flag=f"{_FLAG}={heap_mib}",
    )
    return True


def add_heap(gateway: GuardedGateway, env: Mapping[str, str]) -> dict[str, str]:
    """Add the flag on record to a gateway's environment, unless a limit is given by now."""
    heap_mib = gateway.record.get_fact(_FACT)
    if not isinstance(heap_mib, int) or _is_given(gateway):
        return dict(env)
    return _add(env, heap_mib)


def choose_heap(gateway: GuardedGateway, env: Mapping[str, str]) -> dict[str, str]:
    """Give a tool of the gateway's all the heap that the memory allows, unless a limit is given.

    A doctor may need more than the gateway itself: it reads what that one no longer loads whole.
    """
    return dict(env) if _is_given(gateway) else _add(env, _find_room_mib())


def _add(env: Mapping[str, str], heap_mib: int) -> dict[str, str]:
    options = f"{env.get(_OPTIONS, '')} {_FLAG}={heap_mib}".strip()
    return {**env, _OPTIONS: options}


def _is_given(gateway: GuardedGateway) -> bool:
    """Say whether the command, a script in it or its environment names a limit already."""
    release = gateway.release
    words = (*gateway.command, *release.command)
    owner = HeapOwner.of_ours("", release.env, release.node, words)
    return any(word.startswith(_NAMES) for word in owner.options.split())


def _find_room_mib() -> int:
    """Find how much heap the machine and our cgroup have room for."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = read_limit(None)
    return int(_SHARE * (whole if limit is None else min(whole, limit))) >> 20
