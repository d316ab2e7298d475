"""Verbs that no person gives: tailflip starts them itself, or a timer of its own does.

They are in no help. What a person gives in their place is `tailflip alerts`.
"""

from __future__ import annotations

import os
from pathlib import Path

from tailflip.base.errors import Usage

HIDDEN = frozenset({"_send", "_turn", "_beat"})


def run_hidden(verb: str, words: list[str]) -> int:
    """Run one of them; each imports only what it needs.

    Raises:
        Usage: bad arguments.
    """
    if verb == "_send":
        from tailflip.alerts.sending.child import run as send  # noqa: PLC0415 - see above

        return send(os.environ)
    if verb == "_turn":
        from tailflip.alerts.errand import run as turn  # noqa: PLC0415 - see above

        return turn(os.environ)
    is_given_up = words[1:] == ["--given-up"]
    is_whole = len(words) == 1 or is_given_up
    name, equals, state_dir = words[0].partition("=") if is_whole else ("", "", "")
    if name != "--state-dir" or not equals or not Path(state_dir).is_absolute():
        raise Usage("`_beat` is for tailflip's own timer", hint="give `tailflip alerts flush`")
    from tailflip.supervise.beat import beat  # noqa: PLC0415 - see above

    beat(Path(state_dir), os.environ, is_given_up=is_given_up)
    return 0
