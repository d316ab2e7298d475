"""The exit of a gateway's process: codes, signals, and their words in evidence.

Source: exit codes from the code of the releases 2026.3.28 to 2026.9.6.
"""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes
from tailflip.diagnose.last_words import LastWords, read_last_words
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.flow.lives import Clues

CONFIG_EXIT, UPDATE_EXIT, PARKED_EXIT = 78, 75, 79
WRAPPER_EXIT = 1
# Codes of node for a flag that it refuses, of a shell or `env` without a program that it may run,
# and of systemd for the same.
FLAG_EXIT, NO_PROGRAM_EXITS = 9, frozenset({126, 127, 203})
# The gateway chose these codes itself: if memory ran out, it did so in a child.
ORDERLY = frozenset({0, CONFIG_EXIT, UPDATE_EXIT, PARKED_EXIT})
_SHELL_BASE = 128  # a shell or container runtime reports signal n as exit 128 + n
KILL = int(signals.SIGKILL)
ABORT = int(signals.SIGABRT)
CRASHES = frozenset(
    int(number)
    for number in (
        signals.SIGABRT,
        signals.SIGBUS,
        signals.SIGFPE,
        signals.SIGILL,
        signals.SIGSEGV,
        signals.SIGSYS,
        signals.SIGTRAP,
    )
)
STOPS = frozenset(
    int(number) for number in (signals.SIGTERM, signals.SIGINT, signals.SIGHUP, signals.SIGQUIT)
)


@dataclass(frozen=True)
class Seen:
    """The clues with the exit parsed: a shell's 128 + n is `signal` n; and stderr in `words`."""

    clues: Clues
    code: int | None
    signal: int | None
    words: LastWords

    @property
    def unseen(self) -> bool:
        """Say whether the exit was not seen."""
        return self.code is None and self.signal is None

    @property
    def end(self) -> str:
        """Describe the exit in words, as the start of the evidence."""
        if self.signal is not None:
            name = name_signal(self.signal)
            return (
                name if self.clues.signal is not None else f"exit {self.clues.exit_code} ({name})"
            )
        return f"exit {self.code}" if self.code is not None else "exit not seen"

    @property
    def memory(self) -> tuple[str, ...]:
        """Describe the peak of memory and its limit, as far as they are known."""
        peak, limit = self.clues.peak_rss_bytes, self.clues.heap_limit_bytes
        told = []
        if peak is not None:
            told.append(f"peak memory {format_bytes(peak)}")
        if limit is not None:
            told.append(f"heap limit {format_bytes(limit)}")
        return (", ".join(told),) if told else ()


def see(clues: Clues) -> Seen:
    """Parse the exit and the last words of the clues."""
    code, signal = clues.exit_code, clues.signal
    if code is not None and signal is None and _is_signal(code - _SHELL_BASE):
        signal = code - _SHELL_BASE
    if signal is not None:
        code = None
    return Seen(clues, code, signal, read_last_words(clues.stderr_tail))


def name_signal(number: int) -> str:
    """Name a signal as people do, `SIGKILL`; by its number where it has no name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _is_signal(number: int) -> bool:
    return number == KILL or number in CRASHES or number in STOPS
