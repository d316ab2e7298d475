"""A server of HTTP in one thread: it reads heads, asks for an answer, writes it, and hangs up.

Who is slow waits for nothing but himself. Of connections that have not asked yet, the oldest goes
when there are too many: a request that comes whole is answered however many dawdle.
"""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.flow.late import dataclass
from tailflip.report.page.http import END_OF_HEAD, MOST_HEAD_BYTES, Answer, Refused, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.report.page.http import Request

MOST_CONNECTIONS = 64
PATIENCE_S = 5.0  # for a head, and for each further part of an answer that is taken
MOST_S = 30.0  # for all of it
_AT_ONCE = 16
_CHUNK = 65_536
_NEVER_S = 3600.0


@dataclass
class _Connection:
    """One connection: it is read until its head is whole, then written until it is empty."""

    link: socket.socket
    began_s: float
    until_s: float
    data: bytearray = field(default_factory=bytearray)
    left: memoryview | None = None


class Server:
    """Answers requests until it has been quiet for long enough, or is interrupted."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        answer: Callable[[Request], Answer],
        always: Mapping[str, str],
        *,
        quiet_s: float | None = None,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what it listens on, and who answers.

        Args:
            listeners: sockets that listen.
            answer: answers a request that is well formed.
            always: the headers of each answer.
            quiet_s: it ends after so long without a request; None: never.
            on_idle: called after an answer, when no connection is left.
        """
        self._answer, self._always, self._on_idle = answer, always, on_idle
        self._quiet_s = quiet_s
        self._last_s = clock.monotonic_s()
        self._selector = selectors.DefaultSelector()
        self._open: dict[int, _Connection] = {}  # in the order of their coming
        for each in listeners:
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until it was quiet for long enough."""
        try:
            while not self.is_quiet:
                self.step()
        finally:
            for each in list(self._open.values()):
                self._close(each)
            self._selector.close()

    @property
    def is_quiet(self) -> bool:
        """Say whether nobody has asked for long enough to end."""
        if self._quiet_s is None or self._open:
            return False
        return clock.monotonic_s() - self._last_s >= self._quiet_s

    def step(self) -> None:
        """Wait for what happens next, and do what follows."""
        for key, _ in self._selector.select(self._find_wait_s()):
            if isinstance(key.data, _Connection):
                self._serve(key.data)
            else:
                self._accept(key.fileobj)  # type: ignore[arg-type]
        now_s = clock.monotonic_s()
        for each in [each for each in self._open.values() if each.until_s <= now_s]:
            self._close(each)

    def _find_wait_s(self) -> float:
        """Find the time until the next deadline; nothing is waited for in turns."""
        now_s = clock.monotonic_s()
        ends = [each.until_s for each in self._open.values()]
        if self._quiet_s is not None and not ends:
            ends.append(self._last_s + self._quiet_s)
        return max(0.0, min((end - now_s for end in ends), default=_NEVER_S))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                link, _ = listener.accept()
            except OSError:  # nobody is left, or it went away again, or no descriptor is free
                return
            link.setblocking(False)
            if len(self._open) >= MOST_CONNECTIONS:
                asking = (each for each in self._open.values() if each.left is None)
                self._close(next(asking, next(iter(self._open.values()))))
            now_s = clock.monotonic_s()
            new = _Connection(link, now_s, now_s + PATIENCE_S)
            self._open[link.fileno()] = new
            self._selector.register(link, selectors.EVENT_READ, new)
            self._serve(new)  # a request is often there already

    def _serve(self, at: _Connection) -> None:
        try:
            if at.left is None:
                self._read(at)
            else:
                self._write(at)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the other side is gone
            self._close(at)

    def _read(self, at: _Connection) -> None:
        data = at.link.recv(MOST_HEAD_BYTES)
        at.data += data
        end = at.data.find(END_OF_HEAD)
        if end < 0 and data and len(at.data) <= MOST_HEAD_BYTES:
            return
        if end < 0 and not data:
            self._close(at)
            return
        is_head, answer = False, Answer.of_status(431)
        if 0 <= end <= MOST_HEAD_BYTES:
            try:
                request = parse_head(bytes(at.data[: end + len(END_OF_HEAD)]))
            except Refused as e:
                answer = Answer.of_status(e.status)
            else:
                is_head, answer = request.method == "HEAD", self._answer(request)
        self._last_s = clock.monotonic_s()
        at.left = memoryview(answer.write(self._always, is_head=is_head))
        at.data.clear()
        self._selector.modify(at.link, selectors.EVENT_WRITE, at)
        at.until_s = min(self._last_s + PATIENCE_S, at.began_s + MOST_S)
        self._write(at)

    def _write(self, at: _Connection) -> None:
        while at.left:
            sent = at.link.send(at.left[:_CHUNK])
            at.left = at.left[sent:]
            at.until_s = min(clock.monotonic_s() + PATIENCE_S, at.began_s + MOST_S)
        with suppress(OSError):
            at.link.shutdown(socket.SHUT_WR)
        self._close(at)

    def _close(self, at: _Connection) -> None:
        if self._open.pop(at.link.fileno(), None) is None:
            return
        self._selector.unregister(at.link)
        at.link.close()
        if not self._open:
            self._on_idle()
