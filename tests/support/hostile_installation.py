"""An installation that somebody filled with malice, and tailflip run on it as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - a dataclass's
from typing import TYPE_CHECKING

from support.folders import Folders

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home

OLD_MS = 1_700_000_000_000


@dataclass
class Ran:
    """What a command line gave. `peak_bytes` is the most memory that it had."""

    code: int
    out: str
    err: str
    peak_bytes: int


@dataclass
class Place(Folders):
    """The folders, and tailflip as a process in them."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = self.make_env() | {
            "TMPDIR": str(self.root),
            "OPENCLAW_GATEWAY_PORT": "1",  # nobody listens there
            "COLUMNS": "200",
        }

    @property
    def home(self) -> Home:
        return self.own

    def put(self, entries: dict[str, object]) -> bytes:
        """Write a store; return its bytes."""
        data = json.dumps(entries, indent=2).encode()
        self.put_bytes(data)
        return data

    def run(self, *argv: str, **popen: object) -> Ran:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailflip", *argv],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                **popen,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        return Ran(process.returncode, *texts, usage.ru_maxrss * 1024)


def make_run(session: str, **fields: object) -> dict[str, object]:
    """An entry of a run that ended long ago, and so goes."""
    return {"sessionId": session, "updatedAt": OLD_MS, "status": "done", **fields}
