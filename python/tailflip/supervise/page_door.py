"""Listens for who wants the page, and starts `tailflip serve` for the first of them.

The guard itself serves nothing: it would be larger by all that the page needs. What it starts takes
the socket over, and ends when nobody has asked for a while.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.errors import TailflipError
from tailflip.base.listening import parse_address
from tailflip.base.sdnotify import VARIABLES
from tailflip.base.sockets import listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tailflip.base.durable import Disk
    from tailflip.base.listening import Address
    from tailflip.config.serving import ServeSettings

_AGAIN_S = 60.0  # until the next try where the port is taken, or the page ends at once
_END_S = 5.0
_SOON_S = 10.0
_NOT_FOR_IT = (*VARIABLES, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@contextmanager
def page_on_demand(settings: ServeSettings, state_dir: str, disk: Disk) -> Iterator[None]:
    """Listen while the block runs, if the settings say so; no failure of it stops the guard."""
    if settings.start != "on-demand":
        yield
        return
    door = PageDoor(parse_address(settings.listen), state_dir, disk)
    door.start()
    try:
        yield
    finally:
        door.stop()


class PageDoor:
    """A thread that sleeps until somebody knocks, then until what it started ends."""

    def __init__(self, address: Address, state_dir: str, disk: Disk) -> None:
        """Take where to listen, and the gateway that the page is about."""
        self._address, self._state_dir, self.disk = address, state_dir, disk
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._wake, self._waker = os.pipe()
        self._last_error = ""

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End the page, and listen no more."""
        self._stopping.set()
        os.close(self._waker)
        child = self._child
        if child is not None:
            with suppress(OSError):
                child.terminate()
        self._thread.join(_END_S)
        if self._address.path:
            with suppress(OSError):
                self.disk.unlink(self._address.file)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                listener = listen(self._address, self.disk)
            except TailflipError as e:
                self._tell(e)
                self._stopping.wait(_AGAIN_S)
                continue
            with listener:
                log.info("the page is shown on demand", link="tailflip page")
                self._watch(listener)

    def _watch(self, listener: socket.socket) -> None:
        """Start the page whenever somebody waits and nothing serves."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._wake, select.POLLIN | select.POLLHUP)
        while not self._stopping.is_set():
            poll.poll()
            if self._stopping.is_set():
                return
            began_s = clock.monotonic_s()
            try:
                code = self._serve(listener.fileno())
            except OSError as e:
                code = -1
                self._tell(e)
            if code and clock.monotonic_s() - began_s < _SOON_S:
                self._stopping.wait(_AGAIN_S)

    def _serve(self, fd: int) -> int:
        command = ["-m", "tailflip", "serve", "--fd", str(fd), "--state-dir", self._state_dir]
        env = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
        self._child = subprocess.Popen(
            [sys.executable, *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[fd],
            start_new_session=True,
        )
        if self._stopping.is_set():  # it came between the two
            self._child.terminate()
        code = self._child.wait()
        self._child = None
        return code

    def _tell(self, error: Exception) -> None:
        if str(error) != self._last_error:
            log.warning("the page cannot be shown; the gateway is guarded all the same", why=error)
        self._last_error = str(error)
