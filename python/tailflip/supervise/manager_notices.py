"""Messages to the service manager: keep-alive, status, and requests for more time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailflip.base.sdnotify import Notifier
    from tailflip.supervise.event_loop import Loop

_EXTEND_EVERY_S, _EXTEND_BY_S = 10.0, 30.0


class ManagerNotices:
    """Sends messages to the service manager from the loop, so that a stuck loop is noticed.

    It asks for more time until the gateway has answered, and while the gateway ends.
    """

    def __init__(self, loop: Loop, notifier: Notifier) -> None:
        self._loop = loop
        self._notifier = notifier
        self._said_ready = False
        self._stopping = False
        self._first = ""

    def show_first(self, text: str) -> None:
        """Begin every status with this from now on."""
        self._first = text

    def start(self) -> None:
        """Begin to send keep-alives."""
        self._ping()
        self._extend()

    def status(self, text: str) -> None:
        """Send the status in words."""
        self._notifier.status(self._first + text)

    def ready(self, text: str) -> None:
        """Report that the gateway answers."""
        self._said_ready = True
        self._notifier.ready(self._first + text)

    def stopping(self, text: str) -> None:
        """Report that tailflip ends; ask for time until the gateway has ended."""
        self._stopping = True
        self._notifier.stopping(text)
        self._extend()

    def reloading(self, monotonic_usec: int) -> None:
        """Report that settings are being read again; `reloaded` must follow."""
        self._notifier.reloading(monotonic_usec)

    def reloaded(self) -> None:
        """Report that settings were read."""
        self._notifier.ready()

    def _ping(self) -> None:
        period_s = self._notifier.watchdog_s
        if period_s is not None:
            self._notifier.watchdog()
            self._loop.at("watchdog", period_s, self._ping)

    def _extend(self) -> None:
        if self._stopping or not self._said_ready:
            self._notifier.extend_timeout(_EXTEND_BY_S)
            self._loop.at("extend", _EXTEND_EVERY_S, self._extend)
