"""Starts the child that sends, waits for it, and says how the try ended.

A name server, a proxy or a receiver may never answer: the child, and what it started, is killed
when its time is over.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.alerts.background import list_own, scrub
from tailflip.alerts.sending.address import NoAddress, read_address, read_heartbeat
from tailflip.alerts.sending.forms import describe
from tailflip.flow.alerts import Delivery
from tailflip.flow.late import dataclass
from tailflip.flow.values import to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.alerts.heartbeat import Beat
    from tailflip.alerts.sending.addressee import Address
    from tailflip.config.telling import DestinationSettings, HeartbeatSettings
    from tailflip.flow.alerts import Message

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Sender:
    """Sends messages to the destinations of the settings."""

    to: Mapping[str, DestinationSettings]
    env: Mapping[str, str]
    patience_s: float = PATIENCE_S

    def send(self, destination: str, message: Message) -> Delivery:
        """Try to send a message, for at most `patience_s`."""
        settings = self.to.get(destination)
        if settings is None:
            return Delivery(False, "no destination has this name any more", is_final=True)
        try:
            address = read_address(destination, settings, self.env)
        except NoAddress as e:
            return Delivery(False, str(e))
        order = {"to": destination, "message": to_plain(message)}
        return _deliver(address, message.number, order, self.env, self.patience_s)


def beat(
    settings: HeartbeatSettings,
    sign: Beat,
    env: Mapping[str, str],
    patience_s: float = PATIENCE_S,
) -> Delivery:
    """Try to send a heartbeat, for at most `patience_s`."""
    try:
        address = read_heartbeat(settings, env)
    except NoAddress as e:
        return Delivery(False, str(e))
    return _deliver(address, 0, {"beat": to_plain(sign)}, env, patience_s)


def _deliver(
    address: Address,
    number: int,
    order: Mapping[str, object],
    env: Mapping[str, str],
    patience_s: float,
) -> Delivery:
    where = describe(address)
    data = json.dumps({"url": address.url, "program": address.program, **order}).encode()
    try:
        child = subprocess.Popen(
            list_own("_send", number),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=scrub(env),
            cwd=os.sep,
            start_new_session=True,
        )
    except OSError as e:
        return Delivery(False, f"{where}: cannot start a process: {(e.strerror or '').lower()}")
    try:
        answer, _ = child.communicate(data, patience_s)
        delivered, error, is_final = json.loads(answer)
    except subprocess.TimeoutExpired:
        _kill(child)
        return Delivery(False, f"{where}: no end within {patience_s:g} s")
    except (OSError, ValueError):
        _kill(child)
        return Delivery(False, f"{where}: the process that sends it ended without an answer")
    return Delivery(bool(delivered), str(error), bool(is_final))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child, and what it started: it leads a session of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
