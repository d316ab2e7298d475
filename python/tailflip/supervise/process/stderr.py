"""Passes the gateway's standard error on byte for byte, and keeps its tail.

V8 writes there why it dies. The stream goes through a named FIFO and not a plain pipe, so that a
supervisor that takes a living gateway over can read on.
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
_BUFFER_BYTES = 1 << 20  # a gateway without a supervisor must wait after so many bytes


class Tail:
    """The last bytes of a stream, at most `TAIL_BYTES` of them."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Append bytes, and drop the oldest beyond `TAIL_BYTES`."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= TAIL_BYTES:
            self._size -= len(self._chunks.popleft())

    def read(self) -> bytes:
        """Return the tail."""
        return b"".join(self._chunks)[-TAIL_BYTES:]


class Pump:
    """Copies one life's standard error from a FIFO to ours, in a thread.

    A slow reader of our standard error slows the gateway down, as it would without us. A reader
    that is gone or asleep is ignored; the tail is kept all the same.
    """

    def __init__(self, fifo: Path, out: Outlet) -> None:
        """Open the FIFO, or make it; `start` begins to read.

        Where no FIFO can be made, use a pipe, which ends with us.
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
        """Open the gateway's end of the FIFO; the caller closes it.

        The descriptor can read too. Without a reader a write fails, and node dies of that. So the
        gateway itself counts as a reader until the next supervisor takes the gateway over.
        """
        if self._writer is not None:
            fd, self._writer = self._writer, None
            return fd
        try:
            fd = os.open(self.fifo, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # the FIFO was deleted meanwhile
            os.close(self._fd)
            self._fd, fd = os.pipe()
            os.set_blocking(self._fd, False)
        platform_calls.here.widen_pipe(fd, _BUFFER_BYTES)
        return fd

    def start(self) -> None:
        """Begin to copy; call it when the gateway has its end: without a writer the copy ends."""
        self._thread.start()

    def finish(self) -> bytes:
        """Read the rest that a dead gateway left in the FIFO, and return the tail.

        Its children may live on and hold the FIFO open; their later writes are not waited for.
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
            # `finish` closes the other two descriptors: here they may be in use.
            os.close(self._fd)
            self._drained.set()

    def _read_once(self) -> bool:
        """Copy one chunk; False at the end of the stream, or when no bytes wait."""
        try:
            chunk = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            return False
        self.tail.add(chunk)
        self._out.put(chunk, lambda: not self._hurries)
        return True
