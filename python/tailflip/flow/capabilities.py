"""What one release of OpenClaw can do, and what its stores take: told once, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

Version = tuple[int, int, int]


@dataclass(frozen=True)
class HeapUse:
    """What stores take in the gateway's heap: bytes for a byte of store, and bytes without any."""

    factor: float
    base_bytes: int


@dataclass(frozen=True)
class Capabilities:
    """What a release can do. Of a release that is not known, `is_known` is False: no promise.

    `store_heap` is what session stores take that it loads or imports, `database_heap` what its
    own databases take; `is_measured` says that both were measured on this very release.
    `restart_signal` is None where no signal is known that restarts and does nothing else.
    `drain_s` is how long the gateway may take to stop before it may be killed.
    """

    is_known: bool
    is_measured: bool
    store_heap: HeapUse
    database_heap: HeapUse
    restart_signal: signal.Signals | None
    drain_s: float
    loads_stores: bool
    has_startup_probe: bool
    hands_off_restarts: bool
    takes_supervisor_mode: bool
    keeps_wrapper: bool
    disowns_replaced_command: bool
    lets_interrupted_jobs_wait: bool
