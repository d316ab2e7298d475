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
from tailflip.diagnose.deaths import classify
from tailflip.errors import ConfigInvalid, TailflipError, TryLater
from tailflip.flow import OUT_OF_MEMORY, WANTED, Breaker, Decision, Waiting
from tailflip.observe.past import find_past_clues
from tailflip.observe.process import is_alive
from tailflip.restart.breaker import decide, note_good_life, reconsider

if TYPE_CHECKING:
    from tailflip.admission import Admission
    from tailflip.flow import Death, Life
    from tailflip.guard import Guard

_HELD = {Waiting.CURE: TryLater, Waiting.CONFIG_CHANGE: ConfigInvalid}


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
    death, life = _find_death(guard)
    breaker = guard.history.read_breaker()
    of_memory = death is not None and death.cause in OUT_OF_MEMORY
    row = 0
    if death is not None and of_memory:
        row = breaker.row + 1 if breaker.signature == death.signature else 1
    admission = guard.admit(died_of_memory=row)
    decision = guard.history.read_decision()
    if death is not None and life is not None:
        world = guard.look_at_world(cured=admission.cured)
        breaker, decision = decide(breaker, death, world)
        guard.history.record_decision(decision, breaker, life.id, clock.now_ms())
        if admission.cured:
            guard.history.update_life(life.model_copy(update={"cured": True}))
    return Verdict(admission, _find_refusal(guard, admission, breaker, decision), death)


def _find_refusal(
    guard: Guard, admission: Admission, breaker: Breaker, decision: Decision | None
) -> TailflipError | None:
    if not admission.go:
        error = TailflipError(admission.reason, hint=admission.hint)
        error.exit_code = admission.exit_code
        return error
    if decision is None or decision.kind != "wait" or decision.waiting not in _HELD:
        return None
    later = reconsider(breaker, decision, guard.look_at_world())
    if later.kind == "start" and (later.at_ms or 0) <= clock.now_ms():
        return None
    hint = "`tailflip incidents` tells what happened"
    return _HELD[decision.waiting](f"not started: {decision.reason}", hint=hint)


def _find_death(guard: Guard) -> tuple[Death | None, Life | None]:
    """Find out how the last life ended, if that is not on record yet, and put it there."""
    lives = guard.history.read_lives(1)
    if not lives or lives[0].ended_ms is not None:
        return None, None
    last, now_ms = lives[0], clock.now_ms()
    installation = guard.locate()
    if installation is None or (last.pid is not None and is_alive(last.pid, last.pid_ticks)):
        return None, None
    if guard.find_other() is not None:
        return None, None
    found = find_past_clues(installation, guard.env, last, now_ms, guard.config.gateway.service)
    ended = last.model_copy(update={"ended_ms": now_ms, "end_known": False})
    if found is None:
        guard.history.end_life(ended, b"")
        return None, None
    clues, notes = found
    death = classify(clues)
    death = death.model_copy(update={"evidence": (*death.evidence, *notes)})
    if death.cause in WANTED:
        guard.history.end_life(ended.model_copy(update={"death": death}), b"")
        return None, None
    _forget_row_after_good_life(guard, last, now_ms)
    incident = guard.history.open_incident(death, now_ms)
    ended = ended.model_copy(
        update={
            "death": death,
            "incident": incident.id,
            "exit_code": clues.exit_code,
            "signal": clues.signal,
        }
    )
    guard.history.end_life(ended, clues.stderr_tail.encode())
    log.error(
        "the last gateway died",
        cause=death.cause,
        confidence=death.confidence,
        evidence="; ".join(death.evidence),
    )
    return death, ended


def _forget_row_after_good_life(guard: Guard, last: Life, now_ms: int) -> None:
    """Let a good life end the row of deaths.

    When it died is not known; a life is taken for good only if it may have lasted many
    times as long as a good one must.
    """
    lived_ms = now_ms - last.started_ms
    if lived_ms > 10 * guard.config.restart.good_life_s * 1000:
        guard.history.record_breaker(note_good_life(guard.history.read_breaker()))
        guard.history.close_incidents(last.started_ms)
