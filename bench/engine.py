"""Compact one store and print the seconds that took, without interpreter start and imports.

python bench/engine.py STORE HOME [all|running|one]

`all` is what a person gets: every rule. `running` only drops runs that say "running"
(63 % of the incident's bytes), `one` drops a single chat and so keeps nearly everything.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Evidence, Gateway, Store
from tailflip.plan.policy import HOUR_MS, Policy
from tailflip.stores.transaction import compact_store

_NOTHING = Policy(
    slim=False, retire=False, retention_ms=None, max_lifetime_ms=None, single_flight=False
)
POLICIES = {
    "all": Policy(),
    "running": _NOTHING.model_copy(update={"max_lifetime_ms": HOUR_MS}),
    "one": _NOTHING,
}

if __name__ == "__main__":
    kind = sys.argv[3] if len(sys.argv) > 3 else "all"
    nobody = Gateway(alive=False, pid=None, started_ms=None, evidence="a benchmark")
    named = ("agent:main:main",) if kind == "one" else ()
    report = compact_store(
        Store(Path(sys.argv[1]), agent_id=None),
        POLICIES[kind],
        Evidence(gateway=nobody, dropped_keys=named),
        workspace=Workspace(Home(Path(sys.argv[2])), RealDisk()),
        now_ms=clock.now_ms(),
    )
    if not report.action_id:
        sys.exit("there was nothing to do")
    print(report.took_s)
