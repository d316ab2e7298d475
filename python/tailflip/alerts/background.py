"""What a child that sends is to others: it yields to all, and knows nothing of the gateway's."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base.life_variable import LIFE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

_NICE = 10
_FIRST_TO_GO = b"1000"
# Names of the gateway's, and of the service manager's way to talk to our parent.
_OTHERS = ("OPENCLAW_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", LIFE_VARIABLE)


def step_back() -> None:
    """Let others go first: at the processor, and when the kernel looks for memory."""
    with suppress(OSError):
        os.nice(max(0, _NICE - os.nice(0)))
    # Anybody may make it worse for himself; on macOS there is no such file.
    with suppress(OSError):
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        with os.fdopen(fd, "wb", buffering=0) as file:
            file.write(_FIRST_TO_GO)


def scrub(env: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is the gateway's: by `TAILFLIP_LIFE` a child would count as one of its own."""
    return {name: text for name, text in env.items() if not name.startswith(_OTHERS)}


def list_own(verb: str, *numbers: int) -> list[str]:
    """List the words that start a hidden verb of ours: no more than numbers, for all can see."""
    # Without -P, a folder `tailflip` where we were started would be taken for us.
    return [sys.executable, "-P", "-m", "tailflip", verb, *map(str, numbers)]
