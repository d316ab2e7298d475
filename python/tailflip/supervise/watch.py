"""Beside a gateway that somebody else starts: look, end what is over, tell, again and again.

Every round at its time, and sooner when a store or the cron store changed; but no store is
swept more often than every five minutes, unless the user asks for shorter rounds. Writes
take the gateway's own lock for the moment of a rename. Some of the gateway's writers save
what they had read before that moment and so bring entries back: a minute after every
change the stores are looked at again.

One thread owns all state; the watcher of files and the signals only ring its bell.
"""

from __future__ import annotations

import queue
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import TailflipError
from tailflip.base.units import format_count, format_span
from tailflip.flow.observed import OverRun
from tailflip.flow.outcomes import Finding
from tailflip.observe.host.changes import ChangeWatcher
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import reconcile_all
from tailflip.stores.json import native
from tailflip.stores.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.sdnotify import Notifier
    from tailflip.base.state_dir import Home
    from tailflip.flow.numbers import ListedEntry
    from tailflip.flow.observed import Store
    from tailflip.reconcile.context import Step, Work

RESURRECTED = "entries-resurrected"
THROTTLE_S = 300.0
RECHECK_S = 60.0
STOP, RELOAD = "stop", "reload"
_SWEEPS = ("zombies", "retention")
# Without `markers`: while the gateway is down it may be started at any moment; `gate` and
# `run` clear them, who know when.
_ROUND = ("tasks", *_SWEEPS, "storms", "stuck", "growth")
_GONE, _ENDED = "killed", "done"  # what became of an entry, in the words that the table knows
_TICK_S = 5.0


@dataclass(frozen=True)
class Where:
    """Which installation, as on the command line."""

    env: Mapping[str, str]
    state_dir: Path | None = None
    profile: str | None = None
    max_lifetime: str | None = None
    interval_s: float | None = None


@dataclass
class Watch:
    """The loop and its state. `bell` is rung with STOP, RELOAD, or what has changed."""

    where: Where
    home: Home
    disk: Disk
    notifier: Notifier
    bell: queue.SimpleQueue[str | frozenset[Path]] = field(default_factory=queue.SimpleQueue)
    rounds: int = 0
    _swept_s: float | None = None
    _recheck_s: float | None = None
    _changed: dict[Store, list[str]] = field(default_factory=dict)
    _watcher: ChangeWatcher | None = None
    _watched: frozenset[Path] = frozenset()

    def run(self, most_rounds: int | None = None) -> None:
        """Watch until STOP is rung, or for a number of rounds."""
        try:
            next_s = clock.monotonic_s()
            while True:
                interval_s = self._round() if clock.monotonic_s() >= next_s else None
                if interval_s is not None:
                    next_s = clock.monotonic_s() + interval_s
                    self.rounds += 1
                    if most_rounds is not None and self.rounds >= most_rounds:
                        return
                if self._recheck_s is not None and clock.monotonic_s() >= self._recheck_s:
                    next_s = min(next_s, self._recheck())
                rung = self._wait(min(next_s, self._recheck_s or next_s))
                if rung == STOP:
                    return
                if rung == RELOAD:
                    next_s = clock.monotonic_s()
                elif isinstance(rung, frozenset):
                    next_s = min(next_s, self._answer(rung))
        finally:
            self.notifier.stopping("stopping")
            if self._watcher is not None:
                self._watcher.stop()

    def _wait(self, until_s: float) -> str | frozenset[Path] | None:
        """Wait for the bell; the service manager hears from us meanwhile."""
        while (left_s := until_s - clock.monotonic_s()) > 0:
            self.notifier.watchdog()
            with suppress(queue.Empty):
                tick_s = min(left_s, self.notifier.watchdog_s or _TICK_S, _TICK_S)
                return self.bell.get(timeout=tick_s)
        with suppress(queue.Empty):
            return self.bell.get_nowait()
        return None

    def _look(self, *, apply: bool) -> Work:
        where = self.where
        return begin(
            where.env,
            home=self.home,
            disk=self.disk,
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
        """Do one round, and say when the next is due; no failure ends the watch."""
        interval_s = self.where.interval_s or 60.0
        try:
            for note in recover(self.home, self.disk):
                log.write("warning", note)
            work = self._look(apply=True)
            interval_s = self.where.interval_s or work.terms.settings.interval_s
            if not work.terms.settings.enabled:
                work = self._look(apply=False)
            self._watch_files(work)
            self._do(work, _ROUND)
        except TailflipError as e:
            log.write("error", e.message, hint=e.hint or "")
            self.notifier.status(f"cannot look: {e.message}")
        return interval_s

    def _do(self, work: Work, kinds: tuple[str, ...]) -> None:
        result = reconcile_all(work, kinds)
        self._swept_s = clock.monotonic_s()
        for step in result.steps:
            self._note(work, step)
        for error in result.errors:
            log.write("warning", error.message)
        for note in result.notes:
            log.write("debug", note)
        for finding in result.findings:
            log.write("warning", finding.message, code=finding.code, subject=finding.subject)
        state = {True: "gateway runs", False: "no gateway", None: "gateway cannot be told"}
        told = f"{len(result.findings)} findings" if result.findings else "all is well"
        self.notifier.ready(f"{state[work.scene.gateway.alive]}, {told}")

    def _note(self, work: Work, step: Step) -> None:
        """Log what was changed, and remember it for the second look."""
        if not step.counts or step.action_id is None:
            return
        counts = {name.replace(" ", "-"): count for name, count in step.counts.items()}
        log.write("info", f"reconciled {step.kind}", undo=step.action_id, **counts)
        for store in work.scene.stores:
            if str(store.path) == step.subject:
                self._changed.setdefault(store, []).append(step.action_id)
                self._recheck_s = clock.monotonic_s() + RECHECK_S

    def _answer(self, changed: frozenset[Path]) -> float:
        """Say when the next round is due after files changed; what is in flight goes on record."""
        now_s = clock.monotonic_s()
        try:
            work = self._look(apply=True)
            if work.scene.installation.cron_store in changed and work.terms.settings.enabled:
                reconcile_all(work, ("tasks",))
        except TailflipError as e:
            log.write("warning", e.message)
            return now_s + THROTTLE_S
        if not changed & {store.path for store in work.scene.stores}:
            return now_s + (self.where.interval_s or work.terms.settings.interval_s)
        throttle_s = min(THROTTLE_S, self.where.interval_s or work.terms.settings.interval_s)
        return max(now_s, (self._swept_s or 0.0) + throttle_s)

    def _recheck(self) -> float:
        """Look for entries that came back since we changed them; they are swept again."""
        changed, self._changed, self._recheck_s = self._changed, {}, None
        told: list[Finding] = []
        for store, actions in changed.items():
            with suppress(TailflipError, OSError):
                found = find_resurrected(self.home, store, actions)
                told += [tell_resurrection(store, found)] if found else []
        for finding in told:
            log.write("warning", finding.message, code=finding.code, subject=finding.subject)
        with suppress(TailflipError):
            history = self._look(apply=True).history
            history.findings.note(told, clock.now_ms(), {RESURRECTED})
        now_s = clock.monotonic_s()
        return now_s if told else now_s + THROTTLE_S

    def _watch_files(self, work: Work) -> None:
        """Be told of changes of the stores and of the cron store, wherever they are by now."""
        paths = frozenset(
            {store.path for store in work.scene.stores} | {work.scene.installation.cron_store}
        )
        if paths == self._watched and self._watcher is not None:
            self._watcher.check()
            return
        if self._watcher is not None:
            self._watcher.stop()
        self._watcher = ChangeWatcher(paths, self.bell.put)
        self._watcher.start()
        self._watched = paths
        interval_s = self.where.interval_s or work.terms.settings.interval_s
        log.write(
            "info", "watching", stores=len(work.scene.stores), every=format_span(interval_s * 1000)
        )


def find_resurrected(home: Home, store: Store, actions: list[str]) -> int:
    """Count entries that are there again, or "running" again, after actions that changed that."""
    changed = native.Ends()
    for action in actions:
        path = home.records(action)
        with naming(path), open_regular(path) as fd:
            for header in native.read_headers(fd):
                what = _GONE if header.after is None else _ENDED
                changed.add(OverRun(header.key, what, header.time_ms, 0))
    with naming(store.path), open_regular(store.path) as fd:
        return sum(_is_back(changed, entry) for entry in native.list_entries(fd))


def _is_back(changed: native.Ends, entry: ListedEntry) -> bool:
    found = changed.find(entry.key)
    return found is not None and (found[0] == _GONE or entry.status == "running")


def tell_resurrection(store: Store, count: int) -> Finding:
    """Make a finding of entries that came back."""
    return Finding(
        RESURRECTED,
        "warning",
        str(store.path),
        f"{format_count(count)} entries came back after they were changed: a writer saved what "
        "it had read before",
        "they are swept again; a heartbeat with isolatedSession does this at every turn",
    )
