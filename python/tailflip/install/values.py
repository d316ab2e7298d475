"""What passes through this room: a service that was found, what would be written, what was."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.observe.host.service import Manager, Scope


class Mode(StrEnum):
    """How tailflip stands to the gateway."""

    GATE = "gate"  # in front of each start; nothing stays
    RUN = "run"  # its parent
    WATCH = "watch"  # beside it


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


@dataclass(frozen=True)
class Facts:
    """What texts depend on besides the service.

    `tailflip` is how we are started: absolute, for a service has another PATH. `settings` are
    variables that the service must have to find what the shell finds. `unit_dirs` is where
    units go by scope, `agents_dir` where launchd looks, `data_dir` where a script of ours may
    lie, `logs_dir` where logs of agents do.
    """

    tailflip: tuple[str, ...]
    settings: Mapping[str, str]
    systemd_version: int
    unit_dirs: Mapping[Scope, Path]
    config_dir: Path
    agents_dir: Path
    data_dir: Path
    logs_dir: Path
