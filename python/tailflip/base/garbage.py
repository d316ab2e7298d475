"""When Python looks for garbage: not while a verb is imported, and not at its end."""

from __future__ import annotations

import gc

# Verbs import more as they go on, and their values hold few cycles.
_NEW_OBJECTS = 5_000


def collect_while_importing() -> None:
    """Collect garbage of imports too: a little slower, and a MiB less in a process that stays."""
    gc.enable()


def collect_from_now() -> None:
    """Collect garbage from now on, and never look again through what was imported so far.

    To look through it all the same took a tenth of a start.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)
    gc.enable()


def collect_no_more() -> None:
    """Collect nothing more: the process ends, and Python would look through everything again."""
    gc.disable()
