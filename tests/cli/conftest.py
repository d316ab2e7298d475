"""An installation in a temporary directory, and a way to run one command line on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.answers import check_answer, check_code
from support.folders import Folders
from tailflip import cli
from tailflip.base import clock, log
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 3_000_000


@dataclass(frozen=True)
class Place(Folders):
    """The folders, and command lines that run in them."""

    root: Path
    captured: pytest.CaptureFixture[str]

    @property
    def home(self) -> Path:
        return self.own.root

    def fill(self, size_bytes: int = SMALL) -> bytes:
        """Write the incident in small; return the store's bytes."""
        write_incident(self.state, size_bytes=size_bytes, now_ms=clock.now_ms())
        return self.store.read_bytes()

    def put(self, data: bytes) -> None:
        """Write a store of these bytes, and nothing else."""
        self.put_bytes(data)

    def run(self, *argv: str) -> tuple[int, str, str]:
        """Run one command line in this process: exit code, stdout, stderr."""
        code = cli.run(list(argv))
        log.flush()
        out, err = self.captured.readouterr()
        check_code(argv, code)
        check_answer(argv, code, out)
        return code, out, err

    def list_litter(self) -> list[str]:
        """Name the files beside the store that we could have left there."""
        names = (path.name for path in self.store.parent.iterdir())
        return [name for name in names if name.endswith((".tmp", ".lock", ".partial"))]


@pytest.fixture
def place(tmp_path, monkeypatch, capfd):
    for name in ("OPENCLAW_CONFIG_PATH", "OPENCLAW_GATEWAY_PORT", "XDG_STATE_HOME", "NODE_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # no node: the limit is what we say
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path / "openclaw"))
    monkeypatch.setenv("TAILFLIP_STATE_DIR", str(tmp_path / "tailflip"))
    monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", "1")  # nobody listens there
    return Place(tmp_path, capfd)
