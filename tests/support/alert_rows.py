"""Rows of the ledger's tables of alerts, and a receiver that is a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.stores import NOW_MS
from tailflip.flow.alerts import Alert, MessageKind, Notice, Urgency, Words

if TYPE_CHECKING:
    from pathlib import Path


def make_alert(number: int = 1, at_ms: int = NOW_MS, **known: Any) -> Alert:
    fields: dict[str, Any] = {
        "code": "job-storm",
        "subject": "a job",
        "urgency": Urgency.WARNING,
        "words": Words("job storm", "a job runs again and again", step="tailflip check"),
        "since_ms": at_ms,
        "first_ms": at_ms,
        "opened_ms": at_ms,
    }
    return Alert(number, **fields | known)


def make_notice(at_ms: int = NOW_MS, number: int = 0, **known: Any) -> Notice:
    fields: dict[str, Any] = {
        "destination": "phone",
        "kind": MessageKind.OPENED,
        "urgency": Urgency.WARNING,
        "alerts": (1,),
        "subject": "claw: job storm",
        "body": "a job runs again and again",
        "made_ms": at_ms,
    }
    return Notice(number, **fields | known)


def put_receiver(home: Path, *, exit_code: int) -> Path:
    """Name a program as a destination in a home's settings; returns where it writes."""
    program, got = home / "receiver", home / "received"
    program.write_text(f'#!/bin/sh\n/bin/cat >> "{got}"\nexit {exit_code}\n')
    program.chmod(0o755)
    settings = home / ".config" / "tailflip" / "config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f'[alerts.to.phone]\nexec = "{program}"\n')
    return got
