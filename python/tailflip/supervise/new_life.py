"""Makes the record of a life before it begins."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tailflip.base import clock, platform_calls
from tailflip.flow.lives import Life

if TYPE_CHECKING:
    from tailflip.flow.lives import LifeMode
    from tailflip.supervise.context import GuardedGateway

_SECRETS, _MASK = ("--token", "--password"), "***"


def new_life(gateway: GuardedGateway, mode: LifeMode, now_ms: int) -> Life:
    """Make the record of a life that is about to begin."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return Life(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        guard=gateway.name,
        mode=mode,
        started_ms=now_ms,
        command=hide_secrets(gateway.command),
        version=gateway.release.text,
        boot_id=platform_calls.here.boot_id(),
        started_mono_ms=clock.boot_ms(),
    )


def hide_secrets(command: tuple[str, ...]) -> tuple[str, ...]:
    """Mask secrets on the gateway's command line, for the record.

    Source: options of `openclaw gateway run`: `--token` and `--password`.
    """
    masked, is_secret = [], False
    for word in command:
        option, equals, _ = word.partition("=")
        if is_secret:
            masked.append(_MASK)
        else:
            masked.append(f"{option}={_MASK}" if equals and option in _SECRETS else word)
        is_secret = word in _SECRETS
    return tuple(masked)
