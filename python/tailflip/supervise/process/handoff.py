"""Consumes the hand-off that a gateway leaves when it asks for its successor.

From 2026.8.1 on, with `OPENCLAW_SUPERVISOR_MODE=external`, a gateway that restarts leaves
a hand-off that is valid for 60 s and ends with 0. The consumer of the hand-off must restart it.
Source: OpenClaw 2026.9.6, docs/cli/gateway/restart-and-supervision.md.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailflip.observe.gateway.release import Release

_TIMEOUT_S = 30
_PROTOCOL = ("openclaw.gateway.restart-handoff", 1)


def consume_handoff(release: Release, pid: int) -> bool:
    """Consume the hand-off of the gateway `pid`; False when there is none, or the command fails.

    Starts the gateway's own command line: 2 to 4 s.
    """
    if release.node is None or release.entry is None:
        return False
    words = ["gateway", "restart-handoff", "consume", "--expected-pid", str(pid), "--json"]
    try:
        answer = subprocess.run(
            [release.node, str(release.entry), *words],
            env={**release.env, "OPENCLAW_SUPERVISOR_MODE": "external"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=True,
        ).stdout
        return is_accepted(answer)
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def is_accepted(answer: bytes) -> bool:
    """Read the command's answer.

    Raises:
        ValueError: it is not JSON.
    """
    said = json.loads(answer)
    return (
        isinstance(said, dict)
        and (said.get("protocol"), said.get("protocolVersion")) == _PROTOCOL
        and said.get("status") == "accepted"
    )
