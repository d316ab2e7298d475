"""The log of a supervisor on standard error: one line an event, a sentence first, then key=value.

The gateway's lines pass through the same stream, so the log's lines begin with `tailflip:`. Their
time follows, but not in systemd's journal, which adds it.
Values are made safe for a terminal. Callers must not pass a session's content.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.outlet import Outlet
from tailflip.base.render import escape
from tailflip.base.terminal import ERRORS
from tailflip.base.units import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

_STDERR, _FLUSH_S = 2, 1.0
# All writers share one outlet, so their lines stay in order.
outlet = Outlet(_STDERR)
_log = logging.getLogger("tailflip")


class Level(StrEnum):
    """The level of a line: error, a person must act; warning, degraded; debug, the rest."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_LEVELS = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}


class _Stream(logging.Handler):
    """The handler that writes log lines to `outlet`."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        self._is_dated = not _goes_to_journal(os.environ)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, with its time where nobody else adds one."""
        when = f"{format_time(clock.now_ms())} " if self._is_dated else ""
        say(f"tailflip: {when}{self.format(record)}")


def _goes_to_journal(env: Mapping[str, str]) -> bool:
    """Say whether standard error is systemd's journal, which dates each line (systemd.exec(5))."""
    try:
        about = os.fstat(_STDERR)
    except OSError:
        return False
    return env.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def start(level: str) -> None:
    """Start the log; call it once a process."""
    if not any(isinstance(handler, _Stream) for handler in _log.handlers):
        _log.addHandler(_Stream())
        _log.propagate = False
        for number, name in logging.getLevelNamesMapping().items():
            logging.addLevelName(name, number.lower())
        atexit.register(flush)
    set_level(level)


def say(text: str) -> None:
    """Write a text for people on a line of its own, in order with log lines."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    outlet.put(text.encode(encoding, ERRORS) + b"\n")


def flush() -> None:
    """Wait a moment for a reader to take the rest; call it before an exit or an exec."""
    outlet.flush(_FLUSH_S)


def set_level(level: str) -> None:
    """Choose the least important level that is written."""
    _log.setLevel(_LEVELS[Level(level)])


def write(level: Level, message: str, **fields: object) -> None:
    """Write one line at a level."""
    _log.log(_LEVELS[level], "%s", _format(message, fields))


def debug(message: str, **fields: object) -> None:
    """Log a detail, for a search for faults."""
    write(Level.DEBUG, message, **fields)


def info(message: str, **fields: object) -> None:
    """Log a change in the world."""
    write(Level.INFO, message, **fields)


def warning(message: str, **fields: object) -> None:
    """Log a fault that tailflip handles by itself."""
    write(Level.WARNING, message, **fields)


def error(message: str, **fields: object) -> None:
    """Log a fault that a person must handle."""
    write(Level.ERROR, message, **fields)


def _format(message: str, fields: dict[str, object]) -> str:
    parts = [escape(message)]
    for name, value in fields.items():
        if value is None or value == "":
            continue
        text = escape(str(value))
        if any(c in text for c in ' ="'):
            text = '"' + text.replace('"', "'") + '"'
        parts.append(f"{name}={text}")
    return " ".join(parts)
