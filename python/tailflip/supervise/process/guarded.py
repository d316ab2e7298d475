"""The process of the guarded gateway: start it, take it over, stop it, describe its end.

`breaker` and `states` decide whether and when.
"""

from __future__ import annotations

import os
import signal
from dataclasses import field, replace
from typing import TYPE_CHECKING

import psutil

from tailflip.base import clock, log, platform_calls
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Clues
from tailflip.observe.gateway.process import is_alive, start_ticks
from tailflip.observe.gateway.vitals import find_address, find_life, read_cgroup, read_tree
from tailflip.supervise.heap_flag import add_heap
from tailflip.supervise.process.child import Child, Exit, kill_tree, start, take_over
from tailflip.supervise.process.environment import build_environment
from tailflip.supervise.process.stderr import Pump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tailflip.flow.lives import Asked, Life
    from tailflip.observe.gateway.vitals import Vitals
    from tailflip.observe.installation import Installation
    from tailflip.supervise.context import GuardedGateway


@dataclass
class Service:
    """One life of the gateway, with its process.

    `asked` names who asked for its end. `handed_off` says that it asked for a successor.
    """

    gateway: GuardedGateway
    life: Life
    child: Child
    pump: Pump
    oom_kills: int | None
    peak_rss_bytes: int = 0
    asked: Asked | None = None
    handed_off: bool = False
    ended: Exit | None = None
    held_ms: int = field(default_factory=clock.boot_ms)  # held since then, by the boot clock

    @classmethod
    def start(cls, gateway: GuardedGateway, life: Life) -> Service:
        """Start the gateway; `life` is on record already.

        Raises:
            ConfigInvalid: there is no such program.
            NoPermission: it may not be executed.
        """
        pump = Pump(_fifo(gateway, life), log.outlet)
        writer = pump.open_writer()
        try:
            env = build_environment(
                add_heap(gateway, gateway.env),
                life.id,
                external_mode=gateway.release.capabilities.takes_supervisor_mode,
                safe=life.safe,
            )
            child = start(gateway.command, env, writer)
        finally:
            os.close(writer)
            pump.start()
        life = life.model_copy(update={"pid": child.pid, "pid_ticks": child.ticks})
        return cls(gateway, life, child, pump, _count_oom_kills(child.pid))

    @classmethod
    def adopt(cls, gateway: GuardedGateway, life: Life) -> Service | None:
        """Take over a gateway whose supervisor is gone; None if the gateway is gone too.

        Its wrapper may be dead: look for the process that holds the gateway's lock.
        """
        alive = find_life(life.id)
        if life.pid is not None and is_alive(life.pid, life.pid_ticks):
            alive.append((life.pid, life.pid_ticks))
        pids = [pid for pid, _ in alive]
        worker = _find_worker(gateway)
        if worker is None or worker not in pids:
            # It may still be starting, without a lock: then take its first process.
            worker = life.pid if life.pid in pids else None
        leader = life.pid if life.pid in pids else worker
        if leader is None:
            kill_tree(alive)  # tools of a dead gateway could hold its port or its files
            return None
        pump = Pump(_fifo(gateway, life), log.outlet)
        pump.start()
        return cls(gateway, life, take_over(leader), pump, None)

    @property
    def uptime_s(self) -> float:
        """Age of this life in seconds, by a clock that is not set."""
        began_ms, boot = self.life.started_mono_ms, self.life.boot_id
        if began_ms is None or boot != platform_calls.here.boot_id():
            began_ms = self.held_ms
        return max(0, clock.boot_ms() - began_ms) / 1000

    def poll(self) -> Exit | None:
        """Return the end; None while the gateway lives, be it in another process.

        After a wrapper was killed, or a gateway started its successor by itself, a living gateway
        of this life is left: it is taken over at once.
        """
        if self.ended is None:
            self.ended = self.child.poll()
            if self.ended is not None and self.take_over_heir():
                self.ended = None
        return self.ended

    def take_over_heir(self) -> bool:
        """Take over a living gateway of this life, if the ended process has left one."""
        worker = _find_worker(self.gateway)
        if worker is None or worker == self.child.pid:
            return False
        if worker != self.life.worker_pid and worker not in [p for p, _ in find_life(self.life.id)]:
            return False
        self.child = take_over(worker)
        self.life = self.life.model_copy(
            update={"worker_pid": worker, "worker_ticks": self.child.ticks}
        )
        return True

    def has_heirs(self) -> bool:
        """Say whether a process of this life still lives."""
        return bool(find_life(self.life.id))

    def find_worker(self, at: Installation | None = None) -> bool:
        """Find the gateway's own process behind a wrapper; True when it is a new one.

        `at` is a fresh result of `GuardedGateway.locate`, to spare looking again.
        """
        worker = _find_worker(self.gateway, at)
        if worker is None or worker == self.life.worker_pid or not self._is_ours(worker):
            return False
        self.life = self.life.model_copy(
            update={"worker_pid": worker, "worker_ticks": start_ticks(worker)}
        )
        return True

    def find_foreign(self) -> int | None:
        """Find a living gateway on our state directory that is not of this life."""
        worker = _find_worker(self.gateway)
        return None if worker is None or self._is_ours(worker) else worker

    def _is_ours(self, pid: int) -> bool:
        return pid in (self.child.pid, self.life.worker_pid) or pid in [
            p for p, _ in find_life(self.life.id)
        ]

    def find_host(self, port: int) -> str | None:
        """Find the address that the gateway listens on, once its own process is known."""
        self.find_worker()
        pid = self.life.worker_pid
        return None if pid is None else find_address(pid, port)

    def measure(self) -> Vitals:
        """Measure the whole tree of processes."""
        vitals = read_tree(self.child.pid)
        self.peak_rss_bytes = max(self.peak_rss_bytes, vitals.rss_bytes)
        return vitals

    def send(self, number: int) -> None:
        """Send a signal to the process that we started; a wrapper passes it on."""
        self.child.send(number)

    def send_worker(self, number: int) -> None:
        """Send a signal to the gateway itself, where a wrapper would not pass it on."""
        pid, ticks = self.life.worker_pid, self.life.worker_ticks
        if pid is not None and is_alive(pid, ticks):
            Child(pid, ticks, None).send(number)
        else:
            self.child.send(number)

    def kill(self) -> None:
        """Kill wrapper, gateway and their children now."""
        kill_tree([*_list_tree(self.child.pid), *find_life(self.life.id)])
        self.child.send_group(signal.SIGKILL)

    def sweep(self, number: int) -> bool:
        """Signal the rest of a dead gateway's process group; False when no process is left."""
        return self.child.send_group(number)

    def watch_end(self, callback: Callable[[], None]) -> None:
        """Watch for the end of a process that raises no SIGCHLD here."""
        self.child.call_when_dead(callback)

    def collect(self) -> tuple[Clues, bytes]:
        """Collect the clues to the end, and the tail of standard error."""
        tail = self.pump.finish()
        kills = _count_oom_kills(os.getpid())
        grown = None if kills is None or self.oom_kills is None else kills - self.oom_kills
        clues = replace(
            self.describe_end(),
            stderr_tail=tail.decode("utf-8", "replace"),
            oom_kills=grown,
            other_pid=self.find_foreign(),
        )
        return clues, tail

    def describe_end(self) -> Clues:
        """Describe the end by the facts at hand, without looking anywhere."""
        ended = self.ended or Exit(None, None)
        return Clues(
            exit_code=ended.exit_code,
            signal=ended.signal,
            uptime_s=self.uptime_s,
            was_ready=self.life.ready_ms is not None,
            asked=self.asked,
            guarded=True,
            handed_off=self.handed_off,
            peak_rss_bytes=self.peak_rss_bytes or None,
        )


def _list_tree(pid: int) -> list[tuple[int, int | None]]:
    try:
        root = psutil.Process(pid)
        return [
            (each.pid, start_ticks(each.pid)) for each in (root, *root.children(recursive=True))
        ]
    except psutil.Error:
        return []


def _fifo(gateway: GuardedGateway, life: Life) -> Path:
    return gateway.home.guards / f"{life.id}.stderr"


def _find_worker(gateway: GuardedGateway, at: Installation | None = None) -> int | None:
    """Find the living owner of the gateway's lock, whoever started it."""
    found = gateway.find_other(at)
    return None if found is None else found.pid


def _count_oom_kills(pid: int) -> int | None:
    cgroup = read_cgroup(pid)
    return None if cgroup is None else cgroup.oom_kills
