"""`gate` and `preflight`: look, heal, and say whether the gateway may start; nobody stays.

They see no end of a gateway, so they infer the last one at the next start, and put it on
record then. Backoff belongs to the service manager; what is held back here is only a
start that cannot succeed: memory that did not suffice with the same stores, a
configuration that was refused and is still the same, or another gateway that lives.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.errors import ConfigInvalid, TailflipError, TryLater
from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.diagnose.causes import CAUSES, WAITS, WANTED, choose_step
from tailflip.flow.lives import Breaker, Moment, Waiting
from tailflip.ledger.starts import JudgedStart
from tailflip.observe.gateway.process import is_alive, start_ticks
from tailflip.observe.suspects import MEMORY_ELSEWHERE
from tailflip.supervise.admission import Admission
from tailflip.supervise.breaker import is_due, note_good_life, reconsider
from tailflip.supervise.elapsed import passed_ms, read_moment
from tailflip.supervise.inferred_end import find_unseen_end

if TYPE_CHECKING:
    from tailflip.flow.lives import Death, Decision, Life
    from tailflip.supervise.context import Guard

_HELD = {
    Waiting.CURE: TryLater,
    Waiting.CONFIG_CHANGE: ConfigInvalid,
    Waiting.STATE_CHANGE: TryLater,
    Waiting.PROGRAM_CHANGE: TryLater,
}
_SURELY_GOOD = 10
_LOOK_S, _PATIENCE_S = 2.0, 300.0
HAND_OFF_S = 30.0  # the gateway's own drain up to 2026.7; a later one may be met again
_ALLOWED = "OPENCLAW_ALLOW_MULTI_GATEWAY"  # its lock is off, and several are meant to live


@dataclass(frozen=True)
class Other:
    """Who else has this gateway's state directory, proven to live; `what` is for people."""

    pid: int | None
    what: str


@dataclass(frozen=True)
class Verdict:
    """Go, or the error that says why not; `death` is the last one, if it was found out now.

    `other` is who has the state directory, where that is why.
    """

    admission: Admission
    refusal: TailflipError | None = None
    death: Death | None = None
    other: Other | None = None

    @property
    def go(self) -> bool:
        """Say whether the gateway may start."""
        return self.refusal is None


def judge_start(guard: Guard, *, patience_s: float = HAND_OFF_S) -> Verdict:
    """Do everything that comes before a start.

    Args:
        guard: whose start it is.
        patience_s: how long another gateway may take to go, which it does when it hands over.
    """
    other = _await_end(guard, patience_s)
    if other is not None:
        hint = (
            "one of the two is too many: stop the other, or take this start away; "
            "`tailflip watch` looks after a gateway that others start"
        )
        refusal = TryLater(f"{other.what}; nothing was touched", hint=hint)
        return Verdict(Admission(go=False), refusal, other=other)
    guard.home.create(guard.disk)
    breaker, found = _find_death(guard)
    if found is None:
        admission = guard.admit()
        standing = guard.history.decisions.read_standing()
        return Verdict(admission, _find_refusal(guard, admission, breaker, standing))
    # A start after a clean end, and that is most of them, does without the coroner.
    from tailflip.supervise.post_mortem import choose_next, heal, is_cured  # noqa: PLC0415

    death, life = found
    admission = heal(guard, breaker, death, life)
    cured = is_cured(guard, life, admission)
    breaker, decision = choose_next(guard, breaker, death, life, cured=cured, is_paced=False)
    # Whoever starts it again after an end that was wanted knows that its update is done.
    held = None if death.cause in WANTED else decision
    return Verdict(admission, _find_refusal(guard, admission, breaker, held), death)


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
        other_pid=verdict.other.pid if verdict is not None and verdict.other else None,
    )


def find_owner(guard: Guard) -> Other | None:
    """Find who else has the state directory, and is proven to live.

    A lock of a dead process, or a port of whom nobody knows, holds no start up. Neither does
    what the gateway itself would take for a "yes": `--force` ends the other one first.
    """
    supervisor = guard.home.read_supervisor(guard.name)
    if supervisor is not None and supervisor.mode == "run" and not _is_ours(guard, supervisor.pid):
        what = f"another gateway is guarded here, by `tailflip run`, pid {supervisor.pid}"
        return Other(supervisor.pid, what)
    if "--force" in guard.release.words or guard.release.env.get(_ALLOWED) == "1":
        return None
    found = guard.find_other()
    if found is None or found.alive is not True or found.pid == os.getpid():
        return None
    return Other(found.pid, f"another gateway, pid {found.pid}, works on {guard.state_dir}")


def wait_for_end(guard: Guard) -> None:
    """Wait as long as another one has the state directory; a few stats every two seconds."""
    log.warning("parked until the other gateway is gone")
    while find_owner(guard) is not None:
        clock.sleep_s(_LOOK_S)


def _await_end(guard: Guard, patience_s: float) -> Other | None:
    """Give another gateway the time to end: one that restarts starts its successor first."""
    until_s = clock.monotonic_s() + patience_s
    told = False
    while (other := find_owner(guard)) is not None and clock.monotonic_s() < until_s:
        if not told:
            log.warning("waiting for another one to end", other=other.what, at_most_s=patience_s)
            told = True
        clock.sleep_s(_LOOK_S)
    return other


def _is_ours(guard: Guard, pid: int) -> bool:
    """Say whether a supervisor is the one that started us, through whatever wrapper."""
    if LIFE_VARIABLE in guard.env:
        return True
    import psutil  # noqa: PLC0415 - asked beside a living supervisor only

    return pid in [each.pid for each in psutil.Process().parents()]


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
    last = next(iter(guard.history.lives.read(1)), None)
    death = last.death if last is not None else None
    if last is not None and death is not None and CAUSES[death.cause].waiting is decision.waiting:
        return choose_step(death.cause, death.hint, last.version)
    return WAITS[decision.waiting].next_step or "`tailflip incidents` tells what happened"


def _find_death(guard: Guard) -> tuple[Breaker, tuple[Death, Life] | None]:
    """Find out how the last life ended, if that is not on record and decided on yet."""
    breaker = guard.history.decisions.read_breaker()
    last = next(iter(guard.history.lives.read(1)), None)
    undecided = None
    if last is not None and last.ended_ms is not None:
        if last.death is None or not guard.history.decisions.is_undecided(last):
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
    if last is not None and (_find_age_ms(last) or 0) > surely_good_ms:
        breaker = note_good_life(breaker)
        guard.history.decisions.record_breaker(breaker)
        guard.history.incidents.close_all(last.started_ms)
        guard.history.findings.note([], clock.now_ms(), {"crash-loop", MEMORY_ELSEWHERE})
    return breaker, find_unseen_end(guard, last)


def _find_age_ms(life: Life) -> int | None:
    """Find how long ago a life began, by a clock that nobody sets where there is one."""
    began = Moment(at_ms=life.started_ms, mono_ms=life.started_mono_ms, boot=life.boot_id)
    return passed_ms(began, read_moment())


def _lives(life: Life) -> bool:
    return life.pid is not None and is_alive(life.pid, life.pid_ticks)
