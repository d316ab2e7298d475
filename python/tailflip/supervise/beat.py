"""What a timer does beside a gateway that a gate started, and that has no guard.

It looks around without reading a store, has people told what waits, and sends the heartbeat, for
which the gateway is asked. It finds a gateway that died and was not started again, and a guard that
was killed. systemd starts it too, once it gives a unit up.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tailflip.alerts.background import step_back
from tailflip.alerts.errand import LAST_S, read_order, run_errand
from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.telling import HeartbeatSettings
from tailflip.ledger.history import History
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import locate
from tailflip.observe.next_start import find_next_start
from tailflip.stores.settings import read_settings
from tailflip.supervise.gone import note_gone, note_lost_guard
from tailflip.supervise.orders import describe_door, make_order
from tailflip.supervise.quick_findings import find_quickly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.config.schema import Config
    from tailflip.flow.capabilities import Capabilities
    from tailflip.observe.installation import Installation

# A timer comes every five minutes: what is due before its next turn is due now.
_SLACK_S = 60.0
# Enough for `alerts.down_after_s` and `alerts.gather_s`, as they are without a setting.
_GIVEN_UP_S = 240.0


def beat(state_dir: Path, env: Mapping[str, str], *, is_given_up: bool = False) -> None:
    """Look around, tell, and send the heartbeat; where nobody is to be told, do nothing.

    Args:
        state_dir: the gateway's.
        env: ours.
        is_given_up: systemd gave its unit up. Nobody comes again soon, so what is due within
            minutes is waited for; and there is no heartbeat, whose silence is to be heard.

    Raises:
        TailflipError: there is no such installation.
    """
    signal.alarm(LAST_S)
    step_back()
    log.start("warning")
    home = Home.locate(env)
    workspace = Workspace(home, RealDisk())
    config = read_settings(env, workspace, state_dir=state_dir).config
    if is_given_up:
        config = config.model_copy(update={"heartbeat": HeartbeatSettings()})
    installation = locate(env, state_dir=state_dir)
    history = History(workspace, os.path.realpath(state_dir))
    last = history.lives.recall_last()
    can = find_next_start(installation, env, last=last).release.capabilities
    order = make_order(
        history.guard,
        config,
        env,
        slack_s=_SLACK_S,
        door=describe_door(config, installation, can),
    )
    if order is None:
        return
    until_s = clock.monotonic_s() + (_GIVEN_UP_S if is_given_up else 0.0)
    while True:
        _look_around(history, installation, config, env, can)
        due_ms = run_errand(history, read_order(order), env)
        left_s = until_s - clock.monotonic_s()
        wait_s = left_s + 1 if due_ms is None else (due_ms - clock.now_ms()) / 1000
        if wait_s > left_s:
            return
        clock.sleep_s(max(1.0, wait_s))


def _look_around(
    history: History,
    installation: Installation,
    config: Config,
    env: Mapping[str, str],
    can: Capabilities,
) -> None:
    now_ms = clock.now_ms()
    try:
        gateway = read_gateway(installation, env)
        history.lives.count_down(now_ms)
        note_lost_guard(history, now_ms)
        note_gone(history, installation, gateway, config.gateway.service, env)
        root = history.workspace.home.root
        looked = find_quickly(installation, gateway, root, now_ms, capabilities=can)
        history.findings.note(looked.findings, now_ms, looked.codes)
    except (TailflipError, OSError) as e:
        log.error("could not look around", error=e)
