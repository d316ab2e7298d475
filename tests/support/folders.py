"""Where a test puts OpenClaw's directories and tailflip's, and an environment that names them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tailflip.base.state_dir import Home

if TYPE_CHECKING:
    from pathlib import Path


class Folders:
    """State directories of OpenClaw and tailflip below one folder."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "openclaw"

    @property
    def store(self) -> Path:
        return self.state / "agents" / "main" / "sessions" / "sessions.json"

    @property
    def own(self) -> Home:
        """tailflip's own."""
        return Home(self.root / "tailflip")

    def put_bytes(self, data: bytes) -> None:
        """Write a store of these bytes, readable by nobody else."""
        self.store.parent.mkdir(parents=True, exist_ok=True)
        self.store.write_bytes(data)
        self.store.chmod(0o600)

    def put_other(self, name: str) -> Folders:
        """Put a second installation below these, with a store of the same bytes."""
        other = Folders()
        other.root = self.root / name
        other.put_bytes(self.store.read_bytes())
        (other.state / "openclaw.json").write_text("{}")
        return other

    def put_openclaw(self, version: str) -> str:
        """Put a package `openclaw` of a version on the PATH; it ends well at once."""
        package = self.root / "lib" / "node_modules" / "openclaw"
        package.mkdir(parents=True, exist_ok=True)
        (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": version}))
        entry = package / "openclaw.mjs"
        entry.write_text("#!/bin/sh\nexit 0\n")
        entry.chmod(0o755)
        program = self.root / "bin" / "openclaw"
        program.parent.mkdir(exist_ok=True)
        program.unlink(missing_ok=True)
        program.symlink_to(entry)
        return str(program)

    def make_env(self) -> dict[str, str]:
        """An environment that names them and has no node: the heap limit is what a test says."""
        kept = ("PYTHONPATH", "LANG")
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(self.root),
            "PATH": str(self.root / "bin"),
            "OPENCLAW_STATE_DIR": str(self.state),
            "TAILFLIP_STATE_DIR": str(self.own.root),
        }
