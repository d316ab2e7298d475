"""What an errand is told: the settings that count, and what its guard knows of the gateway.

The order is written without the classes that read it: they import what a guard must not.
`alerts.errand.Order` is its form.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tailflip.flow.values import to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.config.schema import Config
    from tailflip.flow.capabilities import Capabilities
    from tailflip.observe.installation import Installation


def make_order(
    guard: str,
    config: Config,
    env: Mapping[str, str],
    *,
    slack_s: float = 0.0,
    **seen: object,
) -> bytes | None:
    """Make an order; None where nobody is to be told, and no heartbeat is wanted.

    Args:
        guard: the gateway's name.
        config: its settings.
        env: ours; systemd hands addresses over by it.
        slack_s: a heartbeat that is due within it is sent now.
        seen: the fields of `alerts.errand.Seen` that the guard knows.
    """
    if not (config.alerts.is_on or config.heartbeat.is_on(env)):
        return None
    order = {
        "guard": guard,
        "alerts": config.alerts,
        "heartbeat": config.heartbeat,
        "patience_s": config.health.start_patience_s,
        "slack_s": slack_s,
        "seen": {"interval_s": config.health.interval_s, **seen},
    }
    return json.dumps(to_plain(order)).encode()


def describe_door(
    config: Config, installation: Installation, can: Capabilities
) -> dict[str, object]:
    """Describe where the gateway is asked, for a guard that does not ask it."""
    return {
        "port": config.gateway.port or installation.port,
        "tls": installation.tls,
        "timeout_s": config.health.timeout_s,
        "takes_any_page": can.lacks_health_probe,
    }
