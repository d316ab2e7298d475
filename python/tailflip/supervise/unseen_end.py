"""Judges an end that no supervisor saw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.diagnose.causes import CAUSES, WANTED
from tailflip.flow.lives import LifeMode
from tailflip.observe.gateway.past import find_past_clues
from tailflip.supervise.elapsed import read_end

if TYPE_CHECKING:
    from tailflip.flow.lives import Death, Life
    from tailflip.supervise.context import GuardedGateway


def find_unseen_end(gateway: GuardedGateway, last: Life | None) -> tuple[Death, Life] | None:
    """Judge an end that no supervisor saw, and put it on record.

    Args:
        gateway: whose gateway it was.
        last: the life on record without an end; None when no life was recorded: the traces of a
            gateway from before our time are looked at all the same.

    Returns:
        None if it ended well, or its end left no traces.
    """
    now_ms = clock.now_ms()
    installation = gateway.locate()
    found = None
    if installation is not None:
        unit = gateway.config.gateway.service
        found = find_past_clues(installation, gateway.env, last, now_ms, unit)
    if found is None:
        if last is not None:
            ended = last.model_copy(update={"end_known": False, **read_end(last)})
            gateway.record.end_life(ended)
        return None
    # Most ends are clean: then none of these is needed.
    from tailflip.diagnose.deaths import classify  # noqa: PLC0415
    from tailflip.supervise.found_damage import look_into  # noqa: PLC0415
    from tailflip.supervise.found_need import find_need  # noqa: PLC0415
    from tailflip.supervise.new_life import new_life  # noqa: PLC0415
    from tailflip.supervise.post_mortem import record_death  # noqa: PLC0415

    clues, notes = found
    if last is None:
        began_ms = now_ms if clues.began_ms is None else clues.began_ms
        last = new_life(gateway, LifeMode.UNSEEN, began_ms).model_copy(
            update={"started_mono_ms": None, "begin_known": clues.began_ms is not None}
        )
    clues = look_into(gateway, clues)
    death = classify(clues)
    if not CAUSES[death.cause].is_explained:
        clues = replace(clues, need=find_need(gateway, last.started_ms))
        death = classify(clues)
    death = death.model_copy(update={"evidence": (*death.evidence, *notes)})
    cured = clues.need is not None and clues.need.was_compacted
    ended = last.model_copy(update={"end_known": False, "cured": cured})
    ended = record_death(gateway, death, clues, ended, clues.stderr_tail.encode())
    return None if death.cause in WANTED else (death, ended)
