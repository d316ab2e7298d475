"""Tells commands that start a gateway in the foreground from OpenClaw's other commands.

`openclaw gateway start` asks a service manager and ends with 0: under a guard, it would be
started again and again. Source of the names and options: `--help` of 2026.3.28, 2026.4.14,
2026.7.35 and 2026.9.6. Names that are in none of these releases are left to OpenClaw.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.observe.gateway.release import Release

_VALUES = frozenset(
    {"--container", "--log-level", "--profile"}
    | {"--auth", "--bind", "--password", "--password-file", "--port", "--raw-stream-path"}
    | {"--tailscale", "--token", "--ws-log"}
)
_FLAGS = frozenset(
    {"--dev", "--no-color", "--allow-unconfigured", "--ambient-channels", "--claude-cli-logs"}
    | {"--cli-backend-logs", "--compact", "--dev-ambient-channels", "--force", "--raw-stream"}
    | {"--reset", "--tailscale-reset-on-exit", "--verbose"}
)
_SERVICE = frozenset({"install", "restart", "start", "status", "stop", "uninstall"})
_GATEWAY = _SERVICE | frozenset(
    {"auth-token", "call", "diagnostics", "discover", "health", "probe", "restart-handoff"}
    | {"resume", "stability", "suspend", "usage-cost"}
)
_OTHERS = frozenset(
    {"agent", "agents", "backup", "channels", "completion", "config", "configure", "cron"}
    | {"daemon", "dashboard", "devices", "docs", "doctor", "health", "help", "hooks", "logs"}
    | {"message", "models", "nodes", "onboard", "pairing", "plugins", "qr", "reset", "sandbox"}
    | {"secrets", "security", "sessions", "setup", "skills", "status", "system", "tasks", "tui"}
    | {"uninstall", "update"}
)
_LOOKS = re.compile(
    r"\b(?:openclaw|clawdbot|moltbot)(?:\.mjs)?\s+(?:-\S+\s+)*"
    r"(?:(?:gateway|daemon)\s+(?:" + "|".join(sorted(_SERVICE)) + r")|doctor|onboard)\b"
)


@dataclass(frozen=True)
class Misuse:
    """A command that starts no gateway in the foreground; `is_certain` False: it looks so."""

    said: str
    is_certain: bool


def find_misuse(command: Sequence[str], release: Release) -> Misuse | None:
    """Find out from its words whether a command ends by itself.

    The answer is certain for a command that was followed to OpenClaw's own package and has known
    options: any script and any container may make a gateway of any words.
    """
    if release.text is None:
        found = _LOOKS.search(" ".join(command))
        return Misuse(found.group(), is_certain=False) if found else None
    first, rest = _split(release.words)
    if first == "gateway":
        second, _ = _split(rest)
        return Misuse(f"openclaw gateway {second}", is_certain=True) if second in _GATEWAY else None
    return Misuse(f"openclaw {first}", is_certain=True) if first in _OTHERS else None


def _split(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Split off the first word that is not an option; None where that cannot be known."""
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            return word, words[at + 1 :]
        if word in _VALUES:
            at += 2
        elif word in _FLAGS or "=" in word:
            at += 1
        else:
            break
    return None, ()
