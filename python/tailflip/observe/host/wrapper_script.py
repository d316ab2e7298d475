"""The script of ours that OpenClaw starts its gateway through: how it is known, and seen through.

`install.wrapper` writes it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDING = "-gate.sh"  # for `run` too: OpenClaw is told of one path, whatever stands in it
MARK = "Written by `tailflip install`; `tailflip uninstall --apply` takes it away again."


def unwrap(command: Sequence[str]) -> tuple[list[str], Path | None]:
    """See through a script of ours to the gateway's own command; None if there is none."""
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
