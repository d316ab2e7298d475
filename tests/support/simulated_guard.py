"""A guard in virtual time: the real supervisor, over a world that a script moves.

Real are the supervisor, its post-mortem, the breaker, the verdicts, the loop's timers and the
ledger (in memory). Made up are the clocks, the process, its health, and the looks at the disk.
"""

from __future__ import annotations

import queue
import sqlite3
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from tailflip.base import clock
from tailflip.base.sdnotify import Notifier
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import Config
from tailflip.flow.lives import Clues
from tailflip.flow.outcomes import HeapLimit
from tailflip.ledger import database
from tailflip.ledger.history import History
from tailflip.ledger.table import Table
from tailflip.observe.gateway.release import Release
from tailflip.supervise import (
    elapsed,
    life_actions,
    life_watch,
    post_mortem,
    start_actions,
    starting,
    supervisor,
)
from tailflip.supervise.admission import Admission
from tailflip.supervise.best_effort import BestEffortHistory
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.event_loop import Loop, Outcome
from tailflip.supervise.fingerprints import Fingerprints
from tailflip.supervise.process.child import Child, Exit
from tailflip.supervise.states import Event
from tailflip.supervise.wiring import make_supervisor
from tailflip.supervise.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tailflip.flow.lives import Asked, Life
    from tailflip.supervise.supervisor import Supervisor

BEGAN_MS = 1_800_000_000_000
READY_S = 0.5
_ENDS_S = 0.2


@dataclass(frozen=True)
class End:
    """One life as the script has it: how long it lasts, how it ends, and what changes then.

    `clock_s` is by how much the wall clock is set when it ends; `cured` that stores were made
    small after it; `edited` that its configuration is another one afterwards.
    """

    lasts_s: float
    clues: Clues
    clock_s: float = 0.0
    cured: bool = False
    edited: bool = False


class Over(Exception):
    """The time that was to be simulated is over."""


@dataclass
class Sky:
    """What time it is: really, by the wall clock, and by the clock that nobody sets."""

    now_s: float = 1000.0
    until_s: float = float("inf")
    wall_ms: int = BEGAN_MS

    def wall(self) -> int:
        return self.wall_ms + int(1000 * self.now_s)

    def mono(self) -> int:
        return int(1000 * self.now_s)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s > self.until_s:
            raise Over


class VirtualLoop(Loop):
    """The loop, with time that passes only while nothing is to be done."""

    sky: Sky

    def step(self) -> None:
        try:
            call = self._posted.get_nowait()
        except queue.Empty:
            due_s = min(due_s for due_s, _ in self._timers.values())
            self.sky.sleep(max(0.0, due_s - self.sky.now_s))
            self._run_due()
        else:
            call()

    def work(self, job: Callable[[], Any], on_done: Callable[[Outcome], None]) -> None:
        value = job()
        self.post(lambda: on_done(Outcome(value)))


@dataclass
class FakeService:
    """A gateway's process that ends as its script says."""

    gateway: GuardedGateway
    life: Life
    end: End
    sky: Sky
    loop: Loop
    child: Child = field(default=Child(1, 1, None))
    die: Callable[[], None] | None = None
    asked: Asked | None = None
    handed_off: bool = False
    ended: Exit | None = None

    def __post_init__(self) -> None:
        self.began_s = self.sky.now_s

    @property
    def uptime_s(self) -> float:
        return self.sky.now_s - self.began_s

    def poll(self) -> Exit | None:
        return self.ended

    def find_worker(self, _at: object = None) -> bool:
        return False

    def find_foreign(self) -> None:
        return None

    def has_heirs(self) -> bool:
        return False

    def sweep(self, _number: int) -> bool:
        return False

    def collect(self) -> tuple[Clues, bytes]:
        return self.end.clues, b""

    def send(self, _number: int) -> None:
        """End in order a moment later, as it was asked to."""
        self.end = End(0.0, Clues(exit_code=0, asked=self.asked, handed_off=self.handed_off))
        assert self.die is not None
        self.loop.at("die", _ENDS_S, self.die)


@dataclass
class Scripted:
    """Everything that a supervisor sees, and what it did about it."""

    script: Iterator[End]
    sky: Sky = field(default_factory=Sky)
    starts_s: list[float] = field(default_factory=list)
    config_mark: int = 0
    last: End | None = None
    supervisor: Supervisor | None = None

    def start(self, gateway: GuardedGateway, life: Life) -> FakeService:
        end = self.last = next(self.script)
        self.starts_s.append(self.sky.now_s)
        made = self.supervisor
        assert made is not None
        life = life.model_copy(update={"pid": 1})
        loop = made.loop
        service = FakeService(gateway, life, end, self.sky, loop)
        service.die = lambda: self.die(service)
        if end.lasts_s > READY_S:
            loop.at("answer", READY_S, lambda: made.handle(Event.ANSWERED))
        loop.at("die", end.lasts_s, service.die)
        return service

    def die(self, service: FakeService) -> None:
        service.ended = Exit(service.end.clues.exit_code, service.end.clues.signal)
        self.sky.wall_ms += int(1000 * service.end.clock_s)
        self.config_mark += service.end.edited
        assert self.supervisor is not None
        self.supervisor.loop.cancel("answer")
        self.supervisor.handle(Event.CHILD_ENDED)

    def admit(self, **_: object) -> Admission:
        cured = self.last is not None and self.last.cured
        return Admission(held=1 if cured else 0)

    def look(
        self,
        gateway: GuardedGateway,
        *,
        cured: bool = False,
        held: bool = False,
        is_paced: bool = True,
    ) -> World:
        assert is_paced
        return World(
            now_ms=self.sky.wall(),
            random=0.0,
            config_mark=str(self.config_mark),
            stores_mark="s",
            cured=cured,
            held=held,
            other_alive=False,
            limits=gateway.config.restart,
            mono_ms=self.sky.mono(),
            boot="b",
        )


@contextmanager
def simulated(script: Iterable[End], until_s: float) -> Iterator[Scripted]:
    """Put a supervisor into a made-up world; `run` then lets it guard until time is over."""
    world = Scripted(iter(script))
    world.sky.until_s = world.sky.now_s + until_s
    VirtualLoop.sky = world.sky
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    database._bring_up_to_date(db, mock.Mock(commit=lambda base: base.execute("COMMIT")))

    @contextmanager
    def writing(_self: object) -> Iterator[sqlite3.Connection]:
        yield db

    def read(_self: object, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return db.execute(query, values).fetchall()

    class Quiet:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __getattr__(self, _name: str) -> Callable[..., Any]:
            return lambda *_, **__: ""

    def look(fingerprints: Fingerprints, **given: Any) -> World:
        return world.look(fingerprints.gateway, **given)

    made_up: list[tuple[object, str, object]] = [
        (clock, "now_ms", world.sky.wall),
        (clock, "monotonic_s", lambda: world.sky.now_s),
        (clock, "boot_ms", world.sky.mono),
        (clock, "sleep_s", world.sky.sleep),
        (
            elapsed.platform_calls,
            "here",
            mock.Mock(boot_id=lambda: "b", cgroup_lines=lambda _pid: ()),
        ),
        (Table, "_writing", writing),
        (Table, "_read", read),
        (BestEffortHistory, "read_actions", lambda _self: ()),
        (supervisor, "Loop", VirtualLoop),
        (supervisor, "ManagerNotices", Quiet),
        (supervisor, "ChangedFiles", Quiet),
        (life_watch, "MemoryWatch", Quiet),
        (life_watch, "HealthCheck", Quiet),
        (life_actions, "reap_orphans", lambda **_: 0),
        (supervisor.log, "write", lambda *_, **__: None),
        (starting.Service, "start", world.start),
        (starting.Service, "adopt", lambda *_: None),
        (life_watch.LifeWatch, "_set_sample", lambda *_: None),
        (Fingerprints, "read_world", look),
        (GuardedGateway, "look_at_release", lambda _self: None),
        (GuardedGateway, "locate", lambda _self: None),
        (GuardedGateway, "find_other", lambda *_: None),
        (GuardedGateway, "find_heap_limit", lambda _self: HeapLimit(4 << 30, "made up", 0.9)),
        (start_actions, "prepare_start", lambda _gateway, **given: world.admit(**given)),
        (post_mortem, "prepare_start", lambda _gateway, **given: world.admit(**given)),
    ]
    with ExitStack() as stack:
        stack.callback(db.close)
        for owner, name, instead in made_up:
            stack.enter_context(mock.patch.object(owner, name, instead))
        yield world


def make_guarded(world: Scripted, settings: Config | None = None) -> Supervisor:
    """Make the supervisor of the made-up gateway."""
    disk, home = mock.Mock(), Home(Path("/nowhere"))
    release = Release(None, None, None, None, None, None, "made up", {})
    history = History(Workspace(home, disk), "/state")
    gateway = GuardedGateway(
        ("gateway",), {}, settings or Config(), release, Path("/state"), home, disk, history
    )
    made = world.supervisor = make_supervisor(gateway, Notifier())
    return made


def guard_until_over(world: Scripted, settings: Config | None = None) -> int | None:
    """Guard until the time is over: None; the exit code if the guard ended before that."""
    made = make_guarded(world, settings)
    try:
        made.handle(Event.BEGUN)
        while made.exit_code is None:
            made.loop.step()
    except Over:
        return None
    return made.exit_code
