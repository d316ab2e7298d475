"""The forecast says what the real gateway was seen to do."""

from __future__ import annotations

from functools import partial

import pytest

from tailflip.base import platform_calls
from tailflip.base.platform_calls import Linux
from tailflip.observe.gateway import heap
from tailflip.observe.gateway.cgroup import read_limit
from tailflip.observe.gateway.heap import read_heap_limit
from tailflip.plan.forecast import (
    BASE_BYTES,
    FACTOR,
    factor_for,
    forecast,
    is_measured,
    may_fill_heap,
)

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


# Limits in MiB as node reports them: --max-old-space-size plus 192.
@pytest.mark.parametrize(
    ("version", "store_mb", "wide", "limit_mib", "dies"),
    [
        # 2026.3.28 at work: cron runs, agent turns, lists
        ((2026, 3, 28), 185, False, 4288, False),
        ((2026, 3, 28), 185, False, 2240, True),
        ((2026, 3, 28), 185, False, 960, True),
        ((2026, 3, 28), 185, True, 2240, True),
        ((2026, 3, 28), 185, True, 4288, False),
        ((2026, 3, 28), 300, False, 2240, True),
        ((2026, 3, 28), 300, False, 4288, False),
        ((2026, 3, 28), 500, False, 4288, True),
        ((2026, 3, 28), 400, True, 4288, True),
        ((2026, 3, 28), 60, False, 448, True),
        ((2026, 3, 28), 1, False, 448, False),
        ((2026, 3, 28), 16, False, 448, False),
        # 2026.4.14 at its start
        ((2026, 4, 14), 185, False, 2240, True),
        ((2026, 4, 14), 185, False, 4288, False),
        ((2026, 4, 14), 185, True, 4288, True),
        ((2026, 4, 14), 200, False, 4288, True),
        ((2026, 4, 14), 120, False, 2240, True),
        ((2026, 4, 14), 90, False, 2240, False),
        ((2026, 4, 14), 20, False, 592, True),
        ((2026, 4, 14), 16, False, 592, True),
        ((2026, 4, 14), 13.5, False, 592, True),
        ((2026, 4, 14), 11, False, 592, False),
        ((2026, 4, 14), 1, False, 592, False),
        # 2026.9.6, import and first sweep
        ((2026, 9, 6), 185, False, 512, True),
        ((2026, 9, 6), 185, False, 576, True),
        ((2026, 9, 6), 185, False, 640, True),
        ((2026, 9, 6), 185, False, 704, True),
        ((2026, 9, 6), 185, False, 560, True),  # container of 1 GiB
        ((2026, 9, 6), 185, False, 1120, False),  # container of 2 GiB
        ((2026, 9, 6), 185, False, 1216, False),
        ((2026, 9, 6), 185, False, 4288, False),
        ((2026, 9, 6), 60, False, 4288, False),
        ((2026, 9, 6), 60, False, 576, False),
        ((2026, 9, 6), 1, False, 576, False),
    ],
)
def test_measured_outcomes_of_a_release(version, store_mb, wide, limit_mib, dies):
    factor, base_bytes = factor_for(version, legacy_import=True)
    told = forecast([store_mb * MB], wide, limit_mib * MIB, "measured", factor, base_bytes)
    assert told.over == dies, told


@pytest.mark.parametrize(("limit_mib", "dies"), [(560, True), (704, True), (1216, False)])
def test_measured_outcomes_of_an_imported_database(limit_mib, dies):
    factor, base_bytes = factor_for((2026, 9, 6), legacy_import=False)
    told = forecast([106_127_360], False, limit_mib * MIB, "measured", factor, base_bytes)
    assert told.over == dies, told


def test_what_admission_leaves_fits_where_the_loop_was_measured():
    """2026.9.6 with 384 MB of heap must start on what is left, margin of a tenth included."""
    factor, base_bytes = factor_for((2026, 9, 6), legacy_import=True)
    left = forecast([20 * MB], False, int(576 * MIB * 0.9), "measured", factor, base_bytes)
    assert not left.over


@pytest.mark.parametrize("version", [(2026, 3, 29), (2026, 4, 14), (2026, 7, 35)])
def test_a_release_between_two_measured_ones_counts_as_the_hungrier(version):
    assert factor_for(version, legacy_import=False) == factor_for((2026, 4, 14), False)


def test_only_what_was_measured_counts_as_that():
    assert is_measured((2026, 4, 14))
    assert is_measured((2026, 9, 6))
    assert not any(
        map(is_measured, [None, (2026, 4, 13), (2026, 5, 28), (2026, 7, 35), (2026, 9, 7)])
    )


@pytest.mark.parametrize(
    ("version", "store_mb", "limit_mib"),
    [
        ((2026, 5, 28), 13.5, 592),
        ((2026, 5, 28), 20, 592),
        ((2026, 5, 28), 60, 592),
        ((2026, 5, 28), 90, 2240),
        ((2026, 5, 28), 110, 592),
        ((2026, 7, 35), 110, 448),
        ((2026, 7, 35), 185, 592),
        ((2026, 7, 35), 250, 592),
    ],
)
def test_stores_that_killed_a_release_without_a_fit_are_among_the_suspects(
    version, store_mb, limit_mib
):
    factor, base_bytes = factor_for(version, legacy_import=False)
    limit_bytes = limit_mib * MIB
    told = forecast([int(store_mb * MB)], False, limit_bytes, "s", factor, base_bytes)
    assert may_fill_heap(told, base_bytes, limit_bytes)


@pytest.mark.parametrize(
    ("store_mb", "limit_bytes", "may"),
    [
        (0.07, 4_496 * MB, False),  # openclaw/openclaw #82401
        (90, 2_349 * MB, True),  # fits by 39 MB
        (40, 2_349 * MB, False),
        (50, 2_349 * MB, True),
        (1, None, False),
        (10, None, True),
    ],
)
def test_what_may_have_filled_a_heap(store_mb, limit_bytes, may):
    factor, base_bytes = factor_for((2026, 4, 14), legacy_import=False)
    told = forecast([int(store_mb * MB)], False, limit_bytes, "s", factor, base_bytes)
    assert may_fill_heap(told, base_bytes, limit_bytes) is may


def test_an_unknown_release_gets_the_hungriest_factor_and_is_not_refused_for_nothing():
    assert factor_for(None, legacy_import=False) == (FACTOR, BASE_BYTES)
    assert max(factor_for((2026, month, 1), True)[0] for month in range(1, 13)) <= FACTOR
    assert min(factor_for((2026, month, 1), True)[1] for month in range(1, 13)) >= BASE_BYTES


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
def cgroups(monkeypatch, tmp_path):
    """Where a test lays out its cgroups, and `proc/self/cgroup` that says which of them is ours."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    monkeypatch.setattr(platform_calls, "here", Linux(proc))
    monkeypatch.setattr(heap, "read_limit", partial(read_limit, root=tmp_path))
    return tmp_path


@pytest.fixture
def no_cgroup(cgroups):
    """Nothing is laid out."""


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


def test_the_tightest_cgroup_on_the_way_up_bounds_the_heap(cgroups, tmp_path):
    unit = tmp_path / "user.slice/gateway.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text("max\n")
    (unit.parent / "memory.max").write_text("5000\n")
    (tmp_path / "memory.max").write_text("9000\n")
    (cgroups / "proc/self/cgroup").write_text("0::/user.slice/gateway.service\n")
    node = script(tmp_path / "node", "echo 7000")
    assert read_heap_limit({}, node) == (5000, "memory limit of the cgroup")
    assert read_heap_limit({}, script(tmp_path / "small", "echo 4000"))[0] == 4000
    assert read_heap_limit({"PATH": "/nowhere"})[0] == 5000


def test_a_container_whose_path_is_not_mounted_has_its_limit_at_the_root(cgroups, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("600\n")
    (tmp_path / "memory.max").write_text("9223372036854771712\n")
    text = "12:cpu,memory:/docker/abc\n1:cpu:/x\n0::/../..\ngarbage\n"
    (cgroups / "proc/self/cgroup").write_text(text)
    assert read_heap_limit({"PATH": "/nowhere"})[0] == 600


@pytest.mark.usefixtures("cgroups")
def test_the_cgroup_of_the_living_gateway_counts_and_not_ours(tmp_path):
    for name, limit in (("ours", 10), ("theirs", 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "proc/77").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("0::/ours\n")
    (tmp_path / "proc/77/cgroup").write_text("0::/theirs\n")
    assert read_heap_limit({"PATH": "/nowhere"})[0] == 10
    assert read_heap_limit({"PATH": "/nowhere"}, pid=77)[0] == 20
