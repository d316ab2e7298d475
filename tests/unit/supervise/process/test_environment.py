"""Who restarts whom must be clear to a guarded gateway."""

from __future__ import annotations

import pytest

from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.supervise.process.environment import build_environment

HINTS = {
    "INVOCATION_ID": "0123",
    "SYSTEMD_EXEC_PID": "1",
    "JOURNAL_STREAM": "8:1",
    "OPENCLAW_SYSTEMD_UNIT": "openclaw-gateway.service",
    "LAUNCH_JOB_LABEL": "x",
    "LAUNCH_JOB_NAME": "x",
    "XPC_SERVICE_NAME": "x",
    "OPENCLAW_LAUNCHD_LABEL": "x",
}
OURS = {
    "NOTIFY_SOCKET": "/run/n",
    "WATCHDOG_PID": "1",
    "WATCHDOG_USEC": "1",
    "LISTEN_FDS": "1",
    "LISTEN_PID": "1",
}


@pytest.mark.parametrize("external_mode", [True, False])
def test_hints_of_another_manager_are_taken_away_and_the_rest_is_kept(external_mode):
    kept = {"HOME": "/h", "PATH": "/bin", "NODE_OPTIONS": "--max-old-space-size=512"}
    made = build_environment({**kept, **HINTS, **OURS}, "life-1", external_mode=external_mode)
    assert made.items() >= kept.items()
    assert not set(made) & (set(HINTS) | set(OURS))


def test_a_release_that_knows_a_supervisor_is_told_that_there_is_one():
    made = build_environment({}, "life-1", external_mode=True)
    assert made == {
        LIFE_VARIABLE: "life-1",
        "OPENCLAW_SUPERVISOR_MODE": "external",
        "OPENCLAW_SERVICE_REPAIR_POLICY": "external",
    }


def test_an_older_release_is_told_to_restart_in_its_own_process():
    made = build_environment({LIFE_VARIABLE: "before"}, "life-2", external_mode=False)
    assert made == {LIFE_VARIABLE: "life-2", "OPENCLAW_NO_RESPAWN": "1"}
