"""Our standard error, in front of a reader that may be slow, asleep, or gone.

A pipe that nobody reads is full after 64 KiB, and whoever writes to it then waits for ever:
the gateway dies meanwhile, and nobody starts it again. So nobody here writes to it but one
thread, from a buffer that has an end. What does not fit any more is dropped and counted,
and the count is told as soon as somebody reads again.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.units import format_counted

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT_BYTES = 1 << 20
_AT_ONCE_BYTES = 64 << 10
_PATIENCE_S = 5.0  # a reader that took nothing for so long is asleep
_LOOK_S = 0.1
_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.ECONNRESET, errno.ENOTCONN})


class Outlet:
    """Writes to one descriptor, from any thread and in order, and keeps nobody waiting."""

    def __init__(self, fd: int, limit_bytes: int = _LIMIT_BYTES) -> None:
        """Nothing is started before the first write."""
        self._fd = fd
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._held = 0  # bytes that wait, those in the thread's hands included
        self._dropped = 0
        self._moved_s = clock.monotonic_s()
        self._is_gone = self._fails = False
        self._thread: threading.Thread | None = None

    def put(self, chunk: bytes, may_wait: Callable[[], bool] | None = None) -> None:
        """Have bytes written; they are dropped where the buffer is full.

        Args:
            chunk: at most a buffer full.
            may_wait: for whoever may be slowed down by a slow reader, as without us: waits as
                long as this says yes, and the reader has taken something of late.
        """
        with self._changed:
            while may_wait is not None and self._is_full(chunk) and self._moves() and may_wait():
                self._changed.wait(_LOOK_S)
            if self._is_gone:
                return
            if self._is_full(chunk):
                self._dropped += len(chunk)
                return
            if self._dropped:
                self._append(self._take_note())
            self._append(chunk)

    def flush(self, within_s: float) -> bool:
        """Wait until all is written, at most so long; say whether it is."""
        until_s = clock.monotonic_s() + within_s
        with self._changed:
            while self._held and not self._is_gone and clock.monotonic_s() < until_s:
                self._changed.wait(_LOOK_S)
            return not self._held

    def _is_full(self, chunk: bytes) -> bool:
        return self._held + len(chunk) > self._limit_bytes and not self._is_gone

    def _moves(self) -> bool:
        return clock.monotonic_s() - self._moved_s < _PATIENCE_S

    def _append(self, chunk: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._carry, name="outlet", daemon=True)
            self._thread.start()
        if not self._held:
            self._moved_s = clock.monotonic_s()
        self._chunks.append(chunk)
        self._held += len(chunk)
        self._changed.notify_all()

    def _take_note(self) -> bytes:
        dropped, self._dropped = self._dropped, 0
        # On a line of its own: what stands before it may have been cut anywhere.
        lost = format_counted(dropped, "byte", "was", "were")
        note = f"\ntailflip: warning: {lost} dropped here: nobody read them\n"
        return note.encode()

    def _carry(self) -> None:
        while True:
            with self._changed:
                while not self._chunks:
                    if self._dropped and not self._fails:
                        self._append(self._take_note())
                    else:
                        self._changed.wait()
                chunk = self._chunks.popleft()
            written = self._write(chunk)
            with self._changed:
                self._held -= len(chunk)
                self._dropped += len(chunk) - written
                if self._is_gone:
                    self._chunks.clear()
                    self._held = 0
                self._changed.notify_all()

    def _write(self, chunk: bytes) -> int:
        """Write all of it, however long that takes; return less where it cannot be."""
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(self._fd, view[:_AT_ONCE_BYTES]) :]
                self._moved_s = clock.monotonic_s()
                self._fails = False
            except BlockingIOError:
                select.select([], [self._fd], [], _PATIENCE_S)
            except OSError as e:
                self._is_gone = e.errno in _GONE
                self._fails = True
                break
        return len(chunk) - len(view)
