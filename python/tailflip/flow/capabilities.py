"""The capabilities of a release of OpenClaw, and the heap that its stores take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    import signal

Version = tuple[int, int, int]


@dataclass(frozen=True)
class HeapUse:
    """The heap that stores take: bytes for each byte of store, and bytes without any store."""

    factor: float
    base_bytes: int


class EntryCap(NamedTuple):
    """What a gateway keeps of a store's entries: at `high_water` it deletes all but the newest."""

    kept: int
    high_water: int


@dataclass(frozen=True)
class Capabilities:
    """The capabilities of one release; `is_known` is False for a release that is not known.

    `store_heap` is the heap for session stores that the release loads or imports, `database_heap`
    that for its own databases. `is_measured`: `store_heap` was measured on this very release.
    `restart_signal` restarts the gateway without another effect; None where none is known.
    `drain_s` is how long the gateway may take to stop before it may be killed. `most_entries`: by
    its default it keeps so many entries of a store, the newest, and deletes all others, chats too;
    None where its default deletes none. `most_if_told` is the number where a configuration says so.
    """

    is_known: bool
    is_measured: bool
    store_heap: HeapUse
    database_heap: HeapUse
    restart_signal: signal.Signals | None
    drain_s: float
    most_entries: int | None
    most_if_told: int | None
    loads_stores: bool
    has_startup_probe: bool
    lacks_health_probe: bool
    hands_off_restarts: bool
    takes_supervisor_mode: bool
    keeps_wrapper: bool
    disowns_replaced_command: bool
    lets_interrupted_jobs_wait: bool
    leaves_running_chats: bool
    repairs_headers: bool

    @property
    def may_read_transcripts(self) -> bool:
        """Say whether the sessions' transcripts are files, or may be: an unknown release counts."""
        return self.loads_stores or not self.is_known

    @property
    def destroys_headless(self) -> bool:
        """Say whether the next message may replace a transcript whose header cannot be read."""
        return self.may_read_transcripts and not self.repairs_headers
