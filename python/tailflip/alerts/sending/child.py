"""What `tailflip _send` does: reads one order, sends it, and answers how that ended.

Order and answer are one JSON object each, on standard input and output. Nothing else is printed:
what a library says may hold the address.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from tailflip.alerts.background import scrub, step_back
from tailflip.alerts.heartbeat import Beat, BeatWord
from tailflip.alerts.sending.addressee import Address
from tailflip.alerts.sending.beat import send_beat
from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.forms import describe, send
from tailflip.flow.alerts import Delivery, Message, MessageKind, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping

# Whoever started this process kills it before; where that one is gone, the kernel does.
LAST_S = 30


def run(env: Mapping[str, str]) -> int:
    """Send what standard input orders."""
    signal.alarm(LAST_S)
    step_back()
    answers = os.dup(sys.stdout.fileno())
    for fd in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
    order = json.loads(sys.stdin.buffer.read())
    done = obey(order, scrub(env))
    with os.fdopen(answers, "w", encoding="utf-8") as file:
        json.dump([done.delivered, done.error, done.is_final], file)
    return 0


def obey(order: Mapping[str, Any], env: Mapping[str, str]) -> Delivery:
    """Send a message or a heartbeat."""
    address = Address(order["url"], order["program"])
    try:
        if "beat" in order:
            send_beat(address.url, read_beat(order["beat"]))
        else:
            send(address, order["to"], read_message(order["message"]), env)
    except Failed as e:
        return Delivery(False, f"{describe(address)}: {e.words}", e.is_final)
    except Exception as e:  # noqa: BLE001 - its message may hold the address
        return Delivery(False, f"{describe(address)}: a bug in tailflip: {type(e).__name__}")
    return Delivery(True)


def read_message(fields: Mapping[str, Any]) -> Message:
    """Read a message of an order."""
    return Message(
        **{
            **fields,
            "kind": MessageKind(fields["kind"]),
            "urgency": Urgency(fields["urgency"]),
            "alerts": tuple(fields["alerts"]),
        }
    )


def read_beat(fields: Mapping[str, Any]) -> Beat:
    """Read a heartbeat of an order."""
    return Beat(**{**fields, "word": BeatWord(fields["word"])})
