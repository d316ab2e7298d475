"""`tailflip run`: one queue, one loop, one thread that owns all state.

    preparing ──▶ starting ──▶ running ──▶ judging ──▶ curing ──▶ waiting ──▶ preparing
        │            └────────────┴──▶ stopping ──▶ judging ──▶ (end)

Signals, answers, changed files and the results of slow work arrive as events; everything
that takes long (looking at stores, compacting them, asking a dead gateway's hand-off)
is done by one worker thread at a time, so that the loop always answers its own watchdog.
Every decision is on record before it is acted on: killed at any moment, the next
supervisor takes the living gateway over, or resumes the wait that was decided.
"""

from __future__ import annotations

import queue
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from tailflip import clock, log
from tailflip.config import load
from tailflip.diagnose.deaths import classify
from tailflip.diagnose.loops import find_loop
from tailflip.errors import ConfigInvalid, NoPermission, TailflipError, TryLater
from tailflip.flow import (
    OUT_OF_MEMORY,
    WANTED,
    Breaker,
    Cause,
    Decision,
    Finding,
    Waiting,
)
from tailflip.observe.changes import ChangeWatcher
from tailflip.observe.health import HEALTH, STARTUP, Probe, Prober
from tailflip.observe.past import find_past_clues
from tailflip.observe.release import drain_s, is_external_mode, restart_signal
from tailflip.restart.breaker import decide, note_good_life, note_start, reconsider, wait_for
from tailflip.restart.handoff import consume_handoff
from tailflip.restart.reaper import become_subreaper, reap_orphans
from tailflip.restart.service import Service, new_life
from tailflip.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.admission import Admission
    from tailflip.flow import Clues, Death, Gateway, Life
    from tailflip.guard import Guard
    from tailflip.observe.health import Answer
    from tailflip.sdnotify import Notifier

_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_RESTARTING = frozenset({signal.SIGUSR1, signal.SIGUSR2})
_CAUGHT = (*_STOPPING, *_RESTARTING, signal.SIGHUP, signal.SIGCHLD)
_HEIR_S = 10.0  # a gateway that restarts by itself is seen again within this time
_HEIR_LOOK_S = 0.5
_HANG_DRAIN_S = 30.0
_STARTING_ASK_S = 0.5
_RECONSIDER_S = 5.0
_EXTEND_EVERY_S, _EXTEND_BY_S = 10.0, 30.0
_HOUSEKEEPING_S = 6 * 3600.0
_ORPHANED_LOOK_S = 1.0
_MAX_SLEEP_S = 3600.0
_KILLED = 128


class Phase(StrEnum):
    """Where the loop is."""

    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    JUDGING = "judging"
    CURING = "curing"
    WAITING = "waiting"


class _Cancelled(Exception):
    """Raised inside slow work, between two of its steps, when we were asked to stop."""


@dataclass(frozen=True)
class _Done:
    """The result of slow work, or what it raised."""

    value: Any
    error: BaseException | None = None


@dataclass
class Supervisor:
    """Guards one gateway until it is asked to stop."""

    guard: Guard
    notifier: Notifier
    flags: Mapping[str, str] = field(default_factory=dict)
    phase: Phase = Phase.PREPARING
    service: Service | None = None
    breaker: Breaker = field(default_factory=Breaker)
    decision: Decision | None = None
    exit_code: int | None = None

    def __post_init__(self) -> None:
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._timers: dict[str, float] = {}
        self._cancel = threading.Event()
        self._asked_to_stop = False
        self._busy = False
        self._said_ready = False
        self._misses = 0
        self._judged: tuple[Death, Life] | None = None
        self._prober: Prober | None = None
        self._watcher: ChangeWatcher | None = None
        self._vigil = Vigil(self.guard)

    def run(self) -> int:
        """Guard until the end, and return the exit code.

        Raises:
            TryLater: the gateway has a supervisor already.
            TailflipError: our own directory cannot be used.
        """
        guard = self.guard
        with guard.home.supervise(guard.name, "run", clock.now_ms(), guard.disk):
            become_subreaper()
            before = self._catch_signals()
            try:
                self._housekeep()
                self._resume()
                if self.notifier.watchdog_s is not None:
                    self._at("watchdog", 0)
                self._at("extend", 0)
                while self.exit_code is None:
                    self._step()
            finally:
                self._close()
                for number, handler in before.items():
                    signal.signal(number, handler)
        return self.exit_code

    # --- the loop ------------------------------------------------------------------------

    def _step(self) -> None:
        now_s = clock.monotonic_s()
        due_s = min(self._timers.values(), default=now_s + _MAX_SLEEP_S)
        try:
            event = self._events.get(timeout=max(0.0, due_s - now_s))
        except queue.Empty:
            self._run_timers()
        else:
            self._dispatch(event)

    def _dispatch(self, event: Any) -> None:
        if isinstance(event, signal.Signals):
            self._on_signal(event)
        elif isinstance(event, _Done):
            self._busy = False
            self._on_done(event)
        elif isinstance(event, tuple):
            handler, argument = event
            handler(argument)

    def _at(self, name: str, seconds: float | None) -> None:
        """Set a timer to go off once, or with None take it back."""
        if seconds is None:
            self._timers.pop(name, None)
        else:
            self._timers[name] = clock.monotonic_s() + seconds

    def _run_timers(self) -> None:
        now_s = clock.monotonic_s()
        for name in [name for name, due_s in self._timers.items() if due_s <= now_s]:
            if self._timers.pop(name, None) is not None:
                getattr(self, f"_on_{name}_due")()

    def _catch_signals(self) -> dict[int, Any]:
        def put(number: int, _frame: object) -> None:
            self._events.put(signal.Signals(number))

        return {number: signal.signal(number, put) for number in _CAUGHT}

    def _work(self, job: Callable[[], Any]) -> None:
        """Do something slow in a thread; its result comes back as `_Done`."""
        self._busy = True
        self._cancel.clear()

        def run() -> None:
            try:
                done = _Done(job())
            except BaseException as e:  # noqa: BLE001 - it is raised again, in the loop
                done = _Done(None, e)
            self._events.put(done)

        threading.Thread(target=run, name="work", daemon=True).start()

    def _close(self) -> None:
        if self._prober is not None:
            self._prober.close()
        if self._watcher is not None:
            self._watcher.stop()

    # --- where we come from --------------------------------------------------------------

    def _resume(self) -> None:
        """Take up what the last supervisor left: a living gateway, a death, or a wait."""
        history = self.guard.history
        self.breaker = self._read(history.read_breaker, Breaker())
        last = next(iter(self._read(lambda: history.read_lives(1), ())), None)
        if last is not None and last.ended_ms is None and last.mode == "run":
            self.service = Service.adopt(self.guard, last)
            if self.service is not None:
                self._take_up(self.service)
                return
        if last is not None and last.ended_ms is None:
            if self.guard.find_other() is None:
                self._bury(last)
                return
            gone = last.model_copy(update={"ended_ms": clock.now_ms(), "end_known": False})
            self._record(lambda: history.end_life(gone, b""))
        pending = self._read(history.read_decision, None)
        if pending is not None and pending.kind == "wait":
            self.decision = pending
            log.info("resuming a wait", reason=pending.reason)
            self._enter_waiting()
            return
        self._prepare()

    def _take_up(self, service: Service) -> None:
        life = service.life
        log.warning(
            "took over a living gateway: its supervisor was gone",
            pid=service.child.pid,
            life=life.id,
        )
        service.find_worker()
        self._record(lambda: self.guard.history.update_life(service.life))
        service.watch_end(lambda: self._events.put((self._on_child_event, None)))
        self._at("orphaned", _ORPHANED_LOOK_S)
        self._watch(service)
        self.phase = Phase.STARTING if life.ready_ms is None else Phase.RUNNING
        if self.phase is Phase.RUNNING:
            self._at("good", self.guard.config.restart.good_life_s)
            self._say_ready()

    def _bury(self, last: Life) -> None:
        """Judge a life that ended while nobody looked."""
        now_ms = clock.now_ms()
        installation = self.guard.locate()
        service = self.guard.config.gateway.service
        found = None
        if installation is not None:
            found = find_past_clues(installation, self.guard.env, last, now_ms, service)
        if found is None:
            ended = last.model_copy(update={"ended_ms": now_ms, "end_known": False})
            self._record(lambda: self.guard.history.end_life(ended, b""))
            self._prepare()
            return
        clues, notes = found
        death = classify(clues)
        death = death.model_copy(update={"evidence": (*death.evidence, *notes)})
        self._mourn(death, last.model_copy(update={"end_known": False}), b"")

    # --- before a start ------------------------------------------------------------------

    def _prepare(self) -> None:
        """Look at the stores, and heal them, in the worker thread."""
        self.phase = Phase.PREPARING
        self._status("looking at the session stores")
        self._work(lambda: self.guard.admit(on_progress=self._on_progress))

    def _on_progress(self, stage: str, done: int, total: int) -> None:
        """Called inside slow work; stops it when we were asked to stop."""
        if self._cancel.is_set():
            raise _Cancelled
        if total:
            self._status(f"{stage}: {done * 100 // total} %")

    def _on_done(self, done: _Done) -> None:
        if self._asked_to_stop and self.phase in (Phase.PREPARING, Phase.CURING):
            self._end(0, "asked to stop before the gateway was started")
        elif isinstance(done.error, _Cancelled):
            self._prepare()
        elif done.error is not None and not isinstance(done.error, (TailflipError, OSError)):
            raise done.error
        elif self.phase is Phase.PREPARING:
            self._on_prepared(done)
        elif self.phase is Phase.CURING:
            self._on_cured(done)
        elif self.phase is Phase.JUDGING:
            self._on_judged(done)

    def _on_prepared(self, done: _Done) -> None:
        if done.error is not None:
            # Ours: a healthy gateway is not kept down by it.
            log.error("cannot look at the stores; starting all the same", error=done.error)
        elif not self._accept(done.value):
            return
        other = self.guard.find_other()
        if other is not None:
            self._wait_for_other(other)
            return
        self._start()

    def _accept(self, admission: Admission) -> bool:
        """Report what was found and done; False when the gateway may not start."""
        self._report(admission)
        if admission.go:
            self._note("start-refused", None)
            return True
        log.error("not started", reason=admission.reason, hint=admission.hint)
        self._note(
            "start-refused",
            Finding(
                "start-refused", "error", self.guard.name, admission.reason, admission.hint or ""
            ),
        )
        self._wait(Waiting.CURE, admission.reason, alert=True)
        return False

    def _report(self, admission: Admission) -> None:
        for note in admission.notes:
            log.info("note", text=note)
        for report in admission.reports:
            log.warning(
                f"store {report.kind} done",
                path=report.store,
                before_bytes=report.bytes_before,
                after_bytes=report.bytes_after,
                entries_removed=report.entries_before - report.entries_after,
                took_s=report.took_s,
                undo=report.undo,
            )

    def _wait_for_other(self, other: Gateway) -> None:
        reason = f"another gateway is there: {other.evidence}"
        log.error(
            "not started",
            reason=reason,
            hint="stop it, and ours is started; or guard it as it is with `tailflip watch`",
        )
        self._wait(Waiting.OTHER_INSTANCE, reason)

    def _wait(self, waiting: Waiting, reason: str, *, alert: bool = False) -> None:
        """Wait for a change without a death behind it."""
        self.breaker = wait_for(self.breaker, waiting, self.guard.look_at_world())
        self._decide(Decision(kind="wait", reason=reason, waiting=waiting, alert=alert), None)

    # --- a life --------------------------------------------------------------------------

    def _start(self) -> None:
        guard = self.guard
        now_ms = clock.now_ms()
        self.breaker = note_start(self.breaker, now_ms)
        self.decision = None
        life = new_life(guard, "run", now_ms)
        self._record(lambda: guard.history.begin_life(life))
        self._record(lambda: guard.history.record_breaker(self.breaker))
        try:
            service = self.service = Service.start(guard, life)
        except (ConfigInvalid, NoPermission, OSError) as e:
            ended = life.model_copy(update={"ended_ms": clock.now_ms()})
            self._record(lambda: guard.history.end_life(ended, b""))
            if isinstance(e, OSError):
                raise TryLater(f"cannot start the gateway: {e.strerror or e}") from e
            raise
        self._record(lambda: guard.history.update_life(service.life))
        log.info("gateway started", pid=service.child.pid, life=life.id, version=life.version)
        self.phase = Phase.STARTING
        self._watch(service)
        self._status(f"gateway starting, pid {service.child.pid}")

    def _watch(self, service: Service) -> None:
        """Set everything going that looks after a living gateway."""
        config = self.guard.config
        installation = self.guard.locate()
        self._misses = 0
        if installation is not None:
            self._prober = Prober(
                Probe(installation.port),
                lambda answer: self._events.put((self._on_answer, answer)),
                timeout_s=config.health.timeout_s,
            )
            self._at("ask", _STARTING_ASK_S)
        self._at("patience", config.health.start_patience_s)
        self._vigil.begin(service.life)
        self._at("sample", self._vigil.measure(service))

    def _unwatch(self) -> None:
        for name in ("ask", "patience", "sample", "good", "kill", "orphaned"):
            self._at(name, None)
        if self._prober is not None:
            self._prober.close()
            self._prober = None

    def _on_ask_due(self) -> None:
        if self._prober is None or self.service is None:
            return
        starting = self.phase is Phase.STARTING
        external = is_external_mode(self.guard.release.version)
        self._prober.ask(STARTUP if starting and external else HEALTH)
        interval_s = self.guard.config.health.interval_s
        self._at("ask", min(_STARTING_ASK_S, interval_s) if starting else interval_s)

    def _on_answer(self, answer: Answer) -> None:
        service = self.service
        if service is None:
            return
        if self.phase is Phase.STARTING and answer.kind == "ok":
            self._on_ready(service)
        elif self.phase is Phase.RUNNING:
            if answer.kind in ("timeout", "refused"):
                self._misses += 1
                if self._misses >= self.guard.config.health.misses:
                    self._on_hang(f"{self._misses} questions in a row without an answer")
            else:
                self._misses = 0

    def _on_ready(self, service: Service) -> None:
        service.find_worker()
        if service.find_foreign() is not None:
            return  # somebody else answers on this port; ours will say so when it ends
        service.life = service.life.model_copy(update={"ready_ms": clock.now_ms()})
        self._record(lambda: self.guard.history.update_life(service.life))
        log.info("gateway answers", after_s=round(service.uptime_s, 1), pid=service.child.pid)
        self.phase = Phase.RUNNING
        self._at("patience", None)
        self._at("good", self.guard.config.restart.good_life_s)
        self._at("ask", self.guard.config.health.interval_s)
        self._watch_files()
        self._say_ready()

    def _on_good_due(self) -> None:
        """The life is long enough to be good: the row of deaths is over."""
        before = self.breaker
        self.breaker = note_good_life(self.breaker)
        if self.breaker != before:
            self._record(lambda: self.guard.history.record_breaker(self.breaker))
        closed = self._read(lambda: self.guard.history.close_incidents(clock.now_ms()), ())
        for incident in closed:
            log.info("incident is over", id=incident.id, cause=incident.cause)

    def _on_patience_due(self) -> None:
        if self.phase is Phase.STARTING:
            self._on_hang("no answer since it was started")

    def _on_hang(self, why: str) -> None:
        service = self.service
        if service is None or service.asked is not None:
            return
        if not self.guard.config.restart.on_hang:
            self._misses = 0
            log.error("gateway does not answer; restart.on_hang is false", why=why)
            return
        log.error("gateway does not answer: ending it", why=why, pid=service.child.pid)
        self._stop(service, "tailflip: hang", _HANG_DRAIN_S)

    def _on_sample_due(self) -> None:
        service = self.service
        if service is None:
            return
        if service.find_worker():
            self._record(lambda: self.guard.history.update_life(service.life))
        self._at("sample", self._vigil.measure(service))
        finding = self._vigil.find_trend(clock.now_ms())
        self._note("memory-trend", finding)
        if finding is not None and self._may_restart_ahead(service):
            log.warning("restarting ahead of the heap's end", why=finding.message)
            service.handed_off = True
            self._stop(service, "tailflip: memory", self._drain_s)
        elif self.phase is Phase.RUNNING:
            self._status(self._vigil.describe(service))

    def _may_restart_ahead(self, service: Service) -> bool:
        memory = self.guard.config.memory
        return (
            memory.restart_ahead
            and self.phase is Phase.RUNNING
            and service.uptime_s >= memory.min_life_s
            and self._vigil.is_quiet()
        )

    def _watch_files(self) -> None:
        """Be told of changed stores, by inotify; not being told costs only freshness."""
        installation = self.guard.locate()
        if installation is None or self._watcher is not None:
            return
        paths = [store.path for store in (*installation.stores, *installation.missing)]
        self._watcher = ChangeWatcher(
            [*paths, installation.config_path],
            lambda changed: self._events.put((self._on_changed, changed)),
        )
        try:
            self._watcher.start()
        except OSError as e:
            log.warning("cannot watch the stores' folders", error=e)

    def _on_changed(self, _paths: object) -> None:
        if self.phase is Phase.WAITING:
            self._on_retry_due()
        elif self.service is not None and "sample" in self._timers:
            self._at("sample", 0)

    # --- its end -------------------------------------------------------------------------

    @property
    def _drain_s(self) -> float:
        given = self.guard.config.gateway.drain_s
        return given if given is not None else drain_s(self.guard.release.version)

    def _stop(self, service: Service, asked: str, limit_s: float) -> None:
        """Ask the gateway to end, and see to it that it does."""
        service.asked = asked
        self.phase = Phase.STOPPING
        self._at("kill", limit_s)
        self._status("stopping the gateway")
        service.send(signal.SIGTERM)

    def _on_kill_due(self) -> None:
        if self.service is not None:
            log.error("gateway did not end in time: killed", pid=self.service.child.pid)
            self.service.kill()

    def _on_child_event(self, _argument: object = None) -> None:
        service = self.service
        if service is not None and self.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING):
            before = service.child
            ended = service.poll()
            if service.child is not before:
                log.warning("the gateway goes on in another process", pid=service.child.pid)
                service.watch_end(lambda: self._events.put((self._on_child_event, None)))
                self._at("orphaned", _ORPHANED_LOOK_S)
                self._record(lambda: self.guard.history.update_life(service.life))
            elif ended is not None:
                self._on_ended(service)
        if not self._busy:
            reap_orphans(but={service.child.pid} if service is not None else ())
        else:
            self._at("reap", _ORPHANED_LOOK_S)

    def _on_reap_due(self) -> None:
        self._on_child_event()

    def _on_orphaned_due(self) -> None:
        """A gateway that is not our child may end without a signal to us."""
        self._at("orphaned", _ORPHANED_LOOK_S)
        self._on_child_event()

    def _on_ended(self, service: Service) -> None:
        self._unwatch()
        self.phase = Phase.JUDGING
        ended = service.ended
        log.write(
            "info" if service.asked else "error",
            "gateway ended",
            pid=service.child.pid,
            exit=ended.exit_code if ended else None,
            signal=_name(ended.signal) if ended else None,
            uptime_s=round(service.uptime_s, 1),
        )
        self._status("finding out why the gateway ended")
        self._work(lambda: self._examine(service))

    def _examine(self, service: Service) -> tuple[Clues, bytes]:
        """In the worker thread: wait for an heir, ask for a hand-off, collect the clues."""
        if service.asked is None and service.ended is not None and service.ended.exit_code == 0:
            if self._wait_for_heir(service):
                return service.collect()
            if is_external_mode(self.guard.release.version):
                service.handed_off = consume_handoff(
                    self.guard.release, service.life.worker_pid or service.child.pid
                )
        service.sweep(signal.SIGTERM)
        return service.collect()

    def _wait_for_heir(self, service: Service) -> bool:
        """See whether a gateway that ended well goes on in a process that it started."""
        until_s = clock.monotonic_s() + _HEIR_S
        while service.has_heirs() and clock.monotonic_s() < until_s and not self._asked_to_stop:
            if service.take_over_heir():
                return True
            clock.sleep_s(_HEIR_LOOK_S)
        return False

    def _on_judged(self, done: _Done) -> None:
        service = self.service
        if service is None:
            return
        if done.error is not None:
            raise done.error
        clues, tail = done.value
        death = classify(clues)
        life = service.life.model_copy(
            update={
                "exit_code": clues.exit_code,
                "signal": clues.signal,
                "peak_rss_bytes": clues.peak_rss_bytes,
            }
        )
        self._mourn(death, life, tail)

    def _mourn(self, death: Death, life: Life, tail: bytes) -> None:
        """Put a death on record, and cure what it died of if that is memory."""
        history = self.guard.history
        now_ms = clock.now_ms()
        incident = None
        if death.cause not in WANTED:
            incident = self._read(lambda: history.open_incident(death, now_ms), None)
        ended = life.model_copy(
            update={
                "ended_ms": now_ms,
                "death": death,
                "incident": incident.id if incident is not None else None,
            }
        )
        self._record(lambda: history.end_life(ended, tail))
        log.write(
            "info" if death.cause in WANTED else "error",
            "verdict",
            cause=death.cause,
            confidence=death.confidence,
            evidence="; ".join(death.evidence),
        )
        self.service = None
        self._judged = (death, ended)
        if self._asked_to_stop:
            self._end(_exit_code(ended), "asked to stop")
        elif death.cause in OUT_OF_MEMORY and self.guard.config.heal.after_oom:
            row = self.breaker.row + 1 if self.breaker.signature == death.signature else 1
            self.phase = Phase.CURING
            self._status("out of memory: compacting the session stores")
            self._work(lambda: self.guard.admit(died_of_memory=row, on_progress=self._on_progress))
        else:
            self._choose(cured=False)

    def _on_cured(self, done: _Done) -> None:
        cured = False
        if done.error is not None:
            log.error("the stores could not be compacted", error=done.error)
        else:
            self._report(done.value)
            cured = done.value.cured
        if cured and self._judged is not None:
            death, life = self._judged
            life = life.model_copy(update={"cured": True})
            self._judged = (death, life)
            self._record(lambda: self.guard.history.update_life(life))
        self._choose(cured=cured)

    def _choose(self, *, cured: bool) -> None:
        """Decide what follows a death."""
        if self._judged is None:
            self._prepare()
            return
        death, life = self._judged
        self.breaker, decision = decide(self.breaker, death, self.guard.look_at_world(cured=cured))
        lives = self._read(self.guard.history.read_lives, ())
        settings = self.guard.config.restart
        loop = find_loop(lives, deaths=settings.loop_deaths, good_life_s=settings.good_life_s)
        if loop is not None:
            log.error(
                "crash loop", cause=loop.cause, deaths=loop.deaths, period_s=round(loop.period_s, 1)
            )
            self._note(
                "crash-loop",
                Finding(
                    "crash-loop",
                    "error",
                    self.guard.name,
                    f"{loop.deaths} deaths in a row by {loop.cause}, one every "
                    f"{loop.period_s:.0f} s",
                    "`tailflip incidents why` tells the story",
                    death.evidence,
                ),
            )
        if decision.kind == "end":
            decision = decision.model_copy(update={"exit_code": _exit_code(life)})
        self._decide(decision, life.id)

    def _decide(self, decision: Decision, life_id: str | None) -> None:
        """Put a decision on record, then act on it."""
        self.decision = decision
        self._record(
            lambda: self.guard.history.record_decision(
                decision, self.breaker, life_id, clock.now_ms()
            )
        )
        log.write("error" if decision.alert else "info", "decision", kind=decision.kind,
                reason=decision.reason, waiting=decision.waiting)  # fmt: skip
        if decision.kind == "end":
            self._end(decision.exit_code or 0, decision.reason)
        else:
            self._enter_waiting()

    # --- waiting -------------------------------------------------------------------------

    def _enter_waiting(self) -> None:
        self.phase = Phase.WAITING
        decision = self.decision
        if decision is None:
            self._prepare()
            return
        self._status(f"waiting: {decision.reason}")
        self._watch_files()
        self._at("retry", self._next_look_s(decision))

    def _next_look_s(self, decision: Decision) -> float:
        until_s = _RECONSIDER_S
        if decision.at_ms is not None:
            due_s = max(0.0, (decision.at_ms - clock.now_ms()) / 1000)
            until_s = due_s if decision.kind == "start" else min(due_s, until_s)
        return min(until_s, _MAX_SLEEP_S)

    def _on_retry_due(self) -> None:
        if self.phase is not Phase.WAITING or self.decision is None:
            return
        decision = reconsider(self.breaker, self.decision, self.guard.look_at_world())
        if decision.kind == "start" and (decision.at_ms or 0) <= clock.now_ms():
            if decision != self.decision:
                log.info("no longer waiting", reason=decision.reason)
            self._at("retry", None)
            self._prepare()
        else:
            self.decision = decision
            self._at("retry", self._next_look_s(decision))

    # --- signals -------------------------------------------------------------------------

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGCHLD:
            self._on_child_event()
        elif number in _STOPPING:
            self._on_stop_asked(number)
        elif number in _RESTARTING:
            self._on_restart_asked(number)
        elif number is signal.SIGHUP:
            self._reload()

    def _on_stop_asked(self, number: signal.Signals) -> None:
        log.info("asked to stop", signal=number.name)
        self._asked_to_stop = True
        self.notifier.stopping("asked to stop")
        self._cancel.set()
        if self.phase in (Phase.STARTING, Phase.RUNNING) and self.service is not None:
            self._stop(self.service, "operator", self._drain_s)
        elif self.phase is Phase.STOPPING and self.service is not None:
            self.service.asked = "operator"
            self.service.send(number)
        elif self.phase is Phase.WAITING:
            self._end(0, "asked to stop while waiting")

    def _on_restart_asked(self, number: signal.Signals) -> None:
        """Hand the wish on by the signal that this version knows; else restart it ourselves."""
        if self.phase is Phase.WAITING:
            log.info("asked to try now", signal=number.name)
            self._prepare()
        if self.phase not in (Phase.STARTING, Phase.RUNNING) or self.service is None:
            return
        known = restart_signal(self.guard.release.version)
        log.info("asked to restart", signal=number.name, passed_on=known.name if known else None)
        if known is not None:
            self.service.send_worker(known)
        else:
            self.service.handed_off = True
            self._stop(self.service, "operator: restart", self._drain_s)

    def _reload(self) -> None:
        self.notifier.reloading(int(clock.monotonic_s() * 1_000_000))
        try:
            self.guard.config = load(self.guard.env, self.flags).config
            log.set_level(self.guard.config.log.level)
            log.info("settings read again")
        except TailflipError as e:
            log.error("settings are not valid; the old ones stay", error=e)
        self.notifier.ready()
        if self.phase is Phase.WAITING:
            self._at("retry", 0)

    # --- saying how it goes --------------------------------------------------------------

    def _on_watchdog_due(self) -> None:
        self.notifier.watchdog()
        self._at("watchdog", self.notifier.watchdog_s)

    def _on_extend_due(self) -> None:
        """While nothing answers yet, or something must be finished: ask for more time."""
        if not self._said_ready or self.phase is Phase.STOPPING:
            self.notifier.extend_timeout(_EXTEND_BY_S)
        self._at("extend", _EXTEND_EVERY_S if not self._said_ready else None)
        if self.phase is Phase.STOPPING:
            self._at("extend", _EXTEND_EVERY_S)

    def _say_ready(self) -> None:
        self._said_ready = True
        if self.service is not None:
            self.notifier.ready(self._vigil.describe(self.service))

    def _status(self, text: str) -> None:
        self.notifier.status(text)

    def _note(self, code: str, finding: Finding | None) -> None:
        findings = [finding] if finding is not None else []
        self._record(lambda: self.guard.history.note_findings(findings, clock.now_ms(), {code}))

    def _record(self, write: Callable[[], Any]) -> None:
        """Put something on record; a ledger that fails keeps no gateway down."""
        try:
            write()
        except (TailflipError, OSError) as e:
            log.error("the ledger could not be written", error=e)

    def _read(self, read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except (TailflipError, OSError) as e:
            log.error("the ledger could not be used", error=e)
            return default

    def _housekeep(self) -> None:
        keep_days = self.guard.config.ledger.keep_days
        self._record(lambda: self.guard.history.expire(clock.now_ms(), keep_days))
        self._at("housekeeping", _HOUSEKEEPING_S)
        for fifo in self.guard.home.guards.glob("*.stderr"):
            life = self._read(partial(self.guard.history.find_life, fifo.stem), None)
            if life is not None and life.ended_ms is not None:
                with suppress(OSError):
                    fifo.unlink()

    def _on_housekeeping_due(self) -> None:
        self._housekeep()

    def _end(self, code: int, reason: str) -> None:
        log.info("tailflip ends", reason=reason, exit=code)
        self.notifier.stopping(reason)
        self.exit_code = code


def _exit_code(life: Life) -> int:
    """Choose our own exit code after an end that was wanted: the gateway's."""
    if life.signal in (signal.SIGTERM, signal.SIGINT):
        return 0
    if life.signal is not None:
        return _KILLED + life.signal
    if life.exit_code is None or life.death is None or life.death.cause is not Cause.ASKED_STOP:
        return life.exit_code or 0
    return life.exit_code


def _name(number: int | None) -> str | None:
    try:
        return None if number is None else signal.Signals(number).name
    except ValueError:
        return str(number)
