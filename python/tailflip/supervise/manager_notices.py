"""Messages to the service manager: that we live, how we are, when to wait longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailflip.base.sdnotify import Notifier
    from tailflip.supervise.event_loop import Loop

_EXTEND_EVERY_S, _EXTEND_BY_S = 10.0, 30.0


class ManagerNotices:
    """Speaks to the service manager from the loop itself: if the loop hangs, it is silent.

    It asks for more time as long as the gateway has not answered yet, and while it ends.
    """

    def __init__(self, loop: Loop, notifier: Notifier) -> None:
        self._loop = loop
        self._notifier = notifier
        self._said_ready = False
        self._stopping = False

    def start(self) -> None:
        """Begin to speak."""
        self._ping()
        self._extend()

    def status(self, text: str) -> None:
        """Tell how things are, in words."""
        self._notifier.status(text)

    def ready(self, text: str) -> None:
        """Tell that the gateway answers."""
        self._said_ready = True
        self._notifier.ready(text)

    def stopping(self, text: str) -> None:
        """Tell that we end; the gateway may take its time."""
        self._stopping = True
        self._notifier.stopping(text)
        self._extend()

    def reloading(self, monotonic_usec: int) -> None:
        """Tell that settings are read again; `reloaded` must follow."""
        self._notifier.reloading(monotonic_usec)

    def reloaded(self) -> None:
        """Tell that settings were read."""
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
