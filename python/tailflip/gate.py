"""`gate` and `preflight`: look, heal, and say whether the gateway may start; nobody stays.

They see no end of a gateway, so they infer the last one at the next start, and put it on
record then. Backoff belongs to the service manager; what is held back here is only a
start that cannot succeed: memory that did not suffice with the same stores, or a
configuration that was refused and is still the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip import clock, log
from tailflip.diagnose.causes import KINDS, WAITS, choose_step
from tailflip.errors import ConfigInvalid, TailflipError, TryLater
from tailflip.flow import Breaker, Waiting
from tailflip.ledger.starts import JudgedStart
from tailflip.observe.process import is_alive, start_ticks
from tailflip.observe.suspects import MEMORY_ELSEWHERE
from tailflip.restart.breaker import is_due, note_good_life, reconsider
from tailflip.unseen import find_unseen_end

if TYPE_CHECKING:
    from tailflip.admission import Admission
    from tailflip.flow import Death, Decision, Life
    from tailflip.guard import Guard

_HELD = {
    Waiting.CURE: TryLater,
    Waiting.CONFIG_CHANGE: ConfigInvalid,
    Waiting.STATE_CHANGE: TryLater,
    Waiting.PROGRAM_CHANGE: TryLater,
}
_SURELY_GOOD = 10
_LOOK_S, _PATIENCE_S = 2.0, 300.0


@dataclass(frozen=True)
class Verdict:
    """Go, or the error that says why not; `death` is the last one, if it was found out now."""

    admission: Admission
    refusal: TailflipError | None = None
    death: Death | None = None

    @property
    def go(self) -> bool:
        """Say whether the gateway may start."""
        return self.refusal is None


def judge_start(guard: Guard) -> Verdict:
    """Do everything that comes before a start."""
    guard.home.create(guard.disk)
    breaker, found = _find_death(guard)
    if found is None:
        admission = guard.admit()
        standing = guard.history.read_standing_decision()
        return Verdict(admission, _find_refusal(guard, admission, breaker, standing))
    # A start after a clean end, and that is most of them, does without the coroner.
    from tailflip.aftermath import choose_next, heal, is_cured  # noqa: PLC0415

    death, life = found
    admission = heal(guard, breaker, death, life)
    cured = is_cured(guard, life, admission)
    breaker, decision = choose_next(guard, breaker, death, life, cured=cured, is_paced=False)
    return Verdict(admission, _find_refusal(guard, admission, breaker, decision), death)


def describe_start(verdict: Verdict | None, mode: str, pid: int | None) -> JudgedStart:
    """Describe what was decided about a start, for the record.

    Args:
        verdict: None if we ourselves failed: it starts all the same.
        mode: gate or preflight.
        pid: of the process that becomes the gateway, or waits after a refusal; None if it
            does neither.
    """
    refusal = verdict.refusal if verdict is not None else None
    return JudgedStart(
        at_ms=clock.now_ms(),
        mode=mode,
        go=refusal is None,
        looked=verdict is not None,
        reason=refusal.message if refusal is not None else "",
        hint=refusal.hint if refusal is not None else None,
        actions=verdict.admission.actions if verdict is not None else (),
        pid=pid,
        pid_ticks=start_ticks(pid) if pid is not None else None,
    )


def look_for_change(guard: Guard) -> tuple[str, ...]:
    """Say in a few words what a refused start waits for to change."""
    at = guard.locate()
    marks = (guard.mark_config, guard.mark_stores, guard.mark_state)
    return (*(mark(at) for mark in marks), guard.mark_program())


def wait_for_change(guard: Guard, seen: tuple[str, ...]) -> None:
    """Wait until a refused start may be judged otherwise: something changed, or it is time.

    Args:
        guard: whose start was refused.
        seen: how it looked before it was judged; what changed meanwhile counts.

    Costs a few stats every two seconds. For a service manager that heeds no exit code.
    """
    until_s = clock.monotonic_s() + _PATIENCE_S
    log.warning("parked until something changes", look_again_s=_PATIENCE_S)
    while clock.monotonic_s() < until_s and look_for_change(guard) == seen:
        clock.sleep_s(_LOOK_S)
    # A doctor or an installer at work is not disturbed, and not judged half-way.
    while clock.monotonic_s() < until_s and not guard.is_settled():
        clock.sleep_s(_LOOK_S)


def _find_refusal(
    guard: Guard, admission: Admission, breaker: Breaker, decision: Decision | None
) -> TailflipError | None:
    if not admission.go:
        error = TailflipError(admission.reason, hint=admission.hint)
        error.exit_code = admission.exit_code
        return error
    if decision is None or decision.kind != "wait" or decision.waiting not in _HELD:
        return None
    world = guard.look_at_world()
    if is_due(reconsider(breaker, decision, world), world):
        return None
    hint = _choose_hint(guard, decision)
    return _HELD[decision.waiting](f"not started: {decision.reason}", hint=hint)


def _choose_hint(guard: Guard, decision: Decision) -> str:
    """Say what cures what a start is held back for: of the last death, else of the wait."""
    last = next(iter(guard.history.read_lives(1)), None)
    death = last.death if last is not None else None
    if last is not None and death is not None and KINDS[death.cause].waiting is decision.waiting:
        return choose_step(death.cause, death.hint, last.version)
    return WAITS[decision.waiting].next_step or "`tailflip incidents` tells what happened"


def _find_death(guard: Guard) -> tuple[Breaker, tuple[Death, Life] | None]:
    """Find out how the last life ended, if that is not on record and decided on yet."""
    breaker = guard.history.read_breaker()
    last = next(iter(guard.history.read_lives(1)), None)
    undecided = None
    if last is not None and last.ended_ms is not None:
        if last.death is None or not guard.history.is_undecided(last):
            return breaker, None
        undecided = (last.death, last)
    if (last is not None and _lives(last)) or guard.find_other() is not None:
        return breaker, None
    if undecided is not None:
        log.warning("the last death has a verdict and no decision: that is made up for now")
        return breaker, undecided
    # When it died is not known: it counts as good if it may have lived many times as long
    # as a good life must.
    surely_good_ms = _SURELY_GOOD * 1000 * guard.config.restart.good_life_s
    if last is not None and clock.now_ms() - last.started_ms > surely_good_ms:
        breaker = note_good_life(breaker)
        guard.history.record_breaker(breaker)
        guard.history.close_incidents(last.started_ms)
        guard.history.note_findings([], clock.now_ms(), {"crash-loop", MEMORY_ELSEWHERE})
    return breaker, find_unseen_end(guard, last)


def _lives(life: Life) -> bool:
    return life.pid is not None and is_alive(life.pid, life.pid_ticks)
