"""Compact one store and print the seconds that took, without interpreter start and imports.

python bench/engine.py STORE HOME
"""

from __future__ import annotations

import sys
from pathlib import Path

from tailflip import clock
from tailflip.compact.transaction import compact_store
from tailflip.durable import RealDisk
from tailflip.flow import Evidence, Gateway, Store
from tailflip.home import Home
from tailflip.plan.policy import Policy

if __name__ == "__main__":
    nobody = Gateway(alive=False, pid=None, started_ms=None, evidence="a benchmark")
    report = compact_store(
        Store(Path(sys.argv[1]), agent_id=None),
        Policy(),
        Evidence(gateway=nobody),
        home=Home(Path(sys.argv[2])),
        disk=RealDisk(),
        now_ms=clock.now_ms(),
    )
    if not report.action_id:
        sys.exit("there was nothing to do")
    print(report.took_s)
