"""Gateways in a temporary home, at a time that the test sets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.stores import NOW_MS
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.demo.incident import write_incident
from tailflip.ledger.history import History

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Gateways:
    """A home with tailflip's own directory; the first gateway is the one that is found."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.now_ms = root, NOW_MS
        monkeypatch.setattr(clock, "now_ms", lambda: self.now_ms)
        monkeypatch.setenv("HOME", str(root))
        monkeypatch.setenv("PATH", str(root))
        monkeypatch.setenv("OPENCLAW_STATE_DIR", str(root / "openclaw"))
        monkeypatch.setenv("TAILFLIP_STATE_DIR", str(root / "own"))
        monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", "1")
        for name in ("OPENCLAW_CONFIG_PATH", "XDG_STATE_HOME", "NODE_OPTIONS"):
            monkeypatch.delenv(name, raising=False)
        self.home = Home(root / "own")

    def fill(self, name: str = "openclaw") -> History:
        write_incident(self.root / name, size_bytes=10_000, now_ms=self.now_ms)
        guard = os.path.realpath(self.root / name)
        return History(Workspace(self.home, RealDisk()), guard)
