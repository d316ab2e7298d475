"""What a supervisor says of itself, on standard error: one line an event, key=value.

The gateway's own lines pass by on the same stream, so ours begin with our name. Values
are made safe for a terminal; no session's content ever is one.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from tailflip.render import escape

_log = logging.getLogger("tailflip")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Stream(logging.StreamHandler):  # type: ignore[type-arg]
    """Standard error as it is at the time of writing; that it is gone stops nobody."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("tailflip: %(levelname)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing: there is nobody to say it to."""
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            # What is buffered would be tried again at the very end, and spoil the exit code.
            with suppress(OSError, ValueError):
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, sys.stderr.fileno())
                os.close(sink)


def start(level: str) -> None:
    """Begin to write; call it once a process."""
    if not any(isinstance(handler, _Stream) for handler in _log.handlers):
        _log.addHandler(_Stream())
        _log.propagate = False
        for number, name in logging.getLevelNamesMapping().items():
            logging.addLevelName(name, number.lower())
    set_level(level)


def set_level(level: str) -> None:
    """Choose the least important level that is written."""
    _log.setLevel(_LEVELS[level])


def write(level: str, message: str, **fields: object) -> None:
    """Write one line at a level given by name."""
    _log.log(_LEVELS[level], "%s", _format(message, fields))


def info(message: str, **fields: object) -> None:
    """The world changed."""
    write("info", message, **fields)


def warning(message: str, **fields: object) -> None:
    """Degraded, acting by itself."""
    write("warning", message, **fields)


def error(message: str, **fields: object) -> None:
    """A person must act."""
    write("error", message, **fields)


def _format(message: str, fields: dict[str, object]) -> str:
    parts = [message]
    for name, value in fields.items():
        if value is None or value == "":
            continue
        text = escape(str(value))
        if any(c in text for c in ' ="'):
            text = '"' + text.replace('"', "'") + '"'
        parts.append(f"{name}={text}")
    return " ".join(parts)
