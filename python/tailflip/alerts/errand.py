"""One errand: a pass of the alerts, then the heartbeat. `tailflip _turn` runs one and ends.

Whoever guards a gateway starts it, with an `Order` on standard input: the settings that count, and
what is known of the gateway. It answers with the moment of the next one. Nobody waits for it: a
receiver may take its time.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from tailflip.alerts.background import step_back
from tailflip.alerts.heartbeat import Health, keep_beating
from tailflip.alerts.reading import read_silence
from tailflip.alerts.sending.deliver import Sender, beat
from tailflip.alerts.turn import take_turn
from tailflip.alerts.unrecorded import tell_unrecorded
from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.telling import AlertsSettings, HeartbeatSettings
from tailflip.flow.alerts import Urgency
from tailflip.flow.values import Value
from tailflip.ledger.history import History
from tailflip.observe.gateway.health import HEALTH, LOOPBACK, Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

# All messages to all destinations, each with its patience; then the kernel ends us.
LAST_S = 600
_HOUR_MS = 3_600_000
# Another pass is at work: look again soon.
_SOON_MS = 30_000
# A ledger that is busy for a moment is no news: it is tried so often, and looked at again later.
_TRIES, _PAUSE_S = 3, 20.0
_LATER_MS = 300_000


class Door(Value):
    """Where the gateway is asked whether it answers."""

    port: int
    host: str = LOOPBACK
    tls: bool = False
    timeout_s: float = 10.0
    takes_any_page: bool = False


class Seen(Value):
    """What the guard knows of the gateway; `door` is asked where it does not know."""

    interval_s: float
    silent_s: float | None = None
    answer_ms: int | None = None
    is_starting: bool = False
    door: Door | None = None


class Order(Value):
    """What an errand needs to know; it holds addresses, and is handed over on standard input.

    A heartbeat that is due within `slack_s` is sent now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    guard: str
    alerts: AlertsSettings = Field(default_factory=AlertsSettings)
    heartbeat: HeartbeatSettings = Field(default_factory=HeartbeatSettings)
    patience_s: float = 900.0
    slack_s: float = 0.0
    seen: Seen


def run(env: Mapping[str, str]) -> int:
    """Run what standard input orders, and print when the next errand is due."""
    signal.alarm(LAST_S)
    step_back()
    log.start("warning")
    order = read_order(sys.stdin.buffer.read())
    history = History(Workspace(Home.locate(env), RealDisk()), order.guard)
    sys.stdout.write(json.dumps(run_errand(history, order, env)))
    return 0


def read_order(data: bytes) -> Order:
    """Read an order as its guard wrote it."""
    return Order.model_validate_json(data)


def run_errand(history: History, order: Order, env: Mapping[str, str]) -> int | None:
    """Make one pass and send the heartbeat if it is due; return when to come again, or None.

    Where the ledger cannot be used, and not after a while either, that alone is told.
    """
    for tries in range(_TRIES):
        if tries:
            clock.sleep_s(_PAUSE_S)
        try:
            return _run(history, order, env)
        except (TailflipError, OSError) as e:
            error = e
    log.error("the ledger could not be used, and that is all that is told", error=error)
    sender, settings = Sender(order.alerts.to, env), order.alerts.choose(order.patience_s)
    tell_unrecorded(history.workspace, history.guard, settings, sender.send)
    return clock.now_ms() + _LATER_MS


def _run(history: History, order: Order, env: Mapping[str, str]) -> int | None:
    sender, settings = Sender(order.alerts.to, env), order.alerts.choose(order.patience_s)
    turn = take_turn(history, settings, sender.send, read_silence(history))
    dues = [clock.now_ms() + _SOON_MS if turn is None else turn.due_ms]
    if order.heartbeat.is_on(env):
        dues.append(
            keep_beating(
                history.facts,
                order.heartbeat,
                read_health(history, order.seen),
                lambda sign: beat(order.heartbeat, sign, env),
                slack_s=order.slack_s,
            )
        )
    return min((due for due in dues if due is not None), default=None)


def read_health(history: History, seen: Seen) -> Health:
    """Read from the ledger what else keeps a gateway from being well, and ask it."""
    now_ms = clock.now_ms()
    alerts = history.alerts.read(now_ms)
    waiting = [each for each in history.notices.read(now_ms) if each.next_ms is not None]
    silent_s, answer_ms = _ask(seen.door) if seen.door else (seen.silent_s, seen.answer_ms)
    return Health(
        silent_s,
        seen.interval_s,
        answer_ms,
        seen.is_starting,
        tuple(each.code for each in alerts if each.is_open and each.urgency is Urgency.CRITICAL),
        sum(each.made_ms < now_ms - _HOUR_MS for each in waiting),
        history.read_maintenance() is not None,
    )


def _ask(door: Door) -> tuple[float | None, int | None]:
    answer = Probe(door.port, door.host, door.tls).ask(HEALTH, door.timeout_s)
    is_good = answer.kind == "ok" or (door.takes_any_page and answer.serves)
    return (0.0, round(1000 * answer.latency_s)) if is_good else (None, None)
