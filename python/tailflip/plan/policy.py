"""The rules for entries as data: each rule with its number; `None` or False turns it off.

The defaults are hygiene and lose next to nothing. The pressure ladder tightens them, one step at a
time and from the least lossy on, until the forecast fits.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import Field

from tailflip.flow.late import dataclass
from tailflip.flow.limits import MAX_CAP_PER_JOB, MAX_CAP_TOTAL
from tailflip.flow.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class DropKind(StrEnum):
    """The kinds of entries that no rule removes by itself, and that a person may name."""

    SUBAGENT = "subagent"
    DREAM = "dream"


class Policy(Value):
    """The rules of one compaction, least lossy first. `native.compile_policy` gives it to Rust.

    `slim_idle_ms` also slims main, direct, group and other protected entries idle for
    that long, and drops none of them. `retention_ms` 0 expires every finished run.
    `drop_kinds` are finished entries of a kind that a person named, each with the age in
    milliseconds above which they go; the ladder does not set it.
    """

    slim: bool = True
    slim_idle_ms: int | None = Field(default=None, ge=0)
    retire: bool = True
    retention_ms: int | None = Field(default=DAY_MS, ge=0)
    max_lifetime_ms: int | None = Field(default=HOUR_MS, ge=0)
    single_flight: bool = True
    cap_per_job: int | None = Field(default=None, ge=1, le=MAX_CAP_PER_JOB)
    cap_total: int | None = Field(default=None, ge=1, le=MAX_CAP_TOTAL)
    drop_kinds: tuple[tuple[DropKind, int], ...] = ()


@dataclass(frozen=True)
class Pressure:
    """One step of the ladder; `apply` tightens a policy, and returns its input if it cannot."""

    name: str
    apply: Callable[[Policy], Policy]


def _slim_idle(limit_ms: int) -> Callable[[Policy], Policy]:
    def apply(policy: Policy) -> Policy:
        if not policy.slim:
            return policy
        return policy.model_copy(update={"slim_idle_ms": _tighter(policy.slim_idle_ms, limit_ms)})

    return apply


def _retain(divisor: int | None) -> Callable[[Policy], Policy]:
    """Shorten the retention, to an hour at least; a `divisor` of None goes there at once.

    A retention that the user turned off stays off.
    """

    def apply(policy: Policy) -> Policy:
        now = policy.retention_ms
        if now is None or now <= HOUR_MS:
            return policy
        shorter = HOUR_MS if divisor is None else max(HOUR_MS, now // divisor)
        return policy.model_copy(update={"retention_ms": shorter})

    return apply


def _cap_per_job(count: int) -> Callable[[Policy], Policy]:
    def apply(policy: Policy) -> Policy:
        return policy.model_copy(update={"cap_per_job": _tighter(policy.cap_per_job, count)})

    return apply


def _cap_total(count: int) -> Callable[[Policy], Policy]:
    def apply(policy: Policy) -> Policy:
        return policy.model_copy(update={"cap_total": _tighter(policy.cap_total, count)})

    return apply


def _tighter(now: int | None, limit: int) -> int:
    return limit if now is None else min(now, limit)


# The steps are taken in this order, each on top of those before it.
PRESSURE_LADDER: tuple[Pressure, ...] = (
    Pressure("slim chats idle for 24 h", _slim_idle(DAY_MS)),
    Pressure("slim chats idle for 1 h", _slim_idle(HOUR_MS)),
    Pressure("half the retention", _retain(2)),
    Pressure("a quarter of the retention", _retain(2)),
    Pressure("retention of 1 h", _retain(None)),
    Pressure("at most 50 runs of a job", _cap_per_job(50)),
    Pressure("at most 10 runs of a job", _cap_per_job(10)),
    Pressure("at most 1 run of a job", _cap_per_job(1)),
    Pressure("at most 500 runs in all", _cap_total(500)),
    Pressure("at most 50 runs in all", _cap_total(50)),
)
