"""Reads the settings for verbs that only tell: they go on with mistakes, and name them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tailflip.base.durable import RealDisk
from tailflip.base.render import escape
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.stores.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.config.load import Loaded


def read_and_tell(state_dir: Path | None = None, profile: str | None = None) -> Loaded:
    """Read the settings of the gateway at hand, and name mistakes on standard error."""
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    loaded = read_settings(os.environ, workspace, state_dir=state_dir, profile=profile)
    tell_mistakes(loaded)
    return loaded


def tell_mistakes(loaded: Loaded) -> None:
    """Name the mistakes, and what counts in spite of them."""
    for text in loaded.mistakes:
        print(f"warning: {escape(text)}", file=sys.stderr)
    if loaded.mistakes:
        print(
            f"warning: {loaded.what_counts}; `tailflip config check` looks again", file=sys.stderr
        )
