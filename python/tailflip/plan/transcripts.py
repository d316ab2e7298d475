"""Weighs transcripts against the heap, and decides what becomes of one before a start.

Pure functions of values. Measured on the real gateway, with one session. The limits are those that
node reports, 192 MiB above its flag, and the share is the transcript's of that limit:

2026.4.14   300 MB of tool results   dies at 1,216 MiB (24 %), in three starts of three
            300 MB of tool results   lives at 2,240 MiB (13 %)
            300 MB of images         lives at 2,240 MiB; no answer for 36 s
            100 MB of text           lives at 892 MiB (11 %)
2026.7.35   300 MB of images         lives at 2,240 MiB; no answer for 60 s
both        560 MB                   each message fails

So from 20 % on a transcript counts as deadly, and from 10 % on a stall is worth telling. A release
with transcripts in files reads one whole at each message to its session, and none at its start: a
start is never refused for a transcript.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.flow.values import STRING_LIMIT_CHARS

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Capabilities

HUGE_SHARE = 0.1
DEADLY_SHARE = 0.2


class Weight(StrEnum):
    """How heavy a transcript is for a heap."""

    LIGHT = "light"
    HUGE = "huge"
    DEADLY = "deadly"
    TOO_LONG = "too long"


class Remedy(StrEnum):
    """What becomes of a transcript before a start."""

    FINE = "fine"
    SLIM = "slim"
    TOLD = "told"


@dataclass(frozen=True)
class Allowed:
    """What the file itself, and the settings, allow.

    `may_write`: it is ours to write, with no living lock. `slims`: the policy.
    """

    may_write: bool = True
    slims: bool = True


def weigh(size_bytes: int, limit_bytes: int | None) -> Weight:
    """Weigh a transcript; where the heap's limit is unknown, only its length counts."""
    if size_bytes > STRING_LIMIT_CHARS:
        return Weight.TOO_LONG
    if limit_bytes is None or size_bytes <= HUGE_SHARE * limit_bytes:
        return Weight.LIGHT
    return Weight.DEADLY if size_bytes > DEADLY_SHARE * limit_bytes else Weight.HUGE


def choose_remedy(
    size_bytes: int,
    slim_bytes: int | None,
    limit_bytes: int | None,
    *,
    capabilities: Capabilities,
    allowed: Allowed,
) -> Remedy:
    """Choose the mildest remedy that lets the session live.

    Args:
        size_bytes: Of the transcript now.
        slim_bytes: Forecast of its size once slimmed; None where nobody made one.
        limit_bytes: The heap of the gateway that starts next; None where it is unknown.
        capabilities: Of that gateway's release.
        allowed: What may be done to the file.
    """
    weight = weigh(size_bytes, limit_bytes)
    if weight is Weight.LIGHT or not capabilities.may_read_transcripts:
        return Remedy.FINE
    if weight is Weight.HUGE or not allowed.may_write:
        return Remedy.TOLD  # a stall loses nothing
    if allowed.slims and slim_bytes is not None:
        slimmed = weigh(slim_bytes, limit_bytes)
        if slimmed in (Weight.LIGHT, Weight.HUGE):
            return Remedy.SLIM
    return Remedy.TOLD
