"""`tailflip gate` that kills itself at the n-th commit of its ledger.

    python dying_gate.py N before|after OPTIONS... -- COMMAND

Becomes the command, as `tailflip gate` does, if there are fewer commits.
"""

from __future__ import annotations

import sys

from dying_supervisor import DyingDisk

from tailflip.cli import front


def main() -> int:
    disk = DyingDisk(int(sys.argv[1]), before=sys.argv[2] == "before")
    front.RealDisk = lambda: disk
    return front.run_light("gate", sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
