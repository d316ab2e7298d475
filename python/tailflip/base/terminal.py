"""What the terminal of a person can show: its width, its colours, its characters.

A pipe has no width: whoever reads it gets whole lines, unless COLUMNS says how wide they may be.
"""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

ERRORS = "tailflip"  # the name under which `_spell_out` is registered
_LEAST_WIDTH = 20
_SPELT = {"…": "..."}


def find_width(stream: TextIO | None, env: Mapping[str, str] = os.environ) -> int | None:
    """Find how many columns a line may have: COLUMNS, else the terminal's; None for a pipe."""
    told = env.get("COLUMNS", "").strip()
    if told.isascii() and told.isdecimal() and int(told) > 0:
        return max(_LEAST_WIDTH, int(told))
    try:
        if stream is None or not stream.isatty():
            return None
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(_LEAST_WIDTH, columns) if columns > 0 else None


def wants_colour(stream: TextIO | None, choice: str, env: Mapping[str, str] = os.environ) -> bool:
    """Say whether to colour: by `--color`, else NO_COLOR, else FORCE_COLOR, else at a terminal.

    Args:
        stream: where the text goes.
        choice: of the person: `always`, `never`, or `auto`.
        env: NO_COLOR and FORCE_COLOR count if they are not empty.
    """
    if choice != "auto":
        return choice == "always"
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return env["FORCE_COLOR"] != "0"
    return stream is not None and stream.isatty() and env.get("TERM") != "dumb"


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    r"""Write what an encoding lacks as `...` or `\u4e2d`: text for people is never refused."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    text = "".join(
        _SPELT.get(char) or char.encode("ascii", "backslashreplace").decode("ascii")
        for char in lost
    )
    return text, error.end


codecs.register_error(ERRORS, _spell_out)
