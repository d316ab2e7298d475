"""Running programs that tests need: one that fails is told with all that it said."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def run_program(
    argv: Sequence[object],
    *,
    timeout_s: float,
    check: bool = True,
    given: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; with `check`, any exit code but 0 fails the test."""
    done = subprocess.run(
        [str(word) for word in argv],
        input=given,
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done
