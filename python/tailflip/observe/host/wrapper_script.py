"""Recognizes tailflip's wrapper script, and reads the gateway's own command from it.

`install.wrapper` writes it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDING = "-gate.sh"  # for `run` too: OpenClaw keeps one path, whatever the script does
MARK = "Written by `tailflip install`; `tailflip uninstall --apply` takes it away again."


def unwrap(command: Sequence[str]) -> tuple[list[str], Path | None]:
    """Read the gateway's own command from a wrapper script; None if it is not tailflip's."""
    if not command or not command[0].endswith(ENDING):
        return list(command), None
    path = Path(command[0])
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
        words = shlex.split(next(line for line in lines if line.startswith("exec ")))
        inner = words[words.index("--") + 1 : -1]
    except (OSError, ValueError, StopIteration):
        return list(command), None
    return [*inner, *command[1:]], path
