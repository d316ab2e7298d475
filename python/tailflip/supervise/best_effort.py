"""A gateway's history for callers that must go on when the ledger fails.

`ledger.history.History` raises. `BestEffortHistory` has the methods that a start, an end and
the time between them need, logs why the ledger failed, and returns what an empty ledger would.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tailflip.base import clock, log
from tailflip.base.errors import TailflipError
from tailflip.flow.lives import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tailflip.flow.findings import Finding
    from tailflip.flow.lives import Death, Decision, Incident, Life, Moment
    from tailflip.flow.maintenance import Maintenance
    from tailflip.flow.observed import Sample
    from tailflip.ledger.actions import Action
    from tailflip.ledger.findings import NotedFinding
    from tailflip.ledger.history import History
    from tailflip.ledger.runs import SeenRun
    from tailflip.ledger.starts import JudgedStart

_T = TypeVar("_T")
_D = TypeVar("_D")
_MOST_LEFT = 500  # each life leaves a few


class BestEffortHistory:
    """The record of one gateway, as far as the ledger can be used.

    No method raises because of the ledger. The reason is logged once, and again when the
    reason changes or after a write that is sure. What could not be written, as on a full disk, is
    kept in order, and written with the next write that succeeds.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._last_error: str | None = None
        self._left: deque[Callable[[], object]] = deque(maxlen=_MOST_LEFT)
        self._incidents: dict[str, str] = {}  # of lives whose end was written late
        # Called after something was written of which people may have to hear, in any thread.
        self.on_news: Callable[[], None] = _do_nothing

    # --- lives ---------------------------------------------------------------------------

    def begin_life(self, life: Life) -> None:
        """Put a life on record before its process starts."""
        self._write(lambda: self._history.lives.begin(life), is_sure=True)

    def update_life(self, life: Life) -> None:
        """Put the present state of a life on record."""
        self._write(lambda: self._history.lives.update(self._with_incident(life)), is_sure=True)

    def end_life(self, life: Life, stderr_tail: bytes = b"") -> None:
        """Put the end of a life on record, with its last words."""
        self._write(lambda: self._history.lives.end(life, stderr_tail), is_sure=True)

    def end_in_incident(
        self, life: Life, death: Death, now_ms: int, stderr_tail: bytes = b""
    ) -> Life:
        """Put the end of a life on record with its incident; return the life as it is there."""
        ended = life

        def write() -> None:
            nonlocal ended
            incident = self._history.incidents.open(death, now_ms)
            self._incidents = {life.id: incident.id}  # updates of this life alone may follow
            ended = self._with_incident(life)
            self._history.lives.end(ended, stderr_tail)

        self._write(write)
        return ended

    def count_down(self) -> None:
        """Count the time for which no gateway lives, while it lasts."""
        now_ms = clock.now_ms()
        self._write(lambda: self._history.lives.count_down(now_ms), is_news=False)

    def find_life(self, life_id: str) -> Life | None:
        """Find a life by its name."""
        return self._read(lambda: self._history.lives.find(life_id), None)

    def read_lives(self) -> tuple[Life, ...]:
        """Read the last lives, the newest first."""
        return self._read(self._history.lives.read, ())

    def read_last_life(self) -> Life | None:
        """Read the newest life."""
        return next(iter(self._read(lambda: self._history.lives.read(1), ())), None)

    # --- decisions -----------------------------------------------------------------------

    def read_breaker(self) -> Breaker:
        """Read the breaker; a closed one where nothing is on record."""
        return self._read(self._history.decisions.read_breaker, Breaker())

    def record_breaker(self, breaker: Breaker) -> None:
        """Put the breaker on record."""
        self._write(lambda: self._history.decisions.record_breaker(breaker))

    def record_decision(self, decision: Decision, breaker: Breaker, life_id: str | None) -> None:
        """Put a decision and the breaker on record, in one commit."""
        now_ms = clock.now_ms()
        self._write(lambda: self._history.decisions.record(decision, breaker, life_id, now_ms))

    def read_standing_decision(self) -> Decision | None:
        """Read the decision that no start has followed yet."""
        return self._read(self._history.decisions.read_standing, None)

    def is_undecided(self, life: Life) -> bool:
        """Say whether a life that ended has a verdict and no decision yet."""
        return self._read(lambda: self._history.decisions.is_undecided(life), default=False)

    # --- maintenance ---------------------------------------------------------------------

    def read_maintenance(self, known: Maintenance | None, now: Moment) -> Maintenance | None:
        """Read the maintenance that lasts, and put the end of one on record that is over.

        Args:
            known: what lasted before; it counts to its end where the ledger cannot be read.
            now: this moment.
        """

        def read() -> Maintenance | None:
            if not self._history.has_maintenance():
                return None
            self._history.maintenances.settle(now)
            return self._history.maintenances.read_active(now)

        return self._read(read, known if known is not None and _lasts(known, now) else None)

    def note_maintenance(self, now: Moment) -> None:
        """Put on record what is left of the maintenance, so that no clock gives it more."""
        self._write(lambda: self._history.maintenances.note_rest(now))

    # --- starts --------------------------------------------------------------------------

    def record_start(self, start: JudgedStart) -> None:
        """Put the verdict on a start on record."""
        self._write(lambda: self._history.starts.record(start))

    def take_trial(self) -> bool:
        """Say whether a person asked for a trial at once; it counts once."""
        last = self.read_last_life()
        life_id = last.id if last is not None else None
        return self._read(lambda: self._history.starts.take_trial(life_id), default=False)

    def is_trial_asked(self) -> bool:
        """Say whether a person asked for a trial that no start has honoured."""
        return self._read(self._history.starts.is_trial_asked, default=False)

    # --- incidents and findings ----------------------------------------------------------

    def open_incident(self, death: Death, now_ms: int) -> Incident | None:
        """Open the incident of a death, or return the open one."""
        return self._read(lambda: self._history.incidents.open(death, now_ms), None)

    def close_incidents(self) -> tuple[Incident, ...]:
        """Close the open incidents, and return them."""
        return self._read(lambda: self._history.incidents.close_all(clock.now_ms()), ())

    def read_findings(self) -> tuple[NotedFinding, ...]:
        """Read the findings that stand."""
        return self._read(self._history.findings.read, ())

    def note(self, findings: Sequence[Finding], codes: Collection[str]) -> None:
        """Open these findings, and end the others of the same codes."""

        def write() -> None:
            if self._history.findings.note(findings, clock.now_ms(), codes):
                self.on_news()

        self._write(write, is_news=False)

    # --- what was seen and done ----------------------------------------------------------

    def record_sample(self, sample: Sample, life_id: str) -> None:
        """Put a measurement on record if it has changed; a failure is not logged."""
        with suppress(TailflipError, OSError):
            self._catch_up()
            self._history.samples.record(sample, life_id)

    def read_samples(self, life_id: str) -> tuple[Sample, ...]:
        """Read a life's measurements."""
        return self._read(lambda: self._history.samples.read(0, life_id=life_id), ())

    def record_runs(self, runs: Sequence[SeenRun]) -> None:
        """Put the runs in flight on record."""
        self._write(lambda: self._history.runs.put(tuple(runs)), is_news=False)

    def read_actions(self) -> tuple[Action, ...]:
        """Read the actions on the stores of all gateways."""
        from tailflip.ledger.actions import Ledger  # noqa: PLC0415 - a start does without

        workspace = self._history.workspace
        return tuple(self._read(Ledger(workspace).read_all, ()))

    def get_fact(self, name: str) -> Any:
        """Read a fact; None where there is none."""
        return self._read(lambda: self._history.facts.get(name), None)

    def put_fact(self, name: str, value: object) -> None:
        """Put a fact on record."""
        self._write(lambda: self._history.facts.put(name, value), is_news=False)

    def expire(self, keep_days: float) -> None:
        """Delete records that are older than the settings keep."""
        self._write(lambda: self._history.expire(clock.now_ms(), keep_days), is_news=False)

    def settle(self) -> int:
        """Try once more to write what is left, before this process ends; count what is lost."""
        with suppress(TailflipError, OSError):
            self._catch_up()
        return len(self._left)

    # -------------------------------------------------------------------------------------

    def _with_incident(self, life: Life) -> Life:
        incident = life.incident or self._incidents.get(life.id)
        return life.model_copy(update={"incident": incident})

    def _write(
        self, effect: Callable[[], object], *, is_sure: bool = False, is_news: bool = True
    ) -> None:
        """Write, and log a failure; `is_sure`: this writes, whatever is on record already."""
        self._left.append(effect)
        try:
            self._catch_up()
        except (TailflipError, OSError) as e:
            self._tell(e)
        else:
            # An effect that found nothing to change has not shown that the ledger can be written.
            self._last_error = None if is_sure else self._last_error
            if is_news:
                self.on_news()

    def _catch_up(self) -> None:
        """Write what is left, the oldest first.

        Where the oldest alone cannot be written, it is given up: it must not stop the others.
        """
        while self._left:
            oldest = self._left.popleft()
            try:
                oldest()
            except (TailflipError, OSError):
                if not self._left:
                    self._left.append(oldest)
                    raise
                newest = self._left.pop()
                try:
                    newest()
                except (TailflipError, OSError):
                    self._left.appendleft(oldest)
                    self._left.append(newest)
                    raise

    def _read(self, look: Callable[[], _T], default: _D) -> _T | _D:
        try:
            return look()
        except (TailflipError, OSError) as e:
            self._tell(e)
            return default

    def _tell(self, error: Exception) -> None:
        if str(error) != self._last_error:
            log.error(
                "the ledger could not be used; what is to be written is kept until it can be",
                error=error,
            )
            self._last_error = str(error)
            self.on_news()  # nothing else would have people told of it


def _do_nothing() -> None:
    """Nobody asked for news."""


def _lasts(maintenance: Maintenance, now: Moment) -> bool:
    from tailflip.ledger.maintenances import find_left_ms  # noqa: PLC0415 - hardly ever asked

    return find_left_ms(maintenance, now) > 0
