"""Command lines tell which processes are gateways."""

from __future__ import annotations

import pytest

from tailflip.base import platform_calls
from tailflip.observe.gateway.processes import is_serving

pytestmark = pytest.mark.skipif(
    not isinstance(platform_calls.here, platform_calls.Linux), reason="asks /proc"
)


@pytest.mark.parametrize(
    ("argv", "serves"),
    [
        ("openclaw-gateway", True),
        ("node /opt/openclaw/openclaw.mjs gateway", True),
        ("node /opt/openclaw/dist/index.js gateway --port 18789", True),
        ("/usr/bin/openclaw --profile x gateway run --verbose", True),
        ("bun /srv/clawdbot/dist/entry.js gateway", True),
        ("openclaw gateway status", False),
        ("node /opt/openclaw/openclaw.mjs gateway call health", False),
        ("openclaw", False),
        ("openclaw cron list", False),
        ("docker mcp gateway run", False),
        ("node worker.js", False),
    ],
)
def test_command_lines_of_gateways(argv, serves):
    assert is_serving(argv.split()) is serves
