"""An agent's database in each known version, and a place of our own for what is taken out."""

from __future__ import annotations

import pytest

from support.agent_database import VERSIONS, make_database
from support.stores import make_entries
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace


@pytest.fixture(params=VERSIONS)
def path(tmp_path, request):
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries(), request.param)
    return path


@pytest.fixture
def workspace(tmp_path):
    return Workspace(Home(tmp_path / "tailflip"), RealDisk())
