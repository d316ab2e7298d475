"""Actions of the supervisor while no gateway lives: prepare a start, or wait for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.moments import read_moment
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.conditions import SafeStart
from tailflip.flow.lives import BreakerState, Decision
from tailflip.supervise.breaker import hold_back, note_start
from tailflip.supervise.life_actions import begin_watch
from tailflip.supervise.noted import note
from tailflip.supervise.preparation import prepare_start
from tailflip.supervise.refusal import explain_refusal
from tailflip.supervise.resting import rest
from tailflip.supervise.safe_start import start_as_usual
from tailflip.supervise.settings import reload_settings
from tailflip.supervise.states import Action, Event, Phase

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping

    from tailflip.flow.lives import Life
    from tailflip.supervise.event_loop import Outcome
    from tailflip.supervise.supervisor import Supervisor


def prepare(run: Supervisor) -> None:
    """Look at the stores and heal them, in the worker thread."""
    run.phase = Phase.PREPARING
    run.gateway.look_at_release()
    run.manager.status("looking at the session stores")
    hands_off = run.maintenance.keeps_hands_off()
    run.loop.work(
        lambda: prepare_start(run.gateway, on_progress=run.on_progress, hands_off=hands_off),
        lambda outcome: run.handle(Event.PREPARED, outcome),
    )


def start_or_wait(run: Supervisor, outcome: Outcome) -> None:
    """Start the gateway, or wait where stores, another gateway or the limit of starts forbid it."""
    if run.asked_to_stop.is_set():
        run.finish(0, "asked to stop before the gateway was started")
        return
    is_asked, run.is_asked = run.is_asked, False
    if run.maintenance.keeps_hands_off() and not is_asked:
        rest(run)
        return
    refusal = explain_refusal(run.gateway, run.take(outcome))
    if refusal is not None:
        log.error("the gateway was not started", reason=refusal.reason, hint=refusal.hint)
        run.breaker, hold = run.wait.hold(
            run.breaker, refusal.waiting, refusal.reason, alert=refusal.alert
        )
        run.wait_for(hold)
        return
    held = hold_back(run.breaker, run.fingerprints.read_world())
    if held is not None:  # there were too many starts of late
        run.wait_for(held)
        return
    run.breaker = note_start(run.breaker, read_moment())
    begun = run.starter.start(run.breaker)
    if isinstance(begun, Decision):
        run.wait_for(begun)
        return
    run.held, life, pid = begun, begun.life, begun.child.pid
    run.gateway.record.update_life(life)
    _tell_safe(run, life)
    log.info("gateway started", pid=pid, life=life.id, version=life.version)
    begin_watch(run)
    run.manager.status(f"gateway starting, pid {pid}")


def _tell_safe(run: Supervisor, life: Life) -> None:
    """Tell a safe start, and that one is over; of other starts nothing is said."""
    if run.breaker.state is BreakerState.CLOSED:
        return
    seen: tuple[SafeStart, ...] = ()
    if life.safe is not None:
        seen = (SafeStart(run.gateway.name, life.safe.words, run.breaker.row),)
    for finding in note(run.gateway, Inputs(safe_starts=seen)):
        log.warning(finding.message, hint=finding.hint)


def reconsider(run: Supervisor) -> None:
    """Prepare a start if the wait is over, or `tailflip retry` ended it."""
    if run.gateway.record.take_trial():
        log.info("asked to try now", by="tailflip retry")
        start_asked(run)
    elif run.maintenance.keeps_hands_off():
        rest(run)
    elif run.wait.is_over(run.breaker):
        prepare(run)


def try_now(run: Supervisor, number: signal.Signals) -> None:
    """End the wait, because a person asked for a start."""
    log.info("asked to try now", signal=number.name)
    start_asked(run)


def start_asked(run: Supervisor) -> None:
    """Prepare the start that a person asked for: one as usual, whatever it waited for."""
    run.wait.stop()
    run.is_asked = True
    run.breaker = start_as_usual(run.breaker)
    prepare(run)


def rest_or_wait(run: Supervisor) -> None:
    """Leave a wait for a rest, if a maintenance began: a person works on what it waits for."""
    if run.maintenance.keeps_hands_off():
        rest(run)


def end_rest(run: Supervisor) -> None:
    """Start the gateway once the maintenance is over."""
    if not run.maintenance.keeps_hands_off():
        log.info("the gateway is started: no maintenance holds it any more")
        start_asked(run)


def start_if_asked(run: Supervisor) -> None:
    """Start the gateway during a maintenance if a person asked for that."""
    if run.gateway.record.take_trial():
        log.info("asked to try now", by="tailflip retry")
        start_asked(run)


def note_maintenance(run: Supervisor) -> None:
    """Take note of a maintenance that began or ended, and go on."""
    run.maintenance.look()


def end(run: Supervisor, number: signal.Signals) -> None:
    """End the supervisor, because no gateway lives."""
    run.note_stop(number)
    run.finish(0, "asked to stop while waiting")


def stop_after_work(run: Supervisor, number: signal.Signals) -> None:
    """Note the stop; the worker thread ends first."""
    run.note_stop(number)


def reload(run: Supervisor) -> None:
    """Read the settings again."""
    run.manager.reloading(int(clock.monotonic_s() * 1_000_000))
    reload_settings(run.gateway, run.flags)
    run.manager.reloaded()
    run.errands.news()


def reload_and_reconsider(run: Supervisor) -> None:
    """Read the settings again: they may end the wait."""
    reload(run)
    reconsider(run)


ACTIONS: Mapping[Action, Callable[..., None]] = {
    Action.START_OR_WAIT: start_or_wait,
    Action.RECONSIDER: reconsider,
    Action.TRY_NOW: try_now,
    Action.END: end,
    Action.STOP_AFTER_WORK: stop_after_work,
    Action.RELOAD: reload,
    Action.RELOAD_AND_RECONSIDER: reload_and_reconsider,
    Action.NOTE_MAINTENANCE: note_maintenance,
    Action.REST: rest_or_wait,
    Action.END_REST: end_rest,
    Action.START_IF_ASKED: start_if_asked,
}
