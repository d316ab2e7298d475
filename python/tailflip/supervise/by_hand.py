"""Tells a start that a person made from one that a service manager made by itself.

A person who starts a gateway wants it started, whatever the last start waits for. A service
manager that starts it again and again must not end a wait.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.moments import read_moment
from tailflip.observe.host.systemd import find_unit, read_restarts

if TYPE_CHECKING:
    from tailflip.flow.lives import Decision
    from tailflip.supervise.context import GuardedGateway

_FACT = "held-start"


def is_by_hand(gateway: GuardedGateway, standing: Decision) -> bool:
    """Say whether a person made this start; False where that is unknown.

    Under systemd the unit's count of its own restarts tells: it is 0, or no higher than at the last
    start that was held. The first start of a boot is the machine's. Elsewhere a terminal as
    standard input tells.

    Args:
        gateway: whose start it is.
        standing: the decision that holds the start.
    """
    boot, pid = read_moment().boot, os.getpid()
    seen = gateway.record.get_fact(_FACT)
    seen = seen if isinstance(seen, dict) and seen.get("boot") == boot else {}
    if seen.get("pid") == pid:
        return False  # a gate that is parked looks again and again; it was started once
    unit = find_unit(gateway.env, None)
    restarts = read_restarts(unit, gateway.env) if unit is not None else None
    gateway.record.put_fact(_FACT, {"boot": boot, "pid": pid, "restarts": restarts})
    if unit is None:
        # In a container we may be the first process, with a terminal and no person.
        return pid != 1 and os.isatty(0)
    if restarts is None:
        return False
    if seen:
        return restarts in (0, seen.get("restarts"))
    return restarts == 0 and standing.made is not None and standing.made.boot == boot
