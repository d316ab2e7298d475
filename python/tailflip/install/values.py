"""What passes through this room: a service that was found, what would be written, what was."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.observe.release import Release

Manager = Literal["systemd", "launchd"]
Scope = Literal["user", "system"]


class Mode(StrEnum):
    """How tailflip stands to the gateway."""

    GATE = "gate"  # in front of each start; nothing stays
    RUN = "run"  # its parent
    WATCH = "watch"  # beside it


@dataclass(frozen=True)
class Service:
    """A service definition that starts a gateway.

    `command` is its own, without ours in front. `command_text` is how a unit of systemd writes
    it, quotes and all; empty for launchd. `env` is what the definition puts into the
    environment, which holds secrets. `drop_ins` are all files that change the definition, and
    `foreign` those of them that replace its command and are not ours. `wrapper` is the script of
    ours that it starts through, and `cli` how OpenClaw's own command line is run.
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

    @property
    def suffix(self) -> str:
        """Name our own units after the profile: `-work`, or nothing for the default one."""
        stem = self.name.removesuffix(".service")
        for known in ("openclaw-gateway", "clawdbot-gateway", "moltbot-gateway"):
            if stem.startswith(known):
                return stem.removeprefix(known)
        return "" if stem in ("ai.openclaw.gateway", "openclaw") else f"-{stem}"


@dataclass(frozen=True)
class PlannedFile:
    """A file that is to have these bytes; `why` is for people."""

    path: Path
    data: bytes = field(repr=False)
    why: str
    mode: int = 0o644


@dataclass(frozen=True)
class Plan:
    """What installation means for one service. Executed at most once, and undone as a whole.

    `enable` are units or agents of ours to start and keep. `commands` are run after the files
    were written, `undo` when they are taken away; `kept` are the files that both rewrite.
    `next_step` is what a person does then.
    """

    manager: Manager
    scope: Scope
    mode: Mode
    subject: str
    files: tuple[PlannedFile, ...]
    enable: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    undo: tuple[tuple[str, ...], ...] = ()
    kept: tuple[Path, ...] = ()
    next_step: str = ""
    notes: tuple[str, ...] = ()
