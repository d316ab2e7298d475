"""How did a life end that nobody was there to see end?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import clock
from tailflip.flow import WANTED
from tailflip.observe.past import find_past_clues

if TYPE_CHECKING:
    from tailflip.flow import Death, Life
    from tailflip.guard import Guard


def find_unseen_end(guard: Guard, last: Life) -> tuple[Death, Life] | None:
    """Judge a life that ended while nobody looked, and put its end on record.

    Returns:
        None if it ended well, or nothing is known of its end.
    """
    now_ms = clock.now_ms()
    ended = last.model_copy(update={"end_known": False})
    installation = guard.locate()
    found = None
    if installation is not None:
        unit = guard.config.gateway.service
        found = find_past_clues(installation, guard.env, last, now_ms, unit)
    if found is None:
        ended = ended.model_copy(update={"ended_ms": now_ms})
        guard.write(lambda: guard.history.end_life(ended, b""))
        return None
    # Most ends are clean: then neither is needed.
    from tailflip.aftermath import record_death  # noqa: PLC0415
    from tailflip.diagnose.deaths import classify  # noqa: PLC0415

    clues, notes = found
    death = classify(clues)
    death = death.model_copy(update={"evidence": (*death.evidence, *notes)})
    ended = record_death(guard, death, clues, ended, clues.stderr_tail.encode())
    return None if death.cause in WANTED else (death, ended)
