"""The value of a service definition that starts a gateway."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.observe.gateway.release import Release

Manager = Literal["systemd", "launchd"]
Scope = Literal["user", "system"]


@dataclass(frozen=True)
class Service:
    """A service definition that starts a gateway.

    `command` is the gateway's, without tailflip in front. `command_text` is the command as a unit
    of systemd writes it, with quotes; empty for launchd. `env` is what the definition puts into
    the environment; it holds secrets. `drop_ins` are all files that change the definition, and
    `foreign` those that replace its command and are not tailflip's. `starts` is the command with
    such a replacement, and `memory_bytes` the limit that the definition sets. `wrapper` is
    tailflip's script in front of the gateway, and `cli` the command that runs OpenClaw's own
    command line.
    """

    manager: Manager
    scope: Scope
    name: str
    path: Path
    data: bytes = field(repr=False)
    command: tuple[str, ...]
    command_text: str
    env: Mapping[str, str] = field(repr=False)
    user: str | None
    home: str
    state_dir: Path
    release: Release = field(repr=False)
    drop_ins: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()
    guarded_by_hand: bool = False
    wrapper: Path | None = None
    cli: tuple[str, ...] = ("openclaw",)
    notes: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    memory_bytes: int | None = None

    @property
    def suffix(self) -> str:
        """The suffix of tailflip's units for the profile: `-work`, or empty for the default one."""
        stem = self.name.removesuffix(".service")
        for known in ("openclaw-gateway", "clawdbot-gateway", "moltbot-gateway"):
            if stem.startswith(known):
                return stem.removeprefix(known)
        return "" if stem in ("ai.openclaw.gateway", "openclaw") else f"-{stem}"
