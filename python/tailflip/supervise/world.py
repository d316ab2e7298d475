"""The world that the breaker decides by, and the part of it that a wait is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.flow.lives import Moment, Waiting

if TYPE_CHECKING:
    from tailflip.config.schema import RestartSettings
    from tailflip.flow.lives import Breaker

# A change is so much more room, or so many more inodes, than at the death.
_ROOM_BYTES, _ROOM_INODES = 64 << 20, 1000


@dataclass(frozen=True)
class World:
    """The facts of one moment that the breaker decides by.

    Args:
        now_ms: wall clock.
        random: a number in [0, 1), for jitter.
        config_mark: fingerprint of the files that the gateway is started from: its configuration,
            and its release where that is known.
        stores_mark: fingerprint of its stores.
        state_mark: fingerprint of the databases and files that a migration changes.
        program_mark: fingerprint of its package, its node and its service file.
        room: free bytes and free inodes of each disk that it writes to.
        settled: state and program were not changed in the last seconds.
        cured: since this death a change was made that may help: stores compacted or
            salvaged, a job held that kills the gateway, or the configuration edited after the
            gateway had read it.
        held: what was in flight at the last deaths is held since, whatever their cause.
        other_alive: a gateway that is not ours lives on the state directory, or a process
            holds its port.
        limits: delays and counts, in seconds and deaths.
        mono_ms: as in `Moment`, and `boot` likewise; None uses the wall clock instead.
    """

    now_ms: int
    random: float
    config_mark: str
    stores_mark: str
    cured: bool
    other_alive: bool
    limits: RestartSettings
    state_mark: str = ""
    program_mark: str = ""
    room: tuple[int, ...] = ()
    settled: bool = True
    held: bool = False
    mono_ms: int | None = None
    boot: str | None = None

    @property
    def moment(self) -> Moment:
        """This moment by both clocks."""
        return Moment(at_ms=self.now_ms, mono_ms=self.mono_ms, boot=self.boot)


def mark_awaited(waiting: Waiting, world: World) -> str | None:
    """Fingerprint the awaited change; a new configuration is worth a start after any cause."""
    if waiting is Waiting.CURE:
        return f"{world.config_mark}\n{world.stores_mark}"
    if waiting is Waiting.STATE_CHANGE:
        return f"{world.config_mark}\n{world.state_mark}"
    if waiting is Waiting.PROGRAM_CHANGE:
        return f"{world.config_mark}\n{world.program_mark}"
    if waiting is Waiting.ROOM:
        return f"{world.config_mark}\n{' '.join(str(number) for number in world.room)}"
    if waiting in (Waiting.CONFIG_CHANGE, Waiting.TIME):
        return world.config_mark
    return None


def has_changed(breaker: Breaker, waiting: Waiting, world: World) -> bool:
    """Say whether the awaited change has happened since the wait began.

    While files still change, a doctor or an installer may be at work, and a start would meet
    half of its files.
    """
    now = mark_awaited(waiting, world)
    if breaker.marks in (None, now):
        return False
    if waiting is Waiting.ROOM:
        config, _, room = str(breaker.marks).rpartition("\n")
        return config != world.config_mark or _has_grown(room, world.room)
    return world.settled or waiting not in (Waiting.STATE_CHANGE, Waiting.PROGRAM_CHANGE)


def _has_grown(before: str, room: tuple[int, ...]) -> bool:
    """Say whether a disk has more room; `room` has bytes and inodes of each disk in turn."""
    old = [int(number) for number in before.split() if number.isdecimal()]
    steps = (_ROOM_BYTES, _ROOM_INODES)
    return any(
        new >= was + steps[n % 2] for n, (was, new) in enumerate(zip(old, room, strict=False))
    )
