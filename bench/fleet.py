"""How long `tailflip fleet` takes for many gateways, each with a service, a store and a record.

The gateways do not run: then every sign is looked at, which costs most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import measure

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.demo.incident import write_incident
from tailflip.flow.lives import Life
from tailflip.flow.observed import Sample
from tailflip.ledger.history import History

GOAL_S = 1.0
UNIT = """\
[Service]
ExecStart=/usr/bin/node {package}/dist/index.js gateway --port {port}
Environment=OPENCLAW_PROFILE={profile}
Environment=OPENCLAW_STATE_DIR={state}
"""


def write_gateway(root: Path, number: int) -> None:
    """Write one gateway: unit, package, configuration, a store of 2 MB, lives and samples."""
    profile, now_ms = f"p{number}", clock.now_ms()
    state = root / f".openclaw-{profile}"
    write_incident(state, size_bytes=2_000_000, now_ms=now_ms)
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": 20_000 + number}}))
    package = root / "lib/node_modules/openclaw"
    (package / "dist").mkdir(parents=True, exist_ok=True)
    (package / "package.json").write_text('{"name": "openclaw", "version": "2026.4.14"}')
    (package / "dist/index.js").write_text("")
    units = root / ".config/systemd/user"
    units.mkdir(parents=True, exist_ok=True)
    unit = UNIT.format(package=package, port=20_000 + number, profile=profile, state=state)
    (units / f"openclaw-gateway-{profile}.service").write_text(unit)
    history = History(
        Workspace(Home(root / ".local/state/tailflip"), RealDisk()), os.path.realpath(state)
    )
    for n in range(20):
        began_ms = now_ms - (20 - n) * 3_600_000
        life = Life(id=f"{profile}-{n}", guard=history.guard, mode="run", started_ms=began_ms)
        history.lives.begin(life)
        history.lives.end(life.model_copy(update={"ended_ms": began_ms + 3_500_000}), b"")
        history.samples.record(Sample(began_ms, 300_000_000, 2_000_000 + n), life.id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for number in range(given.gateways):
            write_gateway(root, number)
        env = {**os.environ, "HOME": scratch}
        for name in ("TAILFLIP_STATE_DIR", "OPENCLAW_STATE_DIR", "XDG_STATE_HOME"):
            env.pop(name, None)
        for words in (("status",), ("fleet",), ("fleet", "--json")):
            ran = [
                measure.run([sys.executable, "-m", "tailflip", *words], env=env)
                for _ in range(given.rounds)
            ]
            times = [each.wall_s for each in ran]
            peak_mib = max(each.peak_bytes for each in ran) / measure.MIB
            print(
                f"{' '.join(words):14} {given.gateways} gateways: median "
                f"{statistics.median(times):.2f} s, least {min(times):.2f} s, {peak_mib:.1f} MiB"
            )
    print(f"goal: {GOAL_S:g} s for 20 gateways")


if __name__ == "__main__":
    main()
