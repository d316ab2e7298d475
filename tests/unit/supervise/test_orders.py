"""What an errand is told: nothing, where nobody is to be told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tailflip.config.load import Config
from tailflip.config.telling import AlertsSettings, DestinationSettings, HeartbeatSettings
from tailflip.supervise.orders import make_order

TO = {"page": DestinationSettings(exec=Path("/bin/true"))}
BEAT = HeartbeatSettings(url_file=Path("/srv/beat.url"))


@pytest.mark.parametrize(
    ("config", "is_made"),
    [
        (Config(), False),
        (Config(alerts=AlertsSettings(enabled=True)), False),
        (Config(alerts=AlertsSettings(to=TO)), True),
        (Config(alerts=AlertsSettings(to=TO, enabled=False)), False),
        (Config(heartbeat=BEAT), True),
        (Config(alerts=AlertsSettings(to=TO, enabled=False), heartbeat=BEAT), True),
    ],
)
def test_an_order_is_made_where_somebody_is_to_be_told(config, is_made):
    assert (make_order("/g", config, {}) is not None) is is_made


def test_a_heartbeat_may_be_handed_over_by_systemd_alone(tmp_path):
    (tmp_path / "heartbeat").write_text("https://x/y")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    order = json.loads(make_order("/g", Config(), env, silent_s=3.0))
    assert order["seen"] == {"interval_s": 15.0, "silent_s": 3.0}


def test_writing_an_order_imports_nothing_that_sends():
    script = "import sys, tailflip.supervise.orders as o; from tailflip.supervise.process import "
    script += "errands; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "tailflip.supervise.process.errands" in loaded
    assert not loaded & {"ssl", "http.client", "smtplib", "urllib.request", "asyncio"}
