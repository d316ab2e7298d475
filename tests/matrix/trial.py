"""One release under trial: what it is, how it was found to be, and the questions others need."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import real_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from real_gateway import Install

    from matrix.lines import Line

INSTALL = "is installed"
BOOT = "boots on an empty directory"
KILLED = "is killed in mid-run"
BOOTS_S = 240  # a machine may be busy


@dataclass
class Trial:
    install: Install
    folder: Path
    line: Line
    heap_mib: int = 0
    dies_with: int = 0
    has_healthz: bool = True

    def copy(self, state: Path, name: str) -> Path:
        """Copy a state directory, so that what is asked of it changes nothing for the next."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return shutil.copytree(state, place / "state", symlinks=True)

    def ask(self, state: Path, *words: str) -> dict[str, Any]:
        """Ask tailflip for one of its documents."""
        ran = real_gateway.tailflip(self.install, state, *words, "--json")
        assert ran.returncode in {0, 1}, f"exit {ran.returncode}: {ran.stderr[-600:]}"
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer
