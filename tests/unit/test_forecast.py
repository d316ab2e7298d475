"""The forecast says what the real gateway was seen to do."""

from __future__ import annotations

import pytest

from tailflip.observe import heap
from tailflip.observe.heap import read_heap_limit
from tailflip.plan.forecast import forecast

MB = 1_000_000
MIB = 1 << 20


@pytest.mark.parametrize(
    ("store_mb", "wide", "limit_mib", "dies"),
    [
        (185, False, 2240, True),
        (185, True, 2240, True),
        (185, False, 4288, False),
        (185, True, 4288, True),
        (200, False, 4288, True),
        (120, False, 2240, True),
        (90, False, 2240, False),
        (30, False, 2240, False),
        (20, False, 592, True),
        (1, False, 592, False),
        (1, False, 448, False),
    ],
)
def test_measured_outcomes(store_mb, wide, limit_mib, dies):
    assert forecast([store_mb * MB], wide, limit_mib * MIB, "measured").over == dies


def test_all_stores_count_together():
    one = forecast([90 * MB], False, 2240 * MIB, "s")
    two = forecast([90 * MB, 90 * MB], False, 2240 * MIB, "s")
    assert not one.over
    assert two.over
    assert two.heap_bytes - one.heap_bytes == 90 * MB * 22


def test_an_unknown_limit_is_never_exceeded():
    assert not forecast([10**12], True, None, "unknown").over


def script(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def no_cgroup(monkeypatch, tmp_path):
    monkeypatch.setattr(heap, "_CGROUPS", tmp_path / "none")


@pytest.mark.usefixtures("no_cgroup")
def test_node_is_asked_with_the_gateways_heap_options_only(tmp_path):
    node = script(tmp_path / "node", 'echo "$NODE_OPTIONS|$SECRET" >"$0.seen"; echo 123')
    options = "--require ./evil.js --max_old_space_size=400 --inspect"
    limit, source = read_heap_limit({"NODE_OPTIONS": options, "SECRET": "x"}, node)
    assert limit == 123
    assert "--max-old-space-size=400" in source
    assert (tmp_path / "node.seen").read_text() == "--max-old-space-size=400|\n"


@pytest.mark.usefixtures("no_cgroup")
@pytest.mark.parametrize("body", ["exit 9", "echo words", "true"])
def test_a_node_that_does_not_answer_is_unknown(tmp_path, body):
    limit, source = read_heap_limit({}, script(tmp_path / "node", body))
    assert limit is None
    assert "unknown" in source


@pytest.mark.usefixtures("no_cgroup")
def test_no_node_is_unknown(tmp_path):
    assert read_heap_limit({"PATH": str(tmp_path)})[0] is None


def test_the_tightest_cgroup_on_the_way_up_bounds_the_heap(tmp_path, monkeypatch):
    monkeypatch.setattr(heap, "_CGROUPS", tmp_path)
    unit = tmp_path / "user.slice/gateway.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text("max\n")
    (unit.parent / "memory.max").write_text("5000\n")
    (tmp_path / "memory.max").write_text("9000\n")
    monkeypatch.setattr(
        heap, "_read_text", fake_proc(heap._read_text, "0::/user.slice/gateway.service\n")
    )
    node = script(tmp_path / "node", "echo 7000")
    assert read_heap_limit({}, node) == (5000, "memory limit of the cgroup")
    assert read_heap_limit({}, script(tmp_path / "small", "echo 4000"))[0] == 4000
    assert read_heap_limit({"PATH": "/nowhere"})[0] == 5000


def test_a_container_whose_path_is_not_mounted_has_its_limit_at_the_root(tmp_path, monkeypatch):
    monkeypatch.setattr(heap, "_CGROUPS", tmp_path)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("600\n")
    (tmp_path / "memory.max").write_text("9223372036854771712\n")
    text = "12:cpu,memory:/docker/abc\n1:cpu:/x\n0::/../..\ngarbage\n"
    monkeypatch.setattr(heap, "_read_text", fake_proc(heap._read_text, text))
    assert read_heap_limit({"PATH": "/nowhere"})[0] == 600


def fake_proc(real, text):
    return lambda path: text if str(path).startswith("/proc/") else real(path)
