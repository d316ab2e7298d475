"""The gateway's standard error: passed on untouched, its last part kept.

V8 writes why it dies there and nowhere else. It goes through a named FIFO and not a
plain pipe, so that a supervisor that takes a living gateway over can read on.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base import platform_calls

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.outlet import Outlet

TAIL_BYTES = 256 << 10
_READ_BYTES = 64 << 10
_DRAIN_S = 2.0
_BUFFER_BYTES = 1 << 20  # what a gateway without a supervisor can write before it must wait


class Tail:
    """The last bytes of a stream, at most `TAIL_BYTES` of them."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Append, and forget what is too old."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= TAIL_BYTES:
            self._size -= len(self._chunks.popleft())

    def read(self) -> bytes:
        """Return the tail."""
        return b"".join(self._chunks)[-TAIL_BYTES:]


class Pump:
    """Carries one life's standard error from a FIFO to ours, in a thread that only waits.

    A reader of ours that is slow slows the gateway down, as it would without us; one that
    is gone or asleep is ignored, the tail is kept all the same.
    """

    def __init__(self, fifo: Path, out: Outlet) -> None:
        """Open the FIFO, made if it is not there; nothing is read before `start`.

        Where none can be made, a pipe must do: it ends with us.
        """
        self.fifo = fifo
        self.tail = Tail()
        self._out = out
        self._hurries = False
        self._drained = threading.Event()
        self._wake_out: int | None
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._writer: int | None = None
        try:
            with suppress(FileExistsError):
                os.mkfifo(fifo, 0o600)
            self._fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            self._fd, self._writer = os.pipe()
            os.set_blocking(self._fd, False)
        self._thread = threading.Thread(target=self._carry, name="stderr", daemon=True)

    def open_writer(self) -> int:
        """Open the end that the gateway writes to; the caller closes it.

        It can read too. Without a reader a write fails, and node dies of that: so it is one
        itself, while we are dead and the next supervisor has not taken it over yet.
        """
        if self._writer is not None:
            fd, self._writer = self._writer, None
            return fd
        try:
            fd = os.open(self.fifo, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # somebody has just taken the FIFO away
            os.close(self._fd)
            self._fd, fd = os.pipe()
            os.set_blocking(self._fd, False)
        platform_calls.here.widen_pipe(fd, _BUFFER_BYTES)
        return fd

    def start(self) -> None:
        """Begin to carry; call it when the gateway has its end, for without writers it ends."""
        self._thread.start()

    def finish(self) -> bytes:
        """Take what the dead gateway still left in the FIFO, and return the tail.

        Its children may live on and hold the FIFO open: what they write later is not waited for.
        """
        self._hurries = True
        if self._wake_out is not None:
            with suppress(BlockingIOError):
                os.write(self._wake_out, b"x")
            if self._drained.wait(_DRAIN_S):
                os.close(self._wake_out)
                os.close(self._wake_in)
                self._wake_out = None
        with suppress(OSError):
            self.fifo.unlink()
        return self.tail.read()

    def _carry(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        finishing = False
        try:
            while True:
                ready = dict(poll.poll(0 if finishing else None))
                if self._wake_in in ready:
                    finishing = True
                    poll.unregister(self._wake_in)
                if not self._read_once() and (finishing or self._fd in ready):
                    return
        finally:
            # Whoever waits for it closes the other two: here they may be in use.
            os.close(self._fd)
            self._drained.set()

    def _read_once(self) -> bool:
        """Carry one chunk; False at the end of the stream, or when there is nothing now."""
        try:
            chunk = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            return False
        self.tail.add(chunk)
        self._out.put(chunk, lambda: not self._hurries)
        return True
