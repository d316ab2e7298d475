"""Actions of the supervisor after the end of a gateway: find out why, cure, decide."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.diagnose.causes import CAUSES, OF_WORK
from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Asked, DecisionKind
from tailflip.supervise import post_mortem
from tailflip.supervise.doctor_cure import have_repaired, may_be_doctored
from tailflip.supervise.event_loop import Outcome
from tailflip.supervise.heap_flag import give_heap
from tailflip.supervise.life_actions import ask_to_end, begin_watch, follow
from tailflip.supervise.resting import rest
from tailflip.supervise.start_actions import start_asked
from tailflip.supervise.states import Action, Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.flow.lives import Death, Life
    from tailflip.supervise.process.guarded import Service
    from tailflip.supervise.supervisor import Supervisor


def examine(run: Supervisor) -> None:
    """Find out in the worker thread why the gateway ended."""
    service, is_stopping = run.service, run.asked_to_stop.is_set
    run.watch.end()
    run.phase = Phase.JUDGING
    post_mortem.log_end(service)
    run.manager.status("finding out why the gateway ended")
    run.loop.work(
        lambda: post_mortem.examine(run.gateway, service, is_stopping),
        lambda outcome: run.handle(Event.EXAMINED, outcome),
    )


def judge(run: Supervisor, outcome: Outcome) -> None:
    """Put the verdict on record; follow a gateway that goes on in its successor."""
    service = run.service
    if outcome.error is not None:
        # The examination failed: a dead gateway is to be started again all the same.
        log.error("could not find out why the gateway ended", error=outcome.error)
        outcome = Outcome((service.describe_end(), b""))
    if outcome.value is None:
        follow(run)
        begin_watch(run)
        if run.asked_to_stop.is_set():
            ask_to_end(run, Asked.OPERATOR, run.watch.drain_s)
        return
    clues, tail = outcome.value
    death = classify(clues)
    life = post_mortem.record_death(run.gateway, death, clues, service.life, tail)
    if service.sweep(signal.SIGKILL):
        log.warning("ended processes that the gateway left in its process group")
    run.held = None
    if run.asked_to_stop.is_set():
        run.finish(post_mortem.choose_exit_code(life), "asked to stop")
    elif run.maintenance.keeps_hands_off():
        _rest_or_restart(run, service, life)
    else:
        cure(run, death, life)


def _rest_or_restart(run: Supervisor, service: Service, life: Life) -> None:
    """Leave a gateway down that ended during a maintenance, unless a person restarts it."""
    if service.asked is Asked.RESTART_SIGNAL:
        start_asked(run)
    else:
        rest(run, life)


def cure(run: Supervisor, death: Death, life: Life) -> None:
    """Do what may cure a death: a heap flag, a doctor, a compaction, a hold; then decide."""
    gateway, breaker = run.gateway, run.breaker
    if give_heap(gateway, death):
        choose(run, death, life, cured=True)
        return
    if may_be_doctored(gateway, breaker, death):
        run.phase = Phase.CURING
        run.manager.status("OpenClaw's own doctor repairs its state")
        run.loop.work(
            lambda: have_repaired(gateway, death, lambda: run.on_progress("doctor", 0, 0)),
            lambda outcome: run.handle(Event.CURED, death, life, outcome),
        )
        return
    of_memory = bool(post_mortem.count_memory_deaths(breaker, death))
    at_work = death.cause in OF_WORK and post_mortem.may_be_killed_by_work(gateway)
    if not (at_work or (of_memory and gateway.config.heal.after_oom)):
        choose(run, death, life, cured=False)
        return
    run.phase = Phase.CURING
    what = "compacting the session stores" if of_memory else "holding what it was at"
    run.manager.status(f"it died again and again: {what}" if at_work else f"out of memory: {what}")
    run.loop.work(
        lambda: post_mortem.heal(gateway, breaker, death, life, run.on_progress),
        lambda outcome: run.handle(Event.CURED, death, life, outcome),
    )


def decide(run: Supervisor, death: Death, life: Life, outcome: Outcome) -> None:
    """Decide after a death for which the stores were compacted, or a doctor was run."""
    if run.asked_to_stop.is_set():
        run.finish(0, "asked to stop while what killed it was being cured")
        return
    if CAUSES[death.cause].of_doctor:
        if outcome.error is not None:
            log.error("the doctor could not be run", error=outcome.error)
        life = life.model_copy(update={"doctored": outcome.value})
        run.gateway.record.update_life(life)
        cured = life.doctored is not None
    else:
        cured = post_mortem.is_cured(run.gateway, life, run.take(outcome))
    if run.maintenance.keeps_hands_off():
        rest(run, life)
    else:
        choose(run, death, life, cured=cured)


def choose(run: Supervisor, death: Death, life: Life, *, cured: bool) -> None:
    """Decide after a death, and carry the decision out."""
    if CAUSES[death.cause].is_unasked:
        log.info(
            "to keep the gateway down, stop its guard, by its service or by its pid",
            guard_pid=os.getpid(),
        )
    held = cured and post_mortem.is_held(run.gateway, life)
    world = run.fingerprints.read_world(cured=cured, held=held)
    run.breaker, decision = post_mortem.choose_next(run.gateway, run.breaker, death, life, world)
    if decision.kind is DecisionKind.END:
        run.finish(post_mortem.choose_exit_code(life), decision.reason)
    else:
        run.enter_waiting(decision)


ACTIONS: Mapping[Action, Callable[..., None]] = {
    Action.EXAMINE: examine,
    Action.JUDGE: judge,
    Action.DECIDE: decide,
}
