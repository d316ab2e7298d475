"""Messages to systemd, or to whatever set $NOTIFY_SOCKET: READY, STATUS, WATCHDOG, STOPPING.

Source: sd_notify(3) and sd_watchdog_enabled(3). A message is one datagram without an answer. If the
manager is absent, does not listen or is slow, the message is lost; no method raises or waits.
"""

from __future__ import annotations

import math
import os
import socket
from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

# A child that inherits these variables could send messages in tailflip's name; `NotifyAccess=`
# decides whether systemd believes them. Take them out of a gateway's environment.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# systemd ignores a message that is longer than a page (NOTIFY_BUFFER_MAX).
_STATUS_LIMIT_BYTES = 1000
_MICRO = 1_000_000


@dataclass
class Notifier:
    """The sender of messages to the service manager; silent if there is none.

    `watchdog_s` is how often to call `watchdog`, in seconds: half of what the manager allows.
    None: the manager has no watchdog on us. Methods return whether the message was handed over.
    """

    address: bytes | None = None
    watchdog_s: float | None = None
    _last_status: str | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Notifier:
        """Find the manager in the environment. An invalid value counts as absent."""
        return cls(_parse_address(env.get("NOTIFY_SOCKET", "")), _parse_watchdog(env))

    def ready(self, status: str = "") -> bool:
        """Report that the service is up, or has ended a reload."""
        return self._send("READY=1", status)

    def status(self, text: str) -> bool:
        """Report a status text for `systemctl status`. The same text again is not sent."""
        return text == self._last_status or self._send("", text)

    def watchdog(self) -> bool:
        """Report that the loop runs. Call it from the loop, or a loop that hangs is not noticed."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """Report that the service is about to end."""
        return self._send("STOPPING=1", status)

    def reloading(self, monotonic_usec: int) -> bool:
        """Report that settings are read again; call `ready` when that is done.

        Args:
            monotonic_usec: CLOCK_MONOTONIC in microseconds; `Type=notify-reload` needs it.
        """
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}")

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for more time, from now on, before a start, stop or run counts as too long.

        Repeat it before the time is over, for as long as the work goes on.
        """
        if not math.isfinite(seconds) or seconds <= 0:
            return False
        return self._send(f"EXTEND_TIMEOUT_USEC={math.ceil(seconds * _MICRO)}")

    def _send(self, message: str, status: str = "") -> bool:
        if self.address is None or not (message or status):
            return False
        if status:
            message = f"{message}\nSTATUS={_clean(status)}".lstrip("\n")
        # Each message has its own socket: no socket to inherit, close or find broken after an exec.
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(errors="replace"), self.address)
        except (OSError, ValueError):
            return False  # ignored: no manager listens, or it is too slow; the message is lost
        if status:
            self._last_status = status
        return True


def _parse_address(text: str) -> bytes | None:
    """Parse a path or, after an `@`, an abstract name; other kinds of address are not supported."""
    if text.startswith("/"):
        return os.fsencode(text)
    if text.startswith("@") and len(text) > 1:
        return b"\0" + os.fsencode(text[1:])
    return None


def _parse_watchdog(env: Mapping[str, str]) -> float | None:
    """Compute half the watchdog's time; None if the watchdog is for another process."""
    pid, usec = env.get("WATCHDOG_PID", ""), env.get("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    if not (usec.isascii() and usec.isdigit() and len(usec) < 20 and int(usec)):  # noqa: PLR2004
        return None
    return int(usec) / _MICRO / 2


def _clean(status: str) -> str:
    r"""Put a status on one line: a line break would begin another message, such as READY=1."""
    line = "".join(char if char.isprintable() else " " for char in status)
    return line.encode(errors="replace")[:_STATUS_LIMIT_BYTES].decode(errors="ignore")
