"""Proves of a run that it is alive, over, or dead with its owner; a function over values.

Each ledger can be wrong: `status` in the store sticks to `running` after a crash and is
absent on healthy runs. A marker in the cron store survives its process. The task ledger
calls a run lost because a set in memory was empty. `prove` asks in this order:
a living process, an end on record, the death of the owner, and then signs of life.

A run without proof is unknown, and its entry is kept.

Source: which ledger says what, and how each of them lies: measured on 2026.3.28 and 2026.4.14.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.base.units import format_span, format_time
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.flow.observed import Gateway, TranscriptLock

# The gateway itself removes a marker after that. A marker of a run without a time-out is
# believed for as long.
MARKER_STUCK_MS = 2 * 3_600_000
# How an end on record was found to be this run's.
BY_KEY = "by its session key"
BY_TIME = "by job and time"
FRESH_MS = 5 * 60_000  # the writer of so recent a line is taken for alive


class Fate(StrEnum):
    """The fate of a run."""

    ALIVE = "alive"
    OVER = "over"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class End:
    """An end that a ledger has on record; `how` says by what it was matched to the run."""

    status: str
    ended_ms: int
    runtime_ms: int
    source: str
    how: str


@dataclass(frozen=True)
class Facts:
    """The facts of one run, from every ledger; None where a ledger says nothing.

    `updated_ms` and `started_ms` are the entry's own. `is_current` says that the
    job's base entry still names this session; None where there is no base entry.
    `ends` are from the run log, the sub-agent registry, the task ledger, in this order of
    trust. `registered` says that a sub-agent run without an end refers to it.
    `marker_ms` is the job's `runningAtMs`, `timeout_ms` how long the job may run (0: for
    ever). `task_seen_ms` is when the task ledger last heard of the run, called running
    there. `died_ms` is when our own ledger saw the owner die. `at_work` says that a living
    process works for it. `knows_ends` and `knows_markers` are False where such records exist in
    a form that is not read.
    """

    now_ms: int
    gateway: Gateway
    updated_ms: int | None = None
    started_ms: int | None = None
    is_current: bool | None = None
    ends: tuple[End, ...] = ()
    registered: bool = False
    lock: TranscriptLock | None = None
    marker_ms: int | None = None
    timeout_ms: int | None = None
    task_seen_ms: int | None = None
    transcript_ms: int | None = None
    died_ms: int | None = None
    at_work: bool = False
    began_ms: int | None = None
    owner_pid: int | None = None
    holder_pid: int | None = None
    knows_ends: bool = True
    knows_markers: bool = True

    @property
    def seen_ms(self) -> int | None:
        """Time of the last sign of life in the store or the transcript."""
        signs = (self.updated_ms, self.started_ms, self.transcript_ms)
        return max((sign for sign in signs if sign is not None), default=None)


@dataclass(frozen=True)
class Proof:
    """The verdict on one run. `status` and the times are set for `over` and `dead`.

    `may_live` says that the run may be at work, also for want of proof: its entry stays as it is.
    """

    fate: Fate
    words: tuple[str, ...]
    status: str | None = None
    ended_ms: int | None = None
    runtime_ms: int | None = None
    may_live: bool = False


def prove(facts: Facts) -> Proof:
    """Judge one run by its facts, and give the reason in words."""
    proof = _judge(facts)
    may_live = proof.fate is Fate.ALIVE or (proof.fate is Fate.UNKNOWN and _may_live(facts))
    return replace(proof, may_live=True) if may_live else proof


def _judge(facts: Facts) -> Proof:
    end, against = _choose_end(facts)
    for judge in (_prove_by_lock, _prove_by_process, _prove_by_registry):
        proof = judge(facts, end)
        if proof is not None:
            return proof
    if end is not None:
        return _tell_end(end, facts, against)
    return (
        _prove_by_owner(facts)
        or _prove_by_signs(facts)
        or Proof(Fate.UNKNOWN, (*_tell_what_is_missing(facts), *against))
    )


def _may_live(facts: Facts) -> bool:
    """Say whether a run without proof either way may be at work, whatever its age.

    A marker protects for as long as it is there: the gateway that could be running the job
    removes the marker itself, after the job's time-out or two hours.
    """
    if facts.gateway.alive is False:
        return facts.holder_pid is not None
    started, seen, updated = facts.gateway.started_ms, facts.seen_ms, facts.updated_ms
    if started is not None and seen is not None and seen < started:
        return False
    if started is not None and updated is not None and updated < started:
        return True  # the entry is older than the gateway, which has written its transcript since
    if not facts.knows_markers:
        return True
    marker = facts.marker_ms
    return marker is not None and facts.is_current is not False and _covers(facts, marker)


def _choose_end(facts: Facts) -> tuple[End | None, tuple[str, ...]]:
    """Take the first end on record; say where another ledger contradicts it."""
    started = facts.started_ms
    usable = [
        e
        for e in facts.ends
        if (started is None or e.ended_ms >= started) and not _is_of_another_run(facts, e)
    ]
    words = [
        f"the {e.source} knows only of an end at {format_time(e.ended_ms)}, of another run"
        for e in facts.ends
        if e not in usable
    ]
    words += [
        f"the {other.source} says {other.status} instead"
        for other in usable[1:]
        if other.status != usable[0].status
    ]
    return (usable[0] if usable else None), tuple(words)


def _is_of_another_run(facts: Facts, end: End) -> bool:
    """Say whether an end that names no run began before its job was marked for this one."""
    if end.how != BY_TIME or facts.marker_ms is None or facts.updated_ms is None:
        return False
    return end.ended_ms - end.runtime_ms < facts.marker_ms <= facts.updated_ms


def _prove_by_lock(facts: Facts, end: End | None) -> Proof | None:
    if facts.lock is None or facts.lock.alive is False:
        return None
    who = "a process" if facts.lock.pid is None else f"pid {facts.lock.pid}"
    lives = "which lives" if facts.lock.alive else "which may live"
    words = [f"its transcript is locked by {who}, {lives}"]
    if end is not None:
        words.append(f"although the {end.source} says it ended {end.status}")
    return Proof(Fate.ALIVE, tuple(words))


def _tell_end(end: End, facts: Facts, against: tuple[str, ...]) -> Proof:
    """Tell an end on record; of a killed run the record has the time at which that was found.

    That may be hours later: so it ended with its owner, else at its last sign of life.
    """
    when = f"the {end.source} says it ended {end.status} at {format_time(end.ended_ms)}"
    ended_ms, runtime_ms = end.ended_ms, end.runtime_ms
    if end.status == "killed":
        when = f"the {end.source} says it was killed, at {format_time(ended_ms)} or before"
        known = facts.died_ms
        if known is None and end.how in (BY_KEY, BY_TIME):
            known = facts.seen_ms
        if known is not None and known < ended_ms:
            runtime_ms = max(0, runtime_ms - (ended_ms - known))
            ended_ms = known
    return Proof(Fate.OVER, (f"{when} ({end.how})", *against), end.status, ended_ms, runtime_ms)


def _prove_by_process(facts: Facts, end: End | None) -> Proof | None:
    """Prove life by a process that works for a run: an agent of another program takes no lock."""
    if end is not None:
        return None
    if facts.owner_pid is not None:
        word = f"its receipt names pid {facts.owner_pid}, which lives"
        return Proof(Fate.ALIVE, (word,))
    return Proof(Fate.ALIVE, ("a living process works for it",)) if facts.at_work else None


def _prove_by_registry(facts: Facts, end: End | None) -> Proof | None:
    if not facts.registered:
        return None
    word = "a sub-agent run without an end refers to it"
    if facts.gateway.alive is False:
        return Proof(Fate.UNKNOWN, (f"{word}: the gateway may resume it at its next start",))
    against = () if end is None else (f"although the {end.source} says it ended {end.status}",)
    return Proof(Fate.ALIVE, (word, *against))


def _prove_by_owner(facts: Facts) -> Proof | None:
    """Prove that a run died with its process, if that is certain."""
    gateway, seen = facts.gateway, facts.seen_ms
    if seen is None:
        return None
    if gateway.alive is False:
        word = f"no gateway is running ({gateway.evidence})"
        if facts.holder_pid is not None:
            held = f"{word}, but pid {facts.holder_pid} has its store open by a lease"
            return Proof(Fate.UNKNOWN, (held,))
    elif gateway.started_ms is not None and seen < gateway.started_ms:
        since = format_time(gateway.started_ms)
        word = f"its last sign of life is older than the gateway, which started at {since}"
    else:
        return None
    if not facts.knows_ends:
        untold = f"{word}: it is over, but how it ended stands in records that are not read"
        return Proof(Fate.UNKNOWN, (untold,))
    ended = seen
    words = [f"{word}, and no ledger has an end of it"]
    if facts.died_ms is not None and facts.died_ms >= seen:
        ended = facts.died_ms
        words.append(f"its gateway died at {format_time(ended)}")
    else:
        words.append(f"last sign of life at {format_time(seen)}")
    if (
        facts.marker_ms is not None
        and facts.updated_ms is not None
        and (facts.marker_ms <= facts.updated_ms)
    ):
        words.append("its job is still marked as running: the marker outlived its owner")
    began = next((t for t in (facts.began_ms, facts.updated_ms) if t is not None), ended)
    return Proof(Fate.DEAD, tuple(words), "killed", ended, max(0, ended - began))


def _prove_by_signs(facts: Facts) -> Proof | None:
    """Prove life by a recent record that a living gateway writes."""
    now = facts.now_ms
    marker = facts.marker_ms
    if marker is not None and facts.is_current is not False and _covers(facts, marker):
        age = now - marker
        limit = MARKER_STUCK_MS if facts.timeout_ms is None else facts.timeout_ms
        if limit == 0 or age <= max(limit, FRESH_MS):
            word = f"its job is marked as running since {format_time(marker)}"
            return Proof(Fate.ALIVE, (f"{word}, within its time-out",))
    written = facts.transcript_ms
    if written is not None and now - written < FRESH_MS:
        word = f"its transcript was written {format_span(max(0, now - written))} ago"
        return Proof(Fate.ALIVE, (word,))
    heard = facts.task_seen_ms
    if heard is not None and now - heard < FRESH_MS:
        word = f"the task ledger heard of it {format_span(max(0, now - heard))} ago"
        return Proof(Fate.ALIVE, (word,))
    return None


def _covers(facts: Facts, marker_ms: int) -> bool:
    """Say whether a marker can be this run's: set before its entry, by the living gateway."""
    started = facts.gateway.started_ms
    by_this_gateway = started is None or marker_ms >= started
    return by_this_gateway and facts.updated_ms is not None and facts.updated_ms >= marker_ms


def _tell_what_is_missing(facts: Facts) -> tuple[str, ...]:
    words = []
    if facts.is_current is False:
        words.append("a newer run of its job has started since")
    if facts.marker_ms is None and facts.is_current is not None and facts.knows_markers:
        words.append("its job is not marked as running")
    elif facts.marker_ms is not None:
        words.append("its job's marker is of another run, or older than any run may be")
    if not facts.knows_markers:
        words.append("whether its job is marked as running stands in records that are not read")
    if facts.seen_ms is None:
        words.append("it carries no time")
    if facts.gateway.alive is None:
        words.append(f"whether a gateway runs could not be told ({facts.gateway.evidence})")
    words.append(
        "no ledger has an end of it"
        if facts.knows_ends
        else "whether it ended stands in records that are not read"
    )
    return tuple(words)
