"""One agent with one headless transcript, and the hands that write its header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.headless import SESSION, make_messages, make_state
from support.stores import NOW_MS
from tailflip.base.durable import Disk, RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Gateway
from tailflip.ledger.actions import Action, Ledger
from tailflip.observe.installation import Installation, locate
from tailflip.reconcile.headers.headless import Healed, heal_header
from tailflip.reconcile.headers.headless_undo import undo_header

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.stores.restore import RestoreOutcome

NOBODY = Gateway(False, None, None, "test")


@dataclass
class Place:
    path: Path
    home: Home
    gateway: Gateway = NOBODY

    @property
    def installation(self) -> Installation:
        return locate({"HOME": "/nowhere"}, state_dir=self.path.parents[3])

    def workspace(self, disk: Disk | None = None) -> Workspace:
        return Workspace(self.home, disk or RealDisk())

    def heal(self, *, apply: bool = True, disk: Disk | None = None) -> Healed:
        workspace = self.workspace(disk)
        workspace.create()
        return heal_header(
            self.path,
            self.installation,
            self.gateway,
            workspace=workspace,
            apply=apply,
            now_ms=NOW_MS,
        )

    def action(self) -> Action:
        return Ledger(self.workspace()).read_all()[-1]

    def undo(self, *, apply: bool = True) -> RestoreOutcome:
        return undo_header(
            self.action(),
            self.installation,
            self.gateway,
            workspace=self.workspace(),
            apply=apply,
            now_ms=NOW_MS + 1,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = make_state(tmp_path / "openclaw")
    path = folder / f"{SESSION}.jsonl"
    path.write_bytes(b'{"type":"session","vers\0\0\n' + make_messages(40))
    path.chmod(0o640)
    return Place(path, Home(tmp_path / "ours"))
