"""Stands beside a gateway that others start, and in rounds ends runs that are over and reports.

A round comes at its time, and sooner when a store or the cron store changed. Stores are swept at
most every five minutes, unless the user asks for shorter rounds. Some of the gateway's writers
save a snapshot that they read before a rename of ours, and so bring entries back: a minute after
every change the stores are looked at again.

One thread owns all state, in the event loop that `run` has too.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.errors import TailflipError
from tailflip.base.render import format_maintenance
from tailflip.base.units import format_counted, format_span
from tailflip.base.workspace import Workspace
from tailflip.config.load import load
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.flow.conditions import ReturnedEntries
from tailflip.flow.late import dataclass
from tailflip.observe.host.changes import ChangeWatcher
from tailflip.reconcile.context import StepKind, begin
from tailflip.reconcile.kinds import reconcile_all
from tailflip.reconcile.words import format_done
from tailflip.stores.archive_limits import keep_limits
from tailflip.stores.recovery import recover
from tailflip.stores.returned import count_returned
from tailflip.supervise.event_loop import Loop
from tailflip.supervise.orders import describe_door, make_order
from tailflip.supervise.process.errands import Errands
from tailflip.supervise.quick_findings import find_quickly, tell_new

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.sdnotify import Notifier
    from tailflip.base.state_dir import Home
    from tailflip.flow.findings import Finding
    from tailflip.flow.observed import Store
    from tailflip.reconcile.context import Reconciliation, Step

THROTTLE_S = 300.0
RECHECK_S = 60.0
_SWEEPS = (StepKind.ZOMBIES, StepKind.RETENTION)
# Without `markers`: a gateway that is down may be started at any moment. `gate` and `run` know
# when, and clear them.
_ROUND = (StepKind.TASKS, *_SWEEPS, StepKind.STORMS, StepKind.STUCK, StepKind.GROWTH)


@dataclass(frozen=True)
class Where:
    """The options that name an installation, as on the command line."""

    env: Mapping[str, str]
    state_dir: Path | None = None
    profile: str | None = None
    max_lifetime: str | None = None
    interval_s: float | None = None


@dataclass(frozen=True)
class Told:
    """What one round did and found, for whoever listens; `error` if it could not look."""

    work: Reconciliation | None = None
    around: tuple[Finding, ...] = ()
    error: TailflipError | None = None


@dataclass
class Watch:
    """The rounds of a watch. `stop` and `reload` may be called from any thread.

    `tell` hears of each round, in the thread of the watch.
    """

    where: Where
    home: Home
    disk: Disk
    notifier: Notifier
    rounds: int = 0
    tell: Callable[[Told], None] | None = None
    _loop: Loop = field(default_factory=Loop)
    _is_over: bool = False
    _swept_s: float | None = None
    _changed: dict[Store, list[str]] = field(default_factory=dict)
    _watcher: ChangeWatcher | None = None
    _watched: frozenset[Path] = frozenset()
    _order: bytes | None = None
    _shown: str = ""

    def __post_init__(self) -> None:
        self._errands = Errands(self._loop, self.where.env, lambda: self._order)

    def run(self, most_rounds: int | None = None) -> None:
        """Watch until `stop` is called, or for a number of rounds."""
        self._is_over = False
        self._loop.at("round", 0, lambda: self._do_round(most_rounds))
        self._ping()
        try:
            while not self._is_over:
                self._loop.step()
        finally:
            self.notifier.stopping("stopping")
            if self._watcher is not None:
                self._watcher.stop()
            self._errands.leave()

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, and look at once at SIGHUP, while the block runs."""
        with self._loop.catching(
            (signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
            lambda number: self._look_soon() if number is signal.SIGHUP else self._end(),
        ):
            yield

    def stop(self) -> None:
        """End the watch after the present round."""
        self._loop.post(self._end)

    def _end(self) -> None:
        self._is_over = True

    def _look_soon(self) -> None:
        self._loop.bring_forward("round", 0)

    def _ping(self) -> None:
        """Send a keep-alive to the service manager from the loop."""
        if self.notifier.watchdog_s is not None:
            self._beat()
            self._loop.at("watchdog", self.notifier.watchdog_s, self._ping)

    def _do_round(self, most_rounds: int | None) -> None:
        interval_s = self._round()
        self._errands.news()
        self.rounds += 1
        if most_rounds is not None and self.rounds >= most_rounds:
            self._end()
        self._loop.at("round", interval_s, lambda: self._do_round(most_rounds))

    def _on_changed(self, changed: frozenset[Path]) -> None:
        self._loop.bring_forward("round", self._answer(changed) - clock.monotonic_s())

    def _on_recheck(self) -> None:
        self._loop.bring_forward("round", self._recheck() - clock.monotonic_s())

    def _look(self, *, apply: bool) -> Reconciliation:
        where = self.where
        return begin(
            where.env,
            workspace=Workspace(self.home, self.disk),
            apply=apply,
            state_dir=where.state_dir,
            profile=where.profile,
            max_lifetime=where.max_lifetime,
            write_tasks=False,
            on_progress=lambda _stage, _done, _total: self._beat(),
        )

    def _beat(self) -> None:
        self.notifier.watchdog()

    def _round(self) -> float:
        """Do one round, and return the seconds to the next; log a failure, and go on."""
        interval_s = self.where.interval_s or 60.0
        try:
            for note in recover(Workspace(self.home, self.disk)):
                log.warning(note)
            work = self._look(apply=True)
            self._order = _make_order(work)
            interval_s = self.where.interval_s or work.terms.settings.interval_s
            hands_off = self._look_for_maintenance(work)
            if hands_off or not work.terms.settings.enabled:
                work = self._look(apply=False)
            self._watch_files(work)
            self._do(work, _ROUND)
            around = self._look_around(work) if work.terms.apply or hands_off else ()
            if not hands_off:
                self._keep_limits()
            self._tell(Told(work, around))
        except TailflipError as e:
            log.error(e.message, hint=e.hint or "")
            self._tell(Told(error=e))
            self.notifier.status(f"cannot look: {e.message}")
        return interval_s

    def _tell(self, told: Told) -> None:
        if self.tell is not None:
            self.tell(told)

    def _keep_limits(self) -> None:
        """Delete archives beyond the limits of the settings, and log that."""
        limits = load(self.where.env).config.archive
        for note in keep_limits(Workspace(self.home, self.disk), limits, clock.now_ms()):
            log.warning(note)

    def _look_for_maintenance(self, work: Reconciliation) -> bool:
        """Say whether a person works on the gateway: then a watch only looks."""
        found = work.history.read_maintenance()
        shown = "" if found is None else f"{format_maintenance(found)}; "
        if shown != self._shown:
            self._shown = shown
            log.warning(shown.rstrip("; ") or "the maintenance is over")
        return found is not None and found.is_hands_off

    def _look_around(self, work: Reconciliation) -> tuple[Finding, ...]:
        """Make quick findings; log each once, and put it on record."""
        scene, history = work.scene, work.history
        root = self.home.root
        looked = find_quickly(
            scene.installation,
            scene.gateway,
            root,
            scene.now_ms,
            capabilities=scene.capabilities,
            heap_limit=scene.find_heap_limit(history),
        )
        tell_new(looked.findings, history.findings.read())
        history.findings.note(looked.findings, scene.now_ms, looked.codes)
        return looked.findings

    def _do(self, work: Reconciliation, kinds: tuple[str, ...]) -> None:
        result = reconcile_all(work, kinds)
        self._swept_s = clock.monotonic_s()
        for step in result.steps:
            self._note(work, step)
        for error in result.errors:
            log.warning(error.message)
        for note in result.notes:
            log.debug(note)
        for finding in result.findings:
            log.warning(finding.message, code=finding.code, subject=finding.subject)
        state = {True: "gateway runs", False: "no gateway", None: "gateway unknown"}
        told = format_counted(len(result.findings), "finding") if result.findings else "all is well"
        self.notifier.ready(f"{self._shown}{state[work.scene.gateway.alive]}, {told}")

    def _note(self, work: Reconciliation, step: Step) -> None:
        """Log the changes, and remember them for the second look."""
        if not step.counts or step.action_id is None:
            return
        done = ", ".join(format_done(what, count) for what, count in step.counts.items())
        log.info(done, subject=step.subject, undo=step.undo)
        for store in work.scene.stores:
            # A database has no writer that saves an old snapshot of it.
            if str(store.path) == step.subject and not store.is_database:
                self._changed.setdefault(store, []).append(step.action_id)
                self._loop.at("recheck", RECHECK_S, self._on_recheck)

    def _answer(self, changed: frozenset[Path]) -> float:
        """Set the next round after files changed, and record the runs in flight."""
        now_s = clock.monotonic_s()
        try:
            work = self._look(apply=True)
            may_act = work.terms.settings.enabled and not self._look_for_maintenance(work)
            if work.scene.installation.cron_store in changed and may_act:
                reconcile_all(work, (StepKind.TASKS,))
        except TailflipError as e:
            log.warning(e.message)
            return now_s + THROTTLE_S
        if not changed & {store.path for store in work.scene.stores}:
            return now_s + (self.where.interval_s or work.terms.settings.interval_s)
        throttle_s = min(THROTTLE_S, self.where.interval_s or work.terms.settings.interval_s)
        return max(now_s, (self._swept_s or 0.0) + throttle_s)

    def _recheck(self) -> float:
        """Look for entries that came back since we changed them, and sweep them again."""
        changed, self._changed = self._changed, {}
        self._loop.cancel("recheck")
        returned: list[ReturnedEntries] = []
        for store, actions in changed.items():
            with suppress(TailflipError, OSError):
                found = count_returned(self.home, store, actions)
                returned += [ReturnedEntries(str(store.path), found)] if found else []
        looked = find_all(Inputs(returned=tuple(returned)))
        for finding in looked.findings:
            log.warning(finding.message, code=finding.code, subject=finding.subject)
        with suppress(TailflipError):
            history = self._look(apply=True).history
            history.findings.note(looked.findings, clock.now_ms(), looked.codes)
        now_s = clock.monotonic_s()
        return now_s if returned else now_s + THROTTLE_S

    def _watch_files(self, work: Reconciliation) -> None:
        """Watch the present files of the stores and the cron store for changes."""
        paths = frozenset(
            {store.path for store in work.scene.stores} | {work.scene.installation.cron_store}
        )
        if paths == self._watched and self._watcher is not None:
            self._watcher.check()
            return
        if self._watcher is not None:
            self._watcher.stop()
        self._watcher = ChangeWatcher(
            paths, lambda changed: self._loop.post(lambda: self._on_changed(changed))
        )
        self._watcher.start()
        self._watched = paths
        interval_s = self.where.interval_s or work.terms.settings.interval_s
        log.info(
            "watching the stores",
            stores=len(work.scene.stores),
            every=format_span(interval_s * 1000),
        )


def _make_order(work: Reconciliation) -> bytes | None:
    """Make the order of the errands until the next round; they ask the gateway themselves."""
    scene = work.scene
    door = describe_door(scene.config, scene.installation, scene.capabilities)
    return make_order(work.history.guard, scene.config, scene.caller_env, door=door)
