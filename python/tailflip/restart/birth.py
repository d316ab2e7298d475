"""The name of a life, given before it begins."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tailflip.flow import Life
from tailflip.observe.process import boot_id

if TYPE_CHECKING:
    from tailflip.guard import Guard


def new_life(guard: Guard, mode: str, now_ms: int) -> Life:
    """Name a life that is about to begin."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return Life(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        guard=guard.name,
        mode=mode,
        started_ms=now_ms,
        command=guard.command,
        version=guard.release.text,
        boot_id=boot_id(),
    )
