"""The values of this room: modes, planned files, plans, and the facts that texts depend on."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.observe.host.service import Manager, Scope


class Mode(StrEnum):
    """The modes of tailflip beside a gateway."""

    GATE = "gate"  # runs before each start and leaves no process of its own
    RUN = "run"  # its parent
    WATCH = "watch"  # beside it


@dataclass(frozen=True)
class PlannedFile:
    """A file to write, with its bytes; `why` is for people."""

    path: Path
    data: bytes = field(repr=False)
    why: str
    mode: int = 0o644


@dataclass(frozen=True)
class Plan:
    """The plan of an installation for one service.

    `enable` are units or agents of tailflip to start and keep. `commands` are run after the files
    were written, `undo` when they are removed; `kept` are the files that both rewrite.
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
    """The facts besides the service on which texts depend.

    `tailflip` is the command of tailflip: absolute, for a service has another PATH. `settings` are
    variables that the service needs to find what the shell finds. `unit_dirs` are the folders of
    units by scope, `agents_dir` that of launchd's agents, `data_dir` that of the wrapper script,
    `logs_dir` that of agents' logs. `addresses` are the files with the addresses of those who are
    told, by the names of their credentials; None where nobody is told.
    """

    tailflip: tuple[str, ...]
    settings: Mapping[str, str]
    systemd_version: int
    unit_dirs: Mapping[Scope, Path]
    config_dir: Path
    agents_dir: Path
    data_dir: Path
    logs_dir: Path
    addresses: Mapping[str, Path] | None = None
