"""A program of the user's own: the message as JSON on its input, and in its environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.webhook import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.alerts import Message

_TEMPFAIL = 75  # of sysexits.h


def send_program(program: str, destination: str, message: Message, env: Mapping[str, str]) -> None:
    """Run a program for a message, without a shell; exit code 0 means that it was delivered.

    Whoever started this process ends it, and the program with it, when it takes too long.

    Raises:
        Failed: it could not be started, or ended otherwise.
    """
    told = {
        "NUMBER": str(message.number),
        "KIND": message.kind.value,
        "URGENCY": message.urgency.value,
        "SUBJECT": message.subject,
        "BODY": message.body,
        "NAMES": " ".join(message.alerts),
        "MADE_AT": str(message.made_ms // 1000),
        "TO": destination,
    }
    try:
        done = subprocess.run(
            [program],
            input=write_json(message),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**env, **{f"TAILFLIP_ALERT_{name}": text for name, text in told.items()}},
            cwd=os.sep,
            check=False,
        )
    except (OSError, ValueError) as e:
        reason = (e.strerror if isinstance(e, OSError) else None) or "its words hold a NUL"
        raise Failed(f"cannot be started: {reason.lower()}") from None
    if done.returncode != 0:
        code = done.returncode
        raise Failed(f"ended with exit code {code}" if code > 0 else f"ended by signal {-code}")


def name_program(program: str) -> str:
    """Name a program without its folder."""
    return Path(program).name
