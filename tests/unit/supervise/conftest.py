"""A gateway with a state directory of its own, guarded as nothing but its files."""

from __future__ import annotations

import pytest

from tailflip.config.load import load
from tailflip.supervise.context import GuardedGateway


@pytest.fixture
def make_gateway(tmp_path):
    state = tmp_path / "openclaw"
    state.mkdir()
    (state / "openclaw.json").write_text('{"gateway": {"port": 1111}}')
    env = {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path / "bin"),
        "OPENCLAW_STATE_DIR": str(state),
        "TAILFLIP_STATE_DIR": str(tmp_path / "tailflip"),
        "TMPDIR": str(tmp_path),
    }

    def make(command=("openclaw", "gateway", "run"), flags=None, more=None):
        config = load(env, {"restart.jitter": "0", **(flags or {})}).config
        return GuardedGateway.prepare(command, {**env, **(more or {})}, config)

    return make


@pytest.fixture
def state(tmp_path):
    return tmp_path / "openclaw"
