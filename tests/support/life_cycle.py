"""What the store says of a run, row by row of its life-cycle; others know the end, or nothing.

The shapes were measured on the real gateway, and tests/gateway makes it write them again.
Times are minutes before NOW; every run began 40 minutes ago.
"""

from __future__ import annotations

from tailflip.flow.observed import Gateway
from tailflip.stores.proof.prove import Facts

MIN = 60_000
NOW = 1_800_000_000_000
HOUR = 60 * MIN


def ago(minutes):
    return NOW - int(minutes * MIN)


STOPPED = Gateway(False, None, None, "no lock with a living owner")
LIVING = Gateway(True, 7, ago(600), "held by pid 7")  # since long before the run
RESTARTED = Gateway(True, 8, ago(10), "held by pid 8")  # after the run
UNTOLD = Gateway(None, None, None, "port cannot be probed")

# What the store says of them; its `status` ("running" in most) is no evidence, so it is not
# even asked. All runs began 40 minutes ago; a sticky start is of a run of old.
ROWS = {
    "first run in flight, base": Facts(NOW, LIVING, ago(39), ago(40)),
    "first run in flight, run": Facts(NOW, LIVING, ago(40), None, True),
    "killed mid-run, base": Facts(NOW, LIVING, ago(39.5), ago(40)),
    "later success, sticky running": Facts(NOW, LIVING, ago(40), ago(3000), True),
    "sticky, and a newer run began": Facts(NOW, LIVING, ago(40), ago(3000), False),
    "thrown before its last write": Facts(NOW, LIVING, ago(40), ago(3000), True),
    "provider error": Facts(NOW, LIVING, ago(40), ago(3000), True),
    "time-out without key": Facts(NOW, LIVING, ago(40), None, True),
    "healthy run without status": Facts(NOW, LIVING, ago(40), None, True),
    "sub-agent": Facts(NOW, LIVING, ago(40), ago(40)),
    "session target": Facts(NOW, LIVING, ago(40), ago(40)),
}
