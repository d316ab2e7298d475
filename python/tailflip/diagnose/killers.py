"""Finds the work that kills the gateway each time it is resumed: a session or a job.

A gateway that starts again goes on with what it was at: it resumes a session, and runs an
interrupted job again. If that is what killed it, it dies again, without end. 2026.9.6 counts
attempts and gives up after three, but forgets each attempt whose turn has begun: nine of nine
resumes died, and none was the last (measured).

So a work is suspected if it was in flight at each of the last deaths in a row. It is named if it
is the only one: which of two kills nobody can tell. A death with nothing in flight ends the row.
So does one whose cause no work brings about, and one at which nobody could look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.diagnose.causes import OF_WORK, WANTED
from tailflip.flow.work import Killer, WorkKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tailflip.flow.lives import Life
    from tailflip.flow.work import Work

_Name = tuple[WorkKind, str]


def list_suspects(
    lives: Sequence[Life],
    *,
    deaths: int,
    good_life_s: float,
    held_ms: Mapping[_Name, int] | None = None,
) -> tuple[Killer, ...]:
    """List the works that were in flight at each of the last deaths.

    Args:
        lives: newest first. Ends that somebody wanted do not count. After a good life that
            ended so, no session is suspected for the deaths before; after the last, nothing is.
        deaths: as many in a row are needed.
        good_life_s: a session is resumed right after a start. A life of this length shows that
            it survived that, so no earlier death counts for the session. It is counted from the
            first answer.
        held_ms: when a work was held last, by its name: earlier deaths were its due.
    """
    row = tuple(_take_row(lives, good_life_s))
    if not row or row[0].in_flight is None:
        return ()  # the last life was a good one, and somebody ended it
    counted = [
        Killer(work=work, deaths=_count(work, row, good_life_s, (held_ms or {}).get(work.name)))
        for work in row[0].in_flight or ()
    ]
    found = [each for each in counted if each.deaths >= deaths]
    jobs = {each.work.key for each in found if each.work.kind is WorkKind.JOB}
    # The turn of a job without a session of its own is that job's.
    return tuple(each for each in found if each.work.job not in jobs)


def pick(suspects: Sequence[Killer]) -> Killer | None:
    """Pick the only suspect; of several, none."""
    return suspects[0] if len(suspects) == 1 else None


def _take_row(lives: Sequence[Life], good_life_s: float) -> Iterator[Life]:
    """Take the last deaths that a work may have brought about, newest first.

    Good lives that somebody ended are among them, with nothing in flight.
    """
    for life in lives:
        if life.death is None and life.ended_ms is None:
            continue  # it lives, or its end is not judged yet
        if life.death is not None and life.death.cause in WANTED:
            if _is_good(life, good_life_s):
                yield life.model_copy(update={"in_flight": None})
            continue
        if life.death is None or life.death.cause not in OF_WORK or not life.in_flight:
            return
        yield life


def _count(work: Work, row: Sequence[Life], good_life_s: float, held_ms: int | None) -> int:
    count, is_session = 0, work.kind is WorkKind.SESSION
    for life in row:
        if life.in_flight is None:
            if is_session:
                break
            continue
        is_there = any(each.name == work.name for each in life.in_flight)
        if not is_there or (held_ms is not None and (life.ended_ms or 0) <= held_ms):
            break
        count += 1
        if is_session and _is_good(life, good_life_s):
            break
    return count


def _is_good(life: Life, good_life_s: float) -> bool:
    """Say whether a life was long enough, counted from its first answer where that is known.

    A start may take minutes, and nothing is resumed before its end.
    """
    lasted_s, ready_ms = life.uptime_s, life.ready_after_ms
    return lasted_s is None or lasted_s - (ready_ms or 0) / 1000 >= good_life_s
