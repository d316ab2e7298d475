"""`tailflip run`: one loop that owns all state, and a gateway that it keeps alive.

    preparing ──▶ starting ──▶ running ──▶ judging ──▶ curing ──▶ waiting ──▶ preparing
        │            └────────────┴──▶ stopping ──▶ judging ──▶ (end)

Whatever takes long (looking at stores, compacting them, examining a dead gateway) is
done by one worker thread at a time, so that the loop always answers its own watchdog.
Every decision is on record before it is acted on: killed at any moment, the next
supervisor takes the living gateway over, or resumes the wait that was decided.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from tailflip.base import clock, log, platform_calls
from tailflip.base.errors import TailflipError, TryLater
from tailflip.config.load import load
from tailflip.diagnose.causes import CAUSES
from tailflip.diagnose.deaths import ASKED_HANG, classify
from tailflip.diagnose.loops import CRASHES, RESTARTS, RESTFUL_S
from tailflip.flow.lives import Breaker, Decision, Waiting
from tailflip.flow.outcomes import Finding
from tailflip.observe.gateway.health import Probe
from tailflip.observe.host.changes import ChangeWatcher
from tailflip.observe.installation import DEFAULT_PORT
from tailflip.observe.suspects import MEMORY_ELSEWHERE
from tailflip.supervise.backoff import start_delay_s
from tailflip.supervise.breaker import (
    anchor,
    hold_back,
    is_due,
    note_good_life,
    note_start,
    reconsider,
    wait_for,
)
from tailflip.supervise.context import tell
from tailflip.supervise.elapsed import find_left_ms, read_moment
from tailflip.supervise.event_loop import Loop, Outcome
from tailflip.supervise.health import Pulse
from tailflip.supervise.inferred_end import find_unseen_end
from tailflip.supervise.manager_notices import Herald
from tailflip.supervise.memory_watch import Vigil
from tailflip.supervise.post_mortem import (
    choose_next,
    count_memory_deaths,
    examine,
    heal,
    is_cured,
    note,
    record_death,
    record_decision,
)
from tailflip.supervise.process.guarded import Service
from tailflip.supervise.process.life_id import hide_secrets, new_life
from tailflip.supervise.process.reaper import reap_orphans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.base.sdnotify import Notifier
    from tailflip.flow.lives import Death, Life
    from tailflip.observe.installation import Installation
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import Guard

_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_RESTARTING = frozenset({signal.SIGUSR1, signal.SIGUSR2})
_CAUGHT = (*_STOPPING, *_RESTARTING, signal.SIGHUP, signal.SIGCHLD)
_HANG_DRAIN_S = 30.0
_RECONSIDER_S = 5.0
_DELAY_LOOK_S = 60.0
_REFUSED_LOOK_MS = 300_000
_HOUSEKEEPING_S = 6 * 3600.0
_LOOK_S = 1.0
_KILLED = 128


class Phase(StrEnum):
    """Where the supervisor is; see the module's drawing."""

    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    JUDGING = "judging"
    CURING = "curing"
    WAITING = "waiting"


_ALIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})


class _Cancelled(Exception):
    """Raised inside slow work, between two of its steps, when we were asked to stop."""


@dataclass
class Supervisor:
    """Guards one gateway until it is asked to stop."""

    guard: Guard
    notifier: Notifier
    flags: Mapping[str, str] = field(default_factory=dict)
    phase: Phase = field(default=Phase.PREPARING, init=False)
    service: Service | None = field(default=None, init=False)
    breaker: Breaker = field(default_factory=Breaker, init=False)
    decision: Decision | None = field(default=None, init=False)
    exit_code: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._loop = Loop()
        self._herald = Herald(self._loop, self.notifier)
        self._vigil = Vigil(self.guard)
        self._asked_to_stop = threading.Event()
        self._pulse: Pulse | None = None
        self._watcher: ChangeWatcher | None = None
        self._failed_starts: int | None = None  # in a row; None until one went well

    def run(self) -> int:
        """Guard until the end, and return the exit code.

        Raises:
            TryLater: the gateway has a supervisor already.
            TailflipError: the command cannot be started.
        """
        with ExitStack() as stack:
            self._claim(stack)
            stack.enter_context(self._loop.catching(_CAUGHT, self._on_signal))
            platform_calls.here.become_subreaper()
            self._herald.start()
            try:
                self._resume()
                self._keep_house()
                while self.exit_code is None:
                    self._loop.step()
            finally:
                self._unwatch()
                if self._watcher is not None:
                    self._watcher.stop()
        return self.exit_code

    def _claim(self, stack: ExitStack) -> None:
        """Be the only supervisor; where nothing can be written, at least be one."""
        guard = self.guard
        try:
            alone = guard.home.supervise(guard.name, "run", clock.now_ms(), guard.disk)
            stack.enter_context(alone)
        except TryLater:
            raise
        except TailflipError as e:
            log.error("nothing can be remembered, and no store healed", error=e, hint=e.hint)

    # --- where we come from --------------------------------------------------------------

    def _resume(self) -> None:
        """Take up what the last supervisor left: a living gateway, a death, or a wait."""
        guard, history = self.guard, self.guard.history
        self.breaker = guard.read(history.decisions.read_breaker, Breaker())
        last = next(iter(guard.read(lambda: history.lives.read(1), ())), None)
        if last is None and guard.find_other() is None:
            self._after_unseen_end(None)
            return
        if last is not None and last.ended_ms is None:
            service = Service.adopt(guard, last) if last.mode == "run" else None
            if service is not None:
                self._take_up(service)
                return
            if guard.find_other() is None:
                self._after_unseen_end(last)
                return
            gone = last.model_copy(update={"ended_ms": clock.now_ms(), "end_known": False})
            guard.write(lambda: history.lives.end(gone, b""))
        standing = guard.read(history.decisions.read_standing, None)
        death = last.death if last is not None else None
        if standing is not None and standing.kind != "end":
            log.info("resuming a wait", reason=standing.reason)
            anchored = anchor(standing, guard.look_at_world())
            if anchored != standing:
                record_decision(guard, self.breaker, anchored, last.id if last else None)
            self._enter_waiting(anchored)
        elif (
            last is not None
            and death is not None
            and guard.read(partial(history.decisions.is_undecided, last), False)
        ):
            self._cure(death, last)  # the last supervisor ended between verdict and decision
        else:
            self._prepare()

    def _take_up(self, service: Service) -> None:
        self.service, self._failed_starts = service, 0
        log.warning(
            "took over a living gateway whose supervisor was gone",
            pid=service.child.pid,
            life=service.life.id,
        )
        service.find_worker()
        self._keep_life()
        self._watch_end(service)
        self._watch(service)
        if self.phase is Phase.RUNNING:
            self._after_ready(service)

    def _after_unseen_end(self, last: Life | None) -> None:
        found = find_unseen_end(self.guard, last)
        if found is None:
            self._prepare()
        else:
            self._cure(*found)

    # --- before a start ------------------------------------------------------------------

    def _prepare(self) -> None:
        """Look at the stores, and heal them, in the worker thread."""
        self.phase = Phase.PREPARING
        self.guard.look_at_release()
        self._herald.status("looking at the session stores")
        self._loop.work(lambda: self.guard.admit(on_progress=self._on_progress), self._on_prepared)

    def _on_progress(self, stage: str, done: int, total: int) -> None:
        """Called inside slow work; stops it when we were asked to stop."""
        if self._asked_to_stop.is_set():
            raise _Cancelled
        if total:
            self._herald.status(f"{stage}: {done * 100 // total} %")

    def _take(self, outcome: Outcome) -> Admission | None:
        """Take what an admission gave; None, and the gateway starts all the same, if we failed."""
        if outcome.error is None:
            admission: Admission = outcome.value
            tell(admission)
            return admission
        log.error("could not look at the stores", error=outcome.error)
        return None

    def _on_prepared(self, outcome: Outcome) -> None:
        if self._asked_to_stop.is_set():
            self._end(0, "asked to stop before the gateway was started")
            return
        admission = self._take(outcome)
        if admission is not None and not admission.go:
            self._refuse(admission)
            return
        note(self.guard, "start-refused", None)
        other = self.guard.find_other()
        if other is None:
            self._start_in_pace()
            return
        reason = f"another gateway is there: {other.evidence}" if other.alive else other.evidence
        hint = (
            "stop it, and ours is started; or guard it as it is with `tailflip watch`"
            if other.alive
            else "stop who holds it, and ours is started; or give the gateway another port"
        )
        log.error("not started", reason=reason, hint=hint)
        self._wait(Waiting.OTHER_INSTANCE, reason)

    def _refuse(self, admission: Admission) -> None:
        reason, hint = admission.reason, admission.hint or ""
        log.error("not started", reason=reason, hint=hint)
        note(
            self.guard,
            "start-refused",
            Finding("start-refused", "error", self.guard.name, reason, hint),
        )
        self._wait(admission.waiting, reason, alert=True)

    # --- a life --------------------------------------------------------------------------

    def _start_in_pace(self) -> None:
        """Start, unless there were too many starts of late, whoever wants this one."""
        held = hold_back(self.breaker, self.guard.look_at_world())
        if held is None:
            self._start()
            return
        record_decision(self.guard, self.breaker, held, None)
        self._enter_waiting(held)

    def _start(self) -> None:
        guard = self.guard
        was_started = self._was_started()
        self.breaker = note_start(self.breaker, read_moment())
        life = new_life(guard, "run", clock.now_ms())
        guard.write(lambda: guard.history.lives.begin(life))
        guard.write(lambda: guard.history.decisions.record_breaker(self.breaker))
        try:
            service = Service.start(guard, life)
        except (TailflipError, OSError) as e:
            ended = life.model_copy(update={"ended_ms": clock.now_ms()})
            guard.write(lambda: guard.history.lives.end(ended, b""))
            if isinstance(e, OSError):
                e = TryLater(f"cannot start the gateway: {e.strerror or e}")
            if not was_started:
                raise e from None
            self._start_later(e, (self._failed_starts or 0) + 1)
            return
        self.service, self._failed_starts = service, 0
        self._keep_life()
        log.info("gateway started", pid=service.child.pid, life=life.id, version=life.version)
        self._watch(service)
        self._herald.status(f"gateway starting, pid {service.child.pid}")

    def _was_started(self) -> bool:
        """Say whether this very command could be started before, by us or by who was here."""
        if self._failed_starts is not None:
            return True
        command = hide_secrets(self.guard.command)
        lives = self.guard.read(self.guard.history.lives.read, ())
        return any(life.pid is not None and life.command == command for life in lives)

    def _start_later(self, error: TailflipError, failed: int) -> None:
        """A command that could be started before is being replaced, and will be back."""
        self._failed_starts = failed
        limits = self.guard.config.restart
        wait_s = start_delay_s(limits, failed)
        now = read_moment()
        decision = Decision(
            kind="start",
            reason=f"{error.message}; it could be started before",
            waiting=Waiting.TIME,
            at_ms=now.at_ms + int(1000 * wait_s),
            alert=failed == limits.loop_deaths,
            made=now,
        )
        record_decision(self.guard, self.breaker, decision, None)
        self._enter_waiting(decision)

    def _keep_life(self) -> None:
        """Put what is known of the living gateway on record."""
        if self.service is not None:
            life = self.service.life
            self.guard.write(lambda: self.guard.history.lives.update(life))

    def _watch(self, service: Service) -> None:
        """Set everything going that looks after a living gateway."""
        is_ready = service.life.ready_ms is not None
        self.phase = Phase.RUNNING if is_ready else Phase.STARTING
        where = self._find_door()
        self._pulse = Pulse(
            self._loop,
            self.guard.config.health,
            where=where,
            find_host=lambda: service.find_host(where.port),
            has_startup=self.guard.release.capabilities.has_startup_probe,
            is_ready=is_ready,
            on_ready=self._on_ready,
            on_hang=self._on_hang,
        )
        self._vigil.begin(service.life)
        self._loop.at("sample", 0, self._sample)

    def _find_door(self) -> Probe:
        """Find where the gateway will answer; before its first start nothing but a guess tells."""
        installation = self.guard.locate()
        if installation is not None:
            return Probe(installation.port, tls=installation.tls)
        return Probe(self.guard.config.gateway.port or self.guard.release.port or DEFAULT_PORT)

    def _unwatch(self) -> None:
        self._loop.cancel("sample", "good", "rest", "kill", "look", "drain")
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None

    def _watch_end(self, service: Service) -> None:
        """See the end of a process that is not our child: no signal tells of it."""
        service.watch_end(lambda: self._loop.post(self._look_at_children))
        self._loop.at("look", _LOOK_S, self._look_at_orphan)

    def _look_at_orphan(self) -> None:
        self._loop.at("look", _LOOK_S, self._look_at_orphan)
        self._look_at_children()

    def _on_ready(self) -> bool:
        """The first good answer; False if it was somebody else who gave it."""
        service = self.service
        if service is None or self.phase is not Phase.STARTING:
            return False
        service.find_worker()
        if service.find_foreign() is not None:
            return False  # ours will say so itself when it ends
        service.life = service.life.model_copy(update={"ready_ms": clock.now_ms()})
        self._keep_life()
        log.info("gateway answers", after_s=round(service.uptime_s, 1), pid=service.child.pid)
        self.phase = Phase.RUNNING
        self._after_ready(service)
        return True

    def _after_ready(self, service: Service) -> None:
        self._loop.at("good", self.guard.config.restart.good_life_s, self._on_good_life)
        self._loop.at("rest", RESTFUL_S, lambda: note(self.guard, RESTARTS, None))
        self._watch_files()
        self._herald.ready(self._vigil.describe(service))

    def _on_good_life(self) -> None:
        """The life is long enough to be good: the row of deaths is over."""
        history = self.guard.history
        breaker = note_good_life(self.breaker)
        if breaker != self.breaker:
            self.breaker = breaker
            self.guard.write(lambda: history.decisions.record_breaker(breaker))
        for incident in self.guard.read(lambda: history.incidents.close_all(clock.now_ms()), ()):
            log.info("incident is over", id=incident.id, cause=incident.cause)
        note(self.guard, CRASHES, None)
        note(self.guard, MEMORY_ELSEWHERE, None)

    def _on_hang(self, why: str) -> None:
        service = self.service
        if service is None or service.asked is not None:
            return
        if not self.guard.config.restart.on_hang:
            log.error("gateway does not answer, and restart.on_hang is false", why=why)
            return
        log.error("gateway does not answer: ending it", why=why, pid=service.child.pid)
        self._stop(service, ASKED_HANG, min(_HANG_DRAIN_S, self._drain_s))

    def _sample(self) -> None:
        service = self.service
        if service is None:
            return
        at = self.guard.locate()
        if service.find_worker(at):
            self._keep_life()
        self._vigil.note_runs(at)
        self._loop.at("sample", self._vigil.measure(service, at), self._sample)
        if self._watcher is not None:
            self._watcher.check()
        if self.phase is not Phase.RUNNING:
            return
        finding = self._vigil.find_trend(clock.now_ms())
        note(self.guard, "memory-trend", finding)
        if finding is not None and self._may_restart_ahead(service, at):
            log.warning("restarting ahead of the heap's end", why=finding.message)
            self._restart(service, "tailflip: memory")
        else:
            self._herald.status(self._vigil.describe(service))

    def _may_restart_ahead(self, service: Service, at: Installation | None) -> bool:
        memory = self.guard.config.memory
        old_enough = service.uptime_s >= memory.min_life_s
        return memory.restart_ahead and old_enough and self._vigil.is_quiet(at)

    def _watch_files(self) -> None:
        """Be told of changed stores by the kernel; not being told costs only freshness."""
        installation = self.guard.locate()
        if installation is None or self._watcher is not None:
            return
        paths = [store.path for store in (*installation.stores, *installation.missing)]
        self._watcher = ChangeWatcher(
            [*paths, installation.config_path, installation.cron_store],
            lambda _changed: self._loop.post(self._on_changed),
        )
        try:
            self._watcher.start()
        except OSError as e:
            log.warning("cannot watch the stores' folders", error=e)

    def _on_changed(self) -> None:
        if self.phase is Phase.WAITING:
            self._retry()
        elif self._loop.has("sample"):
            self._vigil.note_runs()  # a gateway may die of a job as soon as it has marked it
            self._loop.at("sample", 0, self._sample)

    # --- its end -------------------------------------------------------------------------

    @property
    def _drain_s(self) -> float:
        given = self.guard.config.gateway.drain_s
        return given if given is not None else self.guard.release.capabilities.drain_s

    def _stop(self, service: Service, asked: str, limit_s: float) -> None:
        """Ask the gateway to end, and see to it that it does."""
        service.asked = asked
        self.phase = Phase.STOPPING
        self._loop.at("kill", limit_s, self._kill)
        self._herald.status("the gateway is asked to end")
        service.send(signal.SIGTERM)

    def _kill(self) -> None:
        if self.service is not None:
            log.error("gateway did not end in time: killed", pid=self.service.child.pid)
            self.service.kill()
            self._loop.at("kill", _LOOK_S, self._kill)

    def _look_at_children(self) -> None:
        """See whether the gateway ended, and reap who else fell to us."""
        service = self.service
        if service is not None and self.phase in _ALIVE:
            held = service.child
            if service.poll() is not None:
                self._on_ended(service)
            elif service.child is not held:
                self._go_on(service)
        if self._loop.is_working:
            # What runs there waits for children of its own.
            self._loop.at("reap", _LOOK_S, self._look_at_children)
        else:
            reap_orphans(but={service.child.pid} if service is not None else ())

    def _go_on(self, service: Service) -> None:
        log.warning("the gateway goes on in another process", pid=service.child.pid)
        self._keep_life()
        self._watch_end(service)
        if self.phase is Phase.STOPPING:
            service.send(signal.SIGTERM)

    def _on_ended(self, service: Service) -> None:
        self._unwatch()
        self.phase = Phase.JUDGING
        ended = service.ended
        log.write(
            "info" if service.asked or (ended and ended.exit_code == 0) else "error",
            "gateway ended",
            pid=service.child.pid,
            exit=ended.exit_code if ended else None,
            signal=_name(ended.signal) if ended else None,
            uptime_s=round(service.uptime_s, 1),
        )
        self._herald.status("finding out why the gateway ended")
        stopping = self._asked_to_stop.is_set
        self._loop.work(
            lambda: examine(self.guard, service, stopping), partial(self._on_examined, service)
        )

    def _on_examined(self, service: Service, outcome: Outcome) -> None:
        if outcome.error is not None:
            # Whatever could not be found out: a gateway that is dead is to be started again.
            log.error("could not find out why the gateway ended", error=outcome.error)
            outcome = Outcome((service.describe_end(), b""))
        if outcome.value is None:
            self._go_on(service)
            self._watch(service)
            if self._asked_to_stop.is_set():
                self._stop(service, "operator", self._drain_s)
            return
        clues, tail = outcome.value
        death = classify(clues)
        life = record_death(self.guard, death, clues, service.life, tail)
        if service.sweep(signal.SIGKILL):
            log.warning("ended what the gateway left in its process group")
        self.service = None
        if self._asked_to_stop.is_set():
            self._end(_choose_exit_code(life), "asked to stop")
        else:
            self._cure(death, life)

    def _cure(self, death: Death, life: Life) -> None:
        """Compact the stores after a death of memory, then decide; after others, decide."""
        if not (count_memory_deaths(self.breaker, death) and self.guard.config.heal.after_oom):
            self._choose(death, life, cured=False)
            return
        self.phase = Phase.CURING
        self._herald.status("out of memory: compacting the session stores")
        self._loop.work(
            lambda: heal(self.guard, self.breaker, death, life, self._on_progress),
            partial(self._on_cured, death, life),
        )

    def _on_cured(self, death: Death, life: Life, outcome: Outcome) -> None:
        if self._asked_to_stop.is_set():
            self._end(0, "asked to stop while the stores were compacted")
            return
        admission = self._take(outcome)
        self._choose(death, life, cured=is_cured(self.guard, life, admission))

    def _choose(self, death: Death, life: Life, *, cured: bool) -> None:
        if CAUSES[death.cause].is_unasked:
            log.info(
                "whoever wants it to stay down stops its guard, by its service or by its pid",
                guard_pid=os.getpid(),
            )
        self.breaker, decision = choose_next(self.guard, self.breaker, death, life, cured=cured)
        if decision.kind == "end":
            self._end(_choose_exit_code(life), decision.reason)
        else:
            self._enter_waiting(decision)

    # --- waiting -------------------------------------------------------------------------

    def _wait(self, waiting: Waiting, reason: str, *, alert: bool = False) -> None:
        """Wait for a change without a death behind it; it is looked at again in any case.

        What a refusal waits for may be what no fingerprint shows, such as room on a disk.
        """
        world = self.guard.look_at_world()
        self.breaker = wait_for(self.breaker, waiting, world)
        is_told = self.decision is not None and self.decision.reason == reason
        decision = Decision(
            kind="wait",
            reason=reason,
            waiting=waiting,
            at_ms=None if waiting is Waiting.OTHER_INSTANCE else world.now_ms + _REFUSED_LOOK_MS,
            alert=alert and not is_told,
            made=world.moment,
        )
        record_decision(self.guard, self.breaker, decision, None)
        self._enter_waiting(decision)

    def _enter_waiting(self, decision: Decision) -> None:
        self.phase = Phase.WAITING
        self.decision = decision
        self._herald.status(f"waiting: {decision.reason}")
        self._watch_files()
        self._loop.at("retry", self._next_look_s(decision), self._retry)

    def _next_look_s(self, decision: Decision) -> float:
        """Choose when to look again: when its time has come, and now and then before."""
        longest_ms = int(1000 * self.guard.config.restart.trial_cap_s)
        left_ms = find_left_ms(decision, read_moment(), longest_ms)
        look_s = _DELAY_LOOK_S if decision.kind == "start" else _RECONSIDER_S
        return look_s if left_ms is None else min(left_ms / 1000, look_s)

    def _retry(self) -> None:
        """Has what we wait for happened?"""
        if self.phase is not Phase.WAITING or self.decision is None:
            return
        world = self.guard.look_at_world()
        decision = reconsider(self.breaker, self.decision, world)
        if is_due(decision, world):
            if self.decision.kind == "wait":
                log.info("no longer waiting", reason=decision.reason)
            self._loop.cancel("retry")
            self._prepare()
        else:
            self.decision = decision
            self._loop.at("retry", self._next_look_s(decision), self._retry)

    # --- signals -------------------------------------------------------------------------

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGCHLD:
            self._look_at_children()
        elif number in _STOPPING:
            self._on_stop_asked(number)
        elif number in _RESTARTING:
            self._on_restart_asked(number)
        else:
            self._reload()

    def _on_stop_asked(self, number: signal.Signals) -> None:
        log.info("asked to stop", signal=number.name)
        self._asked_to_stop.set()
        self._herald.stopping("asked to stop")
        service = self.service
        if self.phase is Phase.WAITING:
            self._end(0, "asked to stop while waiting")
        elif service is not None and self.phase is Phase.STOPPING:
            service.asked, service.handed_off = "operator", False
            service.send(number)
        elif service is not None and self.phase in _ALIVE:
            self._stop(service, "operator", self._drain_s)

    def _on_restart_asked(self, number: signal.Signals) -> None:
        """Hand the wish on by the signal that this version knows; else restart it ourselves."""
        if self.phase is Phase.WAITING:
            log.info("asked to try now", signal=number.name)
            self._loop.cancel("retry")
            self._prepare()
        elif self.service is not None and self.phase in (Phase.STARTING, Phase.RUNNING):
            known = self.guard.release.capabilities.restart_signal
            log.info("asked to restart", signal=number.name, passed_on=known and known.name)
            if known is not None:
                self.service.send_worker(known)
            else:
                until_s = clock.monotonic_s() + self._drain_s
                if not self._vigil.is_quiet():
                    log.info("waiting for the jobs in flight to end before the restart")
                self._restart_when_quiet("tailflip: restart by signal", until_s)

    def _restart_when_quiet(self, asked: str, until_s: float) -> None:
        """Let the jobs that are in flight end first, if they do in time."""
        service = self.service
        if service is None or self.phase not in (Phase.STARTING, Phase.RUNNING):
            return
        if self._vigil.is_quiet() or clock.monotonic_s() >= until_s:
            self._restart(service, asked)
            return
        self._herald.status("waiting for the jobs in flight to end before the restart")
        self._loop.at("drain", _LOOK_S, lambda: self._restart_when_quiet(asked, until_s))

    def _restart(self, service: Service, asked: str) -> None:
        service.handed_off = True
        self._stop(service, asked, self._drain_s)

    def _reload(self) -> None:
        self._herald.reloading(int(clock.monotonic_s() * 1_000_000))
        try:
            self.guard.config = load(self.guard.env, self.flags).config
            log.set_level(self.guard.config.log.level)
            log.info("settings were read again")
        except TailflipError as e:
            log.error("settings are not valid, the old ones stay", error=e)
        self._herald.reloaded()
        if self.phase is Phase.WAITING:
            self._retry()

    # --- the rest ------------------------------------------------------------------------

    def _keep_house(self) -> None:
        """Forget what is too old, and remove what earlier lives left."""
        history, keep_days = self.guard.history, self.guard.config.ledger.keep_days
        self.guard.write(lambda: history.expire(clock.now_ms(), keep_days))
        for fifo in self.guard.home.list_fifos():
            life = self.guard.read(partial(history.lives.find, fifo.stem), None)
            if life is not None and life.ended_ms is not None:
                with suppress(OSError):
                    fifo.unlink()
        self._loop.at("house", _HOUSEKEEPING_S, self._keep_house)

    def _end(self, code: int, reason: str) -> None:
        log.info("tailflip ends", reason=reason, exit=code)
        self._herald.stopping(reason)
        self.exit_code = code


def _choose_exit_code(life: Life) -> int:
    """Choose our own exit code after an end that was wanted: the gateway's, 0 for SIGTERM's."""
    if life.signal in (signal.SIGTERM, signal.SIGINT):
        return 0
    return life.exit_code or 0 if life.signal is None else _KILLED + life.signal


def _name(number: int | None) -> str | None:
    try:
        return None if number is None else signal.Signals(number).name
    except ValueError:
        return str(number)
