"""A real death of the real gateway, found out and cured by `tailflip run`, in seconds.

A small store and a small heap stand for the incident's, so that every test run can have
it. Skipped where the packages cannot be had.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import guarded
import pytest
import real_gateway

from tailflip.demo.incident import write_incident
from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.quick_gateway, pytest.mark.timeout(900)]

MB = 1_000_000


@pytest.mark.parametrize(
    ("version", "size_bytes", "heap_mib"),
    [("2026.3.28", 60 * MB, 256), ("2026.4.14", 20 * MB, 400)],
)
def test_gateway_that_dies_at_every_start_is_cured(
    version: str, size_bytes: int, heap_mib: int, tmp_path: Path
) -> None:
    install = guarded.install_or_skip(version)
    state = tmp_path / "state"
    now_ms = int(time.time() * 1000)
    store = write_incident(state, size_bytes=size_bytes, now_ms=now_ms)["store"]
    chats = {key for key in json.loads(store.read_bytes()) if ":cron:" not in key}
    port = real_gateway.configure(state)
    with guarded.run(
        install, state, *guarded.WITHOUT_ADMISSION, port=port, heap_mib=heap_mib
    ) as running:
        running.wait_for_life(2, 240)
        died = running.lives()[0]
        assert died.death is not None
        assert died.death.cause is Cause.V8_HEAP
        assert died.cured
        assert running.stays_up(3), running.tell()
        assert store.stat().st_size < size_bytes / 10
        assert chats <= json.loads(store.read_bytes()).keys()
    assert running.process.returncode == 0
    assert len(running.deaths()) == 1
