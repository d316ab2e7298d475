"""How often a gateway is measured, and when its growth is told."""

from __future__ import annotations

import pytest

from support.incident_history import make_life
from tailflip.base import clock
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.observe.gateway.vitals import Vitals
from tailflip.supervise.memory_watch import MemoryWatch
from tailflip.supervise.process.child import Child
from tailflip.supervise.process.guarded import Service

MB = 1_000_000


@pytest.fixture
def watched(make_gateway, monkeypatch):
    """A watch whose gateway uses what a test says; `look(rss)` measures once."""
    flags = {"gateway.heap_limit": "1000mb", "memory.interval_s": "15"}
    gateway = make_gateway(flags=flags)
    life = make_life("a", 0)
    made = MemoryWatch(gateway)
    made.begin(life)
    now_ms = [0]
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms[0])
    service = Service(gateway, life, Child(1, 1, None), None, None)

    def look(rss_bytes, *, ready=True, at_ms=None):
        now_ms[0] = at_ms if at_ms is not None else now_ms[0] + 15_000
        service.life = service.life.model_copy(update={"ready_ms": 1 if ready else None})
        processes = 0 if rss_bytes is None else 2
        service.measure = lambda: Vitals(rss_bytes or 0, processes, 0.0)
        return made.measure(service)

    made.look, made.service = look, service
    return made


def test_a_quiet_gateway_is_looked_at_rarely_and_a_full_one_often(watched):
    limit = 1000 << 20
    assert watched.look(int(limit * 0.3)) == 15
    assert watched.look(int(limit * 0.69)) == 15
    assert watched.look(int(limit * 0.75)) == 2  # and growing
    assert watched.look(int(limit * 0.76)) == 15  # full, and still
    assert watched.look(int(limit * 1.1)) == 2
    assert watched.look(None) == 15


def test_one_that_starts_is_looked_at_every_second(watched):
    assert watched.look(10 * MB, ready=False) == 1


def test_growth_towards_the_limit_is_told_in_time(watched):
    limit = 1000 << 20
    for minute in range(60):
        watched.look(int(limit * (0.5 + 0.4 * minute / 60)), at_ms=minute * 60_000)
    trend = watched.find_trend(59 * 60_000)
    assert trend is not None
    (finding,) = find_all(Inputs(memory_trends=(trend,))).findings
    assert finding.code == "memory-trend"
    assert "about" in finding.message
    watched.begin(watched.service.life)
    assert watched.find_trend(59 * 60_000) is None  # another life's memory is no trend


def test_a_still_gateway_has_no_trend(watched):
    for minute in range(60):
        watched.look(500 * MB + minute % 3 * 1000, at_ms=minute * 60_000)
    assert watched.find_trend(59 * 60_000) is None


def test_how_it_is_in_one_line(watched):
    watched.look(400 * MB)
    text = watched.describe(watched.service)
    assert "gateway pid 1" in text
    assert "memory 400.0 MB" in text
    assert "\n" not in text
