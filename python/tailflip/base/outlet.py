"""A buffer in front of standard error, whose reader may be slow, asleep or gone.

A pipe without a reader is full after 64 KiB, and its writer then waits for ever: the gateway
dies meanwhile, and nothing starts it again. So one thread writes, from a buffer of limited size.
Chunks that do not fit are dropped and counted. The count is written once the reader reads again.
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
_PATIENCE_S = 5.0  # a reader that took no byte for so long is asleep
_LOOK_S = 0.1
_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.ECONNRESET, errno.ENOTCONN})


class Outlet:
    """Writes chunks from any thread to one descriptor, in order; callers do not wait."""

    def __init__(self, fd: int, limit_bytes: int = _LIMIT_BYTES) -> None:
        """Keep the descriptor; the thread starts at the first write."""
        self._fd = fd
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._held = 0  # bytes that wait, including those that the thread is writing
        self._dropped = 0
        self._moved_s = clock.monotonic_s()
        self._is_gone = self._fails = False
        self._thread: threading.Thread | None = None

    def put(self, chunk: bytes, may_wait: Callable[[], bool] | None = None) -> None:
        """Add a chunk to the buffer; a full buffer drops it.

        Args:
            chunk: at most as long as the buffer.
            may_wait: waits for room instead, while this returns True and the reader has taken
                a byte in the last 5 s.
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
        """Wait at most `within_s` until all is written; say whether it is."""
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
        # The note has a line of its own: the text before it may be cut anywhere.
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
        """Write a chunk, however long that takes; return fewer bytes if a write fails."""
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
