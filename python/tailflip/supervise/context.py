"""One gateway as we guard it: its command, where its things are, what is on record about it.

Gate, preflight and run begin here and differ only in what they do afterwards.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import History
from tailflip.observe.cures import (
    is_settled,
    list_program_files,
    list_service_files,
    list_state_files,
    mark,
    measure_room,
)
from tailflip.observe.gateway.heap import read_heap_limit
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.release import read_release
from tailflip.observe.installation import find_state_dir, locate
from tailflip.observe.records.cron import read_cron_store
from tailflip.supervise.admission import Start, admit
from tailflip.supervise.breaker import World
from tailflip.supervise.elapsed import read_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.base.durable import Disk
    from tailflip.base.progress import Progress
    from tailflip.config.load import Config
    from tailflip.flow.observed import Gateway
    from tailflip.flow.outcomes import Report
    from tailflip.observe.gateway.release import Release
    from tailflip.observe.installation import Installation
    from tailflip.supervise.admission import Admission

_T = TypeVar("_T")
_D = TypeVar("_D")

_HEAP_FACT = "heap-limit"
_RESTLESS_S = 120.0


@dataclass
class Guard:
    """A command and its installation. `env` is ours; the gateway's is `release.env`."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    config: Config
    release: Release
    state_dir: Path
    home: Home
    disk: Disk
    history: History
    _restless_since_s: float | None = field(default=None, init=False)
    _ledger_said: str | None = field(default=None, init=False)

    @classmethod
    def prepare(
        cls,
        command: Sequence[str],
        env: Mapping[str, str],
        config: Config,
        disk: Disk | None = None,
    ) -> Guard:
        """Find out what a command starts, without touching anything."""
        release = read_release(command, env)
        profile = config.gateway.profile or release.profile
        state_dir = find_state_dir(release.env, config.gateway.state_dir, profile)
        home = Home.locate(env)
        disk = disk or RealDisk()
        history = History(Workspace(home, disk), os.path.realpath(state_dir))
        return cls(tuple(command), env, config, release, state_dir, home, disk, history)

    def write(self, effect: Callable[[], Any]) -> None:
        """Put something on record; a ledger that fails keeps no gateway down."""
        try:
            effect()
        except (TailflipError, OSError) as e:
            self._tell_ledger(e)
        else:
            self._ledger_said = None

    def read(self, look: Callable[[], _T], default: _D) -> _T | _D:
        """Look something up, or take the default where the ledger fails."""
        try:
            return look()
        except (TailflipError, OSError) as e:
            self._tell_ledger(e)
            return default

    def _tell_ledger(self, error: Exception) -> None:
        """Say why the ledger failed, and no second time until that changes."""
        if str(error) != self._ledger_said:
            log.error("the ledger could not be used: nothing is remembered", error=error)
        self._ledger_said = str(error)

    @property
    def name(self) -> str:
        """Name this gateway: the real path of its state directory."""
        return self.history.guard

    @property
    def profile(self) -> str | None:
        """OpenClaw's profile, from our settings or from the command."""
        return self.config.gateway.profile or self.release.profile

    def look_at_release(self) -> None:
        """Look again at what the command starts: it may have been updated."""
        self.release = read_release(self.command, self.env)

    def locate(self) -> Installation | None:
        """Look where its things are now, with the port it will have; None before its first start.

        The port is that of our settings, else of the command, else of its configuration.
        """
        given = self.config.gateway
        try:
            found = locate(self.release.env, state_dir=given.state_dir, profile=self.profile)
        except (TailflipError, OSError):
            return None
        return replace(found, port=given.port or self.release.port or found.port)

    def owns(self, path: str) -> bool:
        """Say whether a store or ledger on record is one of this gateway's."""
        return is_own(path, self.name, self.locate())

    def find_other(self, at: Installation | None = None) -> Gateway | None:
        """Find a living gateway on the state directory, or whoever holds its port.

        `at` here and below is what `locate` just gave, to spare looking again.
        """
        installation = at or self.locate()
        if installation is None:
            return None
        try:
            found = read_gateway(installation, self.release.env)
        except OSError as e:
            # The gateway's own lock keeps two apart; that we may not look keeps none down.
            log.error("cannot look for another gateway", error=e)
            return None
        # That nobody lives need not be proven to start one: only who is there is waited for.
        return found if found.alive or found.in_the_way else None

    def look_at_world(self, *, cured: bool = False, is_paced: bool = True) -> World:
        """Gather what the breaker must know.

        Args:
            cured: as in `World`.
            is_paced: False if another one, a service manager, paces the starts.
        """
        limits, at, now = self.config.restart, self.locate(), read_moment()
        return World(
            now_ms=now.at_ms,
            mono_ms=now.mono_ms,
            boot=now.boot,
            random=random.random(),  # noqa: S311 - jitter, no secret
            config_mark=self.mark_config(at),
            stores_mark=self.mark_stores(at),
            state_mark=self.mark_state(at),
            program_mark=self.mark_program(),
            room=self.measure_room(),
            settled=self.is_settled(at),
            cured=cured,
            other_alive=self.find_other(at) is not None,
            limits=limits if is_paced else limits.model_copy(update={"first_delay_s": 0.0}),
        )

    def find_heap_limit(self) -> tuple[int | None, str]:
        """Find the heap it may use, in bytes, and where that is from; node is asked once."""
        given = self.config.gateway.heap_limit_bytes
        if given is not None:
            return given, "gateway.heap_limit"
        return read_heap_limit(
            self.release.env, self.release.node, flags=self.command, cache=_HeapCache(self.history)
        )

    def admit(
        self,
        *,
        died_of_memory: int = 0,
        on_progress: Progress | None = None,
    ) -> Admission:
        """Look, heal and answer whether it may start.

        Args:
            died_of_memory: how often in a row it just died of memory.
            on_progress: may raise, to stop.
        """
        limit_bytes, source = self.find_heap_limit()
        start = Start(
            env=self.release.env,
            capabilities=self.release.capabilities,
            limit_bytes=limit_bytes,
            limit_source=source,
            heal=self.config.heal,
            state_dir=self.config.gateway.state_dir,
            profile=self.profile,
            died_of_memory=died_of_memory,
        )
        found = admit(start, home=self.home, disk=self.disk, on_progress=on_progress)
        if found.go and (found.claim_running or self._has_markers()):
            self._mend(found, on_progress)
        return found

    def _has_markers(self) -> bool:
        installation = self.locate()
        if installation is None:
            return False
        jobs = read_cron_store(installation.cron_store).jobs
        return any(job.running_at_ms is not None for job in jobs)

    def _mend(self, found: Admission, on_progress: Progress | None) -> None:
        """Make the ledgers agree about runs of a dead gateway, while it is the moment for it."""
        # A gateway that ended well left nothing to mend, and its start should not wait for this.
        from tailflip.reconcile.before_start import mend  # noqa: PLC0415

        try:
            mended = mend(
                self.release.env,
                self.config,
                home=self.home,
                disk=self.disk,
                capabilities=self.release.capabilities,
                state_dir=self.config.gateway.state_dir,
                profile=self.profile,
                on_progress=on_progress,
            )
            found.notes += mended.notes
            found.held_jobs = mended.held_jobs
            found.mended = mended.actions
        except (TailflipError, OSError) as e:
            found.notes.append(f"ledgers were not reconciled: {e}")

    def mark_config(self, at: Installation | None = None) -> str:
        """Say in a word what a configuration fault waits for to change: it, or the release."""
        installation = at or self.locate()
        paths = [self.state_dir / ".env"]
        if installation is not None:
            paths.append(installation.config_path)
            with suppress(OSError):  # what `$include` may name lies beside it
                paths += sorted(installation.config_path.parent.glob("*.json*"))
        paths += list_service_files(self.env)  # a service's environment may name a secret
        return f"{read_release(self.command, self.env).text} {_mark(paths)}"

    def mark_stores(self, at: Installation | None = None) -> str:
        """Say in a word what a memory fault waits for to change: stores, or the heap given."""
        installation = at or self.locate()
        paths = [store.path for store in installation.stores] if installation else []
        return f"{_mark(paths)} {self.find_heap_limit()[0]}"

    def mark_state(self, at: Installation | None = None) -> str:
        """Say in a word what a fault of the state waits for to change: databases, stores."""
        return mark(list_state_files(self.state_dir, at or self.locate()))

    def mark_program(self) -> str:
        """Say in a word what a broken installation waits for: package, node, service."""
        return mark(list_program_files(self.release, self.state_dir))

    def is_settled(self, at: Installation | None = None) -> bool:
        """Say whether nobody changes state or program right now.

        Where somebody never stops, that is no reason to wait for ever: after two minutes it
        counts as settled once.
        """
        state = list_state_files(self.state_dir, at or self.locate())
        program = list_program_files(self.release, self.state_dir)
        now_s = clock.monotonic_s()
        if is_settled((*state, *program), clock.now_ms()):
            self._restless_since_s = None
            return True
        if self._restless_since_s is None:
            self._restless_since_s = now_s
        if now_s - self._restless_since_s < _RESTLESS_S:
            return False
        self._restless_since_s = now_s
        return True

    def measure_room(self) -> tuple[int, ...]:
        """Measure the room on the disks that the gateway writes to."""
        temporary = self.release.env.get("TMPDIR") or "/tmp"  # noqa: S108 - only looked at
        return measure_room((self.state_dir, Path(temporary)))


@dataclass(frozen=True)
class _HeapCache:
    history: History

    def get(self, key: str) -> tuple[int, str] | None:
        """Return the answer on record, if it is to this question."""
        with suppress(TailflipError):
            fact = self.history.facts.get(_HEAP_FACT)
            if isinstance(fact, dict) and fact.get("key") == key:
                return int(fact["limit_bytes"]), str(fact["source"])
        return None

    def put(self, key: str, limit_bytes: int, source: str) -> None:
        """Put the answer on record; that it cannot be written costs only time."""
        with suppress(TailflipError):
            self.history.workspace.create()
            fact = {"key": key, "limit_bytes": limit_bytes, "source": source}
            self.history.facts.put(_HEAP_FACT, fact)


def _mark(paths: Sequence[Path]) -> str:
    parts = []
    for path in dict.fromkeys(paths):
        with suppress(OSError):
            info = path.stat()
            parts.append(f"{path.name}:{info.st_size}:{info.st_mtime_ns}")
    return " ".join(parts)


def is_own(path: str, name: str, installation: Installation | None) -> bool:
    """Say whether a path on record is of a gateway; its configuration may name some elsewhere.

    Args:
        path: real path of a store or ledger.
        name: the gateway's, as `Guard.name`.
        installation: its own, None if that cannot be read.
    """
    if path.startswith(name + os.sep):
        return True
    if installation is None:
        return False
    stores = (*installation.stores, *installation.missing)
    files = (installation.cron_store, *(store.path for store in stores))
    return path in {os.path.realpath(each) for each in files}


def tell(admission: Admission) -> None:
    """Log what was found before a start, and what was done."""
    for note in admission.notes:
        log.info("note", text=note)
    for report in admission.reports:
        log.warning(
            f"store {report.kind} done",
            path=report.store,
            before_bytes=report.bytes_before,
            after_bytes=report.bytes_after,
            **_count_entries(report),
            took_s=report.took_s,
            undo=report.undo,
        )


def _count_entries(report: Report) -> dict[str, int | str]:
    if report.kind == "salvage":
        # What lies in damage, or behind a cut, can only be counted as far as it can be read.
        left = report.entries_left
        told = f"at least {left}" if left or report.warnings else 0
        return {"entries_kept": report.entries_after, "entries_left_behind": told}
    return {"entries_removed": report.entries_before - report.entries_after}
