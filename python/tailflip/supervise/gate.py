"""Judges a start for `gate` and `preflight`: look, heal, and say whether the gateway may start.

No process of tailflip stays to see the gateway end. The end is inferred at the
next start, and put on record then. Backoff belongs to the service manager. A start that cannot
succeed is held back here: memory did not suffice with the same stores, the refused
configuration is still the same, or another gateway lives.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.errors import ConfigInvalid, TailflipError, TryLater
from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.base.moments import passed_ms, read_moment
from tailflip.base.state_dir import Presence
from tailflip.base.units import format_time
from tailflip.diagnose.causes import CAUSES, WAITS, WANTED, choose_step
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Breaker, DecisionKind, LifeMode, Moment, Waiting
from tailflip.ledger.starts import JudgedStart
from tailflip.observe.gateway.process import is_alive, start_ticks
from tailflip.supervise.admission import Admission
from tailflip.supervise.breaker import is_due, note_good_life, reconsider
from tailflip.supervise.preparation import prepare_start
from tailflip.supervise.unseen_end import find_unseen_end

if TYPE_CHECKING:
    from tailflip.flow.lives import Death, Decision, Life
    from tailflip.flow.maintenance import Maintenance
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.fingerprints import Fingerprints

_HELD = {
    Waiting.CURE: TryLater,
    Waiting.CONFIG_CHANGE: ConfigInvalid,
    Waiting.STATE_CHANGE: TryLater,
    Waiting.PROGRAM_CHANGE: TryLater,
}
_SURELY_GOOD = 10
_LOOK_S, _PATIENCE_S = 2.0, 300.0
HAND_OFF_S = 30.0  # the gateway's own drain up to 2026.7; a later one may still be there then
_ALLOWED = "OPENCLAW_ALLOW_MULTI_GATEWAY"  # turns the lock off: several gateways may live


@dataclass(frozen=True)
class Other:
    """A gateway or supervisor, proven to live, on this state directory; `what` is for people."""

    pid: int | None
    what: str


@dataclass(frozen=True)
class Verdict:
    """The verdict on a start: go, or an error with the reason.

    `death` is the last one, if it was found out now. `other` has the state directory, if that is
    the reason.
    """

    admission: Admission
    refusal: TailflipError | None = None
    death: Death | None = None
    other: Other | None = None

    @property
    def go(self) -> bool:
        """Say whether the gateway may start."""
        return self.refusal is None


def judge_start(gateway: GuardedGateway, *, patience_s: float = HAND_OFF_S) -> Verdict:
    """Judge a start: find the last end, heal, and say whether the gateway may start.

    Args:
        gateway: whose start it is.
        patience_s: how long another gateway may take to end when it hands over.
    """
    maintenance = gateway.history.read_maintenance()
    if maintenance is not None and maintenance.is_hands_off:
        return _let_pass(gateway, maintenance)
    other = _await_end(gateway, patience_s)
    if other is not None:
        hint = (
            "one of the two is too many: stop the other, or take this start away; "
            "`tailflip watch` looks after a gateway that others start"
        )
        refusal = TryLater(f"{other.what}; nothing was touched", hint=hint)
        return Verdict(Admission(go=False), refusal, other=other)
    gateway.home.create(gateway.disk)
    breaker, found = _find_death(gateway)
    if found is None:
        admission = prepare_start(gateway)
        standing = gateway.history.decisions.read_standing()
        return Verdict(admission, _find_refusal(gateway, admission, breaker, standing))
    # Most starts follow a clean end and need no post-mortem.
    from tailflip.supervise.post_mortem import choose_next, heal, is_cured, is_held  # noqa: PLC0415

    death, life = found
    admission = heal(gateway, breaker, death, life)
    cured = is_cured(gateway, life, admission)
    prints = _begin_fingerprints(gateway)
    world = prints.read_world(cured=cured, held=cured and is_held(gateway, life), is_paced=False)
    breaker, decision = choose_next(gateway, breaker, death, life, world)
    # A service manager that starts it again after a wanted end does so when its update is done.
    held = None if death.cause in WANTED else decision
    return Verdict(admission, _find_refusal(gateway, admission, breaker, held, death), death)


def _let_pass(gateway: GuardedGateway, maintenance: Maintenance) -> Verdict:
    """Let a start through that a person works on, unless it would destroy data."""
    log.warning(
        "maintenance: nothing is healed, and no start is held back",
        until=format_time(maintenance.until_ms),
        by=maintenance.by or None,
        reason=maintenance.reason or None,
    )
    gateway.home.create(gateway.disk)
    _, found = _find_death(gateway)
    admission = prepare_start(gateway, hands_off=True)
    refusal = _explain(admission) if not admission.go else None
    return Verdict(admission, refusal, found[0] if found is not None else None)


def describe_start(verdict: Verdict | None, mode: LifeMode, pid: int | None) -> JudgedStart:
    """Describe the verdict on a start, for the record.

    Args:
        verdict: None if our judgement failed: the gateway starts all the same.
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


def find_owner(gateway: GuardedGateway) -> Other | None:
    """Find another gateway or supervisor that has the state directory and is proven to live.

    A lock of a dead process, or a port of an unknown process, does not hold a start up. Neither
    does `--force`, by which the gateway ends the other one first.
    """
    supervisor = gateway.home.read_supervisor(gateway.name)
    if (
        supervisor is not None
        and supervisor.mode == Presence.RUN
        and not _is_ours(gateway, supervisor.pid)
    ):
        what = f"another gateway is guarded here, by `tailflip run`, pid {supervisor.pid}"
        return Other(supervisor.pid, what)
    if "--force" in gateway.release.words or gateway.release.env.get(_ALLOWED) == "1":
        return None
    found = gateway.find_other()
    if found is None or found.alive is not True or found.pid == os.getpid():
        return None
    return Other(found.pid, f"another gateway, pid {found.pid}, works on {gateway.state_dir}")


def wait_for_end(gateway: GuardedGateway) -> None:
    """Wait while another gateway has the state directory, at a few stats every two seconds."""
    log.warning("parked until the other gateway is gone")
    while find_owner(gateway) is not None:
        clock.sleep_s(_LOOK_S)


def _await_end(gateway: GuardedGateway, patience_s: float) -> Other | None:
    """Give another gateway time to end: one that restarts starts its successor first."""
    until_s = clock.monotonic_s() + patience_s
    told = False
    while (other := find_owner(gateway)) is not None and clock.monotonic_s() < until_s:
        if not told:
            log.warning("waiting for another one to end", other=other.what, at_most_s=patience_s)
            told = True
        clock.sleep_s(_LOOK_S)
    return other


def _is_ours(gateway: GuardedGateway, pid: int) -> bool:
    """Say whether a supervisor started us, directly or through a wrapper."""
    if LIFE_VARIABLE in gateway.env:
        return True
    import psutil  # noqa: PLC0415 - asked beside a living supervisor only

    return pid in [each.pid for each in psutil.Process().parents()]


def look_for_change(gateway: GuardedGateway) -> tuple[str, ...]:
    """Name the change that a refused start waits for, a person's wish included."""
    at, prints = gateway.locate(), _begin_fingerprints(gateway)
    marks = (prints.mark_config, prints.mark_stores, prints.mark_state)
    asked = str(gateway.record.is_trial_asked())
    return (*(mark(at) for mark in marks), prints.mark_program(), asked)


def wait_for_change(gateway: GuardedGateway, seen: tuple[str, ...]) -> None:
    """Wait until a refused start may be judged anew: a file changed, or its time has come.

    Args:
        gateway: whose start was refused.
        seen: fingerprints from before the judgement; later changes count.

    Costs a few stats every two seconds. Meant for a service manager that ignores exit codes.
    """
    until_s = clock.monotonic_s() + _PATIENCE_S
    log.warning("parked until something changes", look_again_s=_PATIENCE_S)
    while clock.monotonic_s() < until_s and look_for_change(gateway) == seen:
        clock.sleep_s(_LOOK_S)
    # While a doctor or an installer changes files, neither start nor judge.
    prints = _begin_fingerprints(gateway)
    while clock.monotonic_s() < until_s and not prints.is_settled():
        clock.sleep_s(_LOOK_S)


def _begin_fingerprints(gateway: GuardedGateway) -> Fingerprints:
    # A start after a clean end needs no fingerprints.
    from tailflip.supervise.fingerprints import Fingerprints  # noqa: PLC0415

    return Fingerprints(gateway)


def _find_refusal(
    gateway: GuardedGateway,
    admission: Admission,
    breaker: Breaker,
    decision: Decision | None,
    death: Death | None = None,
) -> TailflipError | None:
    """Find why the start is refused; `death` was found out now, and nobody was told of it yet."""
    if not admission.go:
        return _explain(admission)
    if decision is None or decision.kind is not DecisionKind.WAIT or decision.waiting not in _HELD:
        return None
    world = _begin_fingerprints(gateway).read_world()
    if is_due(reconsider(breaker, decision, world), world):
        return None
    if _is_asked(gateway, decision, death):
        log.info("a person asked for this start: trying now", waited=decision.reason)
        return None
    hint = f"{_choose_hint(gateway, decision)}; `tailflip retry` makes the next start a trial"
    return _HELD[decision.waiting](f"not started: {decision.reason}", hint=hint)


def _explain(admission: Admission) -> TailflipError:
    """Make an error of an admission that refuses the start."""
    error = TailflipError(admission.reason, hint=admission.hint)
    error.exit_code = admission.exit_code
    return error


def _is_asked(gateway: GuardedGateway, decision: Decision, death: Death | None) -> bool:
    """Say whether a person asked for this start, and knows or can know what it waits for."""
    if gateway.record.take_trial():
        return True
    from tailflip.supervise.by_hand import is_by_hand  # noqa: PLC0415 - few starts are held

    return is_by_hand(gateway, decision) and death is None


def _choose_hint(gateway: GuardedGateway, decision: Decision) -> str:
    """Choose the hint for a start that is held back: the last death's, else the wait's."""
    last = next(iter(gateway.history.lives.read(1)), None)
    death = last.death if last is not None else None
    if last is not None and death is not None and CAUSES[death.cause].waiting is decision.waiting:
        return choose_step(death.cause, death.hint, last.version)
    return WAITS[decision.waiting].next_step or "`tailflip incidents` tells what happened"


def _find_death(gateway: GuardedGateway) -> tuple[Breaker, tuple[Death, Life] | None]:
    """Find out how the last life ended, unless that is on record and decided already."""
    breaker = gateway.history.decisions.read_breaker()
    last = next(iter(gateway.history.lives.read(1)), None)
    undecided = None
    if last is not None and last.ended_ms is not None:
        if last.death is None or not gateway.history.decisions.is_undecided(last):
            return breaker, None
        undecided = (last.death, last)
    if (last is not None and _lives(last)) or gateway.find_other() is not None:
        return breaker, None
    if undecided is not None:
        log.warning("the last death has a verdict and no decision: deciding now")
        return breaker, undecided
    # The time of death is unknown: the life counts as good if it may have lasted many times as long
    # as a good life must last.
    surely_good_ms = _SURELY_GOOD * 1000 * gateway.config.restart.good_life_s
    if last is not None and (_find_age_ms(last) or 0) > surely_good_ms:
        from tailflip.supervise import noted  # noqa: PLC0415 - few starts come so late

        breaker = note_good_life(breaker)
        gateway.history.decisions.record_breaker(breaker)
        gateway.history.incidents.close_all(last.started_ms)
        noted.note_good_life(gateway)
    return breaker, find_unseen_end(gateway, last)


def _find_age_ms(life: Life) -> int | None:
    """Find how long ago a life began, by the boot clock where that is the same boot."""
    began = Moment(at_ms=life.started_ms, mono_ms=life.started_mono_ms, boot=life.boot_id)
    return passed_ms(began, read_moment())


def _lives(life: Life) -> bool:
    return life.pid is not None and is_alive(life.pid, life.pid_ticks)
