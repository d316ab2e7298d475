"""Actions of the supervisor while a gateway starts, runs or ends."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.lives import Asked
from tailflip.flow.observed import Gateway
from tailflip.supervise import housekeeping
from tailflip.supervise.elapsed import read_answer
from tailflip.supervise.noted import note
from tailflip.supervise.process.reaper import reap_orphans
from tailflip.supervise.quick_findings import find_quickly, tell_new
from tailflip.supervise.safe_start import leave_safe, normal_delay_s
from tailflip.supervise.states import Action, Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.supervise.supervisor import Supervisor

_HANG_DRAIN_S = 30.0
_LOOK_S = 1.0
_LATER_S = 60.0


def begin_watch(run: Supervisor) -> None:
    """Watch the gateway from now on, whether it has answered yet or not."""
    is_ready = run.service.life.ready_ms is not None
    run.phase = Phase.RUNNING if is_ready else Phase.STARTING
    run.watch.begin(run.service)


def after_ready(run: Supervisor) -> None:
    """Count the age of the life from its first answer on, and notify the service manager."""
    run.watch.begin_to_count()
    run.files.watch()
    run.manager.ready(run.watch.describe(run.service))


def meet(run: Supervisor) -> None:
    """Accept the first good answer, unless another gateway gave it."""
    service = run.service
    service.find_worker()
    if service.find_foreign() is not None:
        return  # our gateway will end for that, with its own message
    service.life = service.life.model_copy(update=read_answer(service.life))
    run.gateway.record.update_life(service.life)
    log.info("gateway answers", after_s=round(service.uptime_s, 1), pid=service.child.pid)
    run.phase = Phase.RUNNING
    after_ready(run)


def close_breaker(run: Supervisor) -> None:
    """Note a good life; one that left something out goes on until a start as usual is due."""
    life = run.service.life
    run.breaker = housekeeping.note_life(run.gateway, run.breaker, life)
    if life.safe is not None:
        wait_s = normal_delay_s(run.breaker, run.gateway.config.restart)
        log.info(f"the gateway lives {life.safe.words}", as_usual_in_s=round(wait_s))
        _leave_safe_later(run, wait_s)
    look_around(run)


def _leave_safe_later(run: Supervisor, wait_s: float) -> None:
    run.loop.at("normal", wait_s, lambda: run.handle(Event.NORMAL_DUE))


def leave_safe_mode(run: Supervisor) -> None:
    """Restart a gateway that was started safely as usual, once no job is in flight."""
    if run.maintenance.keeps_hands_off():
        _leave_safe_later(run, _LATER_S)
        return
    run.breaker = leave_safe(run.breaker)
    run.gateway.record.record_breaker(run.breaker)
    log.info("the safe start is over: the gateway is to be started as usual")
    restart_when_quiet(run, clock.monotonic_s() + run.watch.drain_s, Asked.SAFE_OVER)


def look_around(run: Supervisor) -> None:
    """Make quick findings beside a good life; `status` and `check` report them too."""
    gateway, life = run.gateway, run.service.life
    at = gateway.locate()
    if at is None:
        return
    pid = life.worker_pid or run.service.child.pid
    alive = Gateway(True, pid, life.started_ms, "guarded")
    looked = find_quickly(
        at,
        alive,
        gateway.home.root,
        clock.now_ms(),
        capabilities=gateway.release.capabilities,
        heap_limit=gateway.find_heap_limit(),
    )
    tell_new(looked.findings, gateway.record.read_findings())
    gateway.record.note(looked.findings, looked.codes)


def end_restart_loop(run: Supervisor) -> None:
    """End the finding of a loop of restarts."""
    note(run.gateway, Inputs(restart_loops=()))


def end_hung(run: Supervisor, why: str) -> None:
    """End a gateway that does not answer, unless the settings say to leave it."""
    if not run.gateway.config.restart.on_hang:
        log.error("gateway does not answer, and restart.on_hang is false", why=why)
        return
    if run.maintenance.keeps_hands_off():
        log.warning("gateway does not answer; it is left alone in maintenance", why=why)
        run.watch.be_patient()
        return
    log.error("gateway does not answer: ending it", why=why, pid=run.service.child.pid)
    ask_to_end(run, Asked.HANG, min(_HANG_DRAIN_S, run.watch.drain_s))


def measure(run: Supervisor) -> None:
    """Measure the gateway while it starts or ends."""
    run.watch.measure(run.service)
    run.files.check()


def measure_now(run: Supervisor) -> None:
    """Measure the gateway soon, because a store was written."""
    run.watch.measure_now()


def measure_and_foresee(run: Supervisor) -> None:
    """Measure a gateway that runs, and restart it before its heap is full if that is wanted."""
    service = run.service
    at = run.watch.measure(service)
    run.files.check()
    finding = run.watch.find_trend()
    wants_restart = finding is not None and run.watch.may_restart_ahead(service, at)
    if finding is not None and wants_restart and not run.maintenance.keeps_hands_off():
        log.warning("restarting before the heap is full", why=finding.message)
        ask_to_restart(run, Asked.MEMORY)
    else:
        run.manager.status(run.watch.describe(service))


def ask_to_end(run: Supervisor, asked: Asked, limit_s: float) -> None:
    """Ask the gateway to end, and set the time to kill it."""
    run.service.asked = asked
    run.phase = Phase.STOPPING
    set_kill(run, limit_s)
    run.manager.status("the gateway is asked to end")
    run.service.send(signal.SIGTERM)


def ask_to_restart(run: Supervisor, asked: Asked) -> None:
    """Ask the gateway to end, so that it is started again."""
    run.service.handed_off = True
    ask_to_end(run, asked, run.watch.drain_s)


def set_kill(run: Supervisor, delay_s: float) -> None:
    """Set the time when a gateway that has not ended is killed."""
    run.loop.at("kill", delay_s, lambda: run.handle(Event.KILL_DUE))


def kill(run: Supervisor) -> None:
    """Kill a gateway that was asked to end, and again until it is gone."""
    log.error("gateway did not end in time: killed", pid=run.service.child.pid)
    run.service.kill()
    set_kill(run, _LOOK_S)


def look_at_process(run: Supervisor) -> None:
    """Look whether the gateway ended, and reap orphans."""
    service = run.service
    held = service.child
    if service.poll() is not None:
        run.handle(Event.EXITED)
    elif service.child is not held:
        run.handle(Event.MOVED)
    reap(run)


def reap(run: Supervisor) -> None:
    """Reap dead orphans of ours, except the gateway."""
    if run.loop.is_working:  # the worker thread waits for its own children
        run.loop.at("reap", _LOOK_S, lambda: run.handle(Event.CHILD_ENDED))
    else:
        held = () if run.held is None else (run.held.child.pid,)
        reap_orphans(but={*held, *run.errands.pids})


def follow(run: Supervisor) -> None:
    """Hold the process in which the gateway goes on."""
    log.warning("the gateway goes on in another process", pid=run.service.child.pid)
    run.gateway.record.update_life(run.service.life)
    run.watch.watch_end(run.service)


def follow_and_stop(run: Supervisor) -> None:
    """Hold the process in which the gateway goes on, and ask that process to end too."""
    follow(run)
    run.service.send(signal.SIGTERM)


def stop(run: Supervisor, number: signal.Signals) -> None:
    """Ask the gateway to end, because tailflip was asked to end."""
    run.note_stop(number)
    ask_to_end(run, Asked.OPERATOR, run.watch.drain_s)


def stop_again(run: Supervisor, number: signal.Signals) -> None:
    """Pass the signal on to a gateway that is ending already; it is not started again."""
    run.note_stop(number)
    run.service.asked, run.service.handed_off = Asked.OPERATOR, False
    run.service.send(number)


def restart(run: Supervisor, number: signal.Signals) -> None:
    """Send the restart signal that this release knows; else restart the gateway ourselves."""
    known = run.gateway.release.capabilities.restart_signal
    log.info("asked to restart", signal=number.name, passed_on=known and known.name)
    if known is not None:
        run.service.send_worker(known)
        return
    if not run.watch.is_quiet():
        log.info("waiting for the jobs in flight to end before the restart")
    restart_when_quiet(run, clock.monotonic_s() + run.watch.drain_s, Asked.RESTART_SIGNAL)


def restart_when_quiet(run: Supervisor, until_s: float, asked: Asked) -> None:
    """Restart once the jobs in flight have ended, or their time is up."""
    if asked is Asked.SAFE_OVER and run.maintenance.keeps_hands_off():
        _leave_safe_later(run, _LATER_S)
        return
    if run.watch.is_quiet() or clock.monotonic_s() >= until_s:
        ask_to_restart(run, asked)
        return
    run.manager.status("waiting for the jobs in flight to end before the restart")
    run.loop.at("drain", _LOOK_S, lambda: run.handle(Event.DRAIN_DUE, until_s, asked))


ACTIONS: Mapping[Action, Callable[..., None]] = {
    Action.MEET: meet,
    Action.CLOSE_BREAKER: close_breaker,
    Action.END_RESTART_LOOP: end_restart_loop,
    Action.LEAVE_SAFE: leave_safe_mode,
    Action.END_HUNG: end_hung,
    Action.MEASURE: measure,
    Action.MEASURE_NOW: measure_now,
    Action.MEASURE_AND_FORESEE: measure_and_foresee,
    Action.KILL: kill,
    Action.LOOK_AT_PROCESS: look_at_process,
    Action.REAP: reap,
    Action.FOLLOW: follow,
    Action.FOLLOW_AND_STOP: follow_and_stop,
    Action.STOP: stop,
    Action.STOP_AGAIN: stop_again,
    Action.RESTART: restart,
    Action.RESTART_WHEN_QUIET: restart_when_quiet,
}
