"""The answers of `install` and `uninstall`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from tailflip.cli.answers.base import Answer, Part, taken


class InstalledFile(Part):
    """A file of ours; `changes`: it is to be written, or was."""

    path: Path
    why: str
    changes: bool
    text: str


class PlannedService(Part):
    """A service, and what `install` does to it."""

    name: str
    manager: str
    scope: str
    mode: str
    openclaw_version: str | None
    state_dir: Path | None
    files: tuple[InstalledFile, ...]
    enable: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    next_step: str
    complaints: tuple[str, ...]


class Undone(Part):
    """A command of the service manager that failed, and why."""

    command: tuple[str, ...]
    reason: str


class Outcome(Part):
    """What became of a plan; `undone` is what the service manager did not do."""

    name: str = taken("subject")
    changed_paths: tuple[Path, ...] = taken("changed")
    undone: tuple[Undone, ...]
    notes: tuple[str, ...]


class Install(Answer):
    """The services that tailflip stands in front of, and the files for it."""

    verb: Literal["install"] = "install"
    applied: bool
    services: tuple[PlannedService, ...]
    outcomes: tuple[Outcome, ...]


class WrittenFile(Part):
    """A file that goes, or becomes what it was before."""

    path: Path
    existed_before: Annotated[bool, BeforeValidator(lambda before: before is not None)] = taken(
        "before"
    )


class InstalledService(Part):
    """A service, and what `install` wrote for it."""

    name: str = taken("subject")
    manager: str
    scope: str
    mode: str
    at_ms: int
    files: tuple[WrittenFile, ...]


class Uninstall(Answer):
    """What `uninstall` takes away, or took away."""

    verb: Literal["uninstall"] = "uninstall"
    applied: bool
    services: tuple[InstalledService, ...]
    outcomes: tuple[Outcome, ...]
