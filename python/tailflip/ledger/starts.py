"""The last start that `gate` or `preflight` judged: they are gone when a person asks."""

from __future__ import annotations

from tailflip.flow.values import Value

FACT = "last-start"


class JudgedStart(Value):
    """What became of one start; `mode` is gate or preflight.

    `go` says that the gateway was let start, `looked` False that we could not do our work
    and let it start all the same. `reason` is that of a refusal. `actions` are the ids of what
    was done to stores and ledgers before, None if that is not known. `life` began with it.
    `pid` is of the process that judged, with its start in clock ticks since boot; it became
    the gateway, or waits (is parked) after a refusal. `other_pid` is of the living gateway, or
    its supervisor, for whose sake it was refused.
    """

    at_ms: int
    mode: str
    go: bool
    looked: bool = True
    reason: str = ""
    hint: str | None = None
    actions: tuple[str, ...] | None = None
    life: str | None = None
    pid: int | None = None
    pid_ticks: int | None = None
    other_pid: int | None = None
