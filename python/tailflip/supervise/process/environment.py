"""Builds the environment of a guarded gateway, so that it knows that tailflip restarts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.base.sdnotify import VARIABLES as NOTIFY_VARIABLES
from tailflip.supervise.safe_start import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.lives import SafeMode

# With one of these set, the gateway believes that systemd or launchd starts it again.
_HINTS = (
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "JOURNAL_STREAM",
    "OPENCLAW_SYSTEMD_UNIT",
    "LAUNCH_JOB_LABEL",
    "LAUNCH_JOB_NAME",
    "XPC_SERVICE_NAME",
    "OPENCLAW_LAUNCHD_LABEL",
)
# These are addressed to us, not to our child.
_OURS = (*NOTIFY_VARIABLES, "LISTEN_FDS", "LISTEN_PID")


def build_environment(
    env: Mapping[str, str],
    life_id: str,
    *,
    external_mode: bool,
    safe: SafeMode | None = None,
) -> dict[str, str]:
    """Make a gateway's environment from ours.

    Args:
        env: ours.
        life_id: marks the process and its descendants as part of this life.
        external_mode: the release knows `OPENCLAW_SUPERVISOR_MODE=external` (2026.8.1 and
            later); an older one is told to restart in its own process instead.
        safe: what this start leaves out.
    """
    made = clean(env)
    made[LIFE_VARIABLE] = life_id
    if safe is not None:
        made[VARIABLES[safe]] = "1"
    if external_mode:
        made["OPENCLAW_SUPERVISOR_MODE"] = "external"
        made["OPENCLAW_SERVICE_REPAIR_POLICY"] = "external"
    else:
        made["OPENCLAW_NO_RESPAWN"] = "1"
    return made


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Take out what is addressed to us, and what speaks of the service that we are."""
    return {name: value for name, value in env.items() if name not in (*_HINTS, *_OURS)}
