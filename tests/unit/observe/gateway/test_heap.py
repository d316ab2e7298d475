"""How much heap a gateway may use: what its node says, by its own options and its own cgroup."""

from __future__ import annotations

from functools import partial

import pytest

from tailflip.base import platform_calls
from tailflip.base.platform_calls import Linux
from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.gateway import heap
from tailflip.observe.gateway.cgroup import read_limit
from tailflip.observe.gateway.heap import HeapOwner, read_heap_limit


@pytest.fixture(autouse=True)
def new_process():
    """No test knows another one's answers."""
    heap._answers.clear()


def ask(env, node=None, flags=()):
    return read_heap_limit(HeapOwner.of_ours("", env, node, flags))


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
    limit = ask({"NODE_OPTIONS": options, "SECRET": "x"}, node)
    assert limit.bytes == 123
    assert "--max-old-space-size=400" in limit.source
    assert (tmp_path / "node.seen").read_text() == "--max-old-space-size=400|\n"


@pytest.mark.usefixtures("no_cgroup")
@pytest.mark.parametrize("body", ["exit 9", "echo words", "true"])
def test_a_node_that_does_not_answer_is_unknown(tmp_path, body):
    limit = ask({}, script(tmp_path / "node", body))
    assert limit.bytes is None
    assert not limit.is_known
    assert "unknown" in limit.source


@pytest.mark.usefixtures("no_cgroup")
def test_no_node_is_unknown(tmp_path):
    assert ask({"PATH": str(tmp_path)}).bytes is None


def test_the_tightest_cgroup_on_the_way_up_bounds_the_heap(cgroups, tmp_path):
    unit = tmp_path / "user.slice/gateway.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text("max\n")
    (unit.parent / "memory.max").write_text("5000\n")
    (tmp_path / "memory.max").write_text("9000\n")
    (cgroups / "proc/self/cgroup").write_text("0::/user.slice/gateway.service\n")
    node = script(tmp_path / "node", "echo 7000")
    assert ask({}, node) == HeapLimit(5000, "memory limit of the cgroup")
    assert ask({}, script(tmp_path / "small", "echo 4000")).bytes == 4000
    assert ask({"PATH": "/nowhere"}).bytes == 5000


def test_a_container_whose_path_is_not_mounted_has_its_limit_at_the_root(cgroups, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("600\n")
    (tmp_path / "memory.max").write_text("9223372036854771712\n")
    text = "12:cpu,memory:/docker/abc\n1:cpu:/x\n0::/../..\ngarbage\n"
    (cgroups / "proc/self/cgroup").write_text(text)
    assert ask({"PATH": "/nowhere"}).bytes == 600


@pytest.mark.usefixtures("cgroups")
def test_the_cgroup_of_the_living_gateway_counts_and_not_ours(tmp_path):
    for name, limit in (("ours", 10), ("theirs", 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "proc/77").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("0::/ours\n")
    (tmp_path / "proc/77/cgroup").write_text("0::/theirs\n")
    assert ask({"PATH": "/nowhere"}).bytes == 10
    theirs = HeapOwner("pid 77", {"PATH": "/nowhere"}, memory_bytes=heap.read_limit(77))
    assert read_heap_limit(theirs) == HeapLimit(20, "pid 77: memory limit of the cgroup")


@pytest.mark.usefixtures("no_cgroup")
def test_the_reserve_that_v8_adds_is_told(tmp_path):
    """`--max-old-space-size=400` was shown as 620.8 MB, and nobody knew why."""
    node = script(tmp_path / "node", f"echo {592 << 20}")
    found = ask({"NODE_OPTIONS": "--max-old-space-size=400"}, node)
    assert found.source == f"{node} --max-old-space-size=400 and V8's reserve of 201.3 MB"
    assert ask({}, node).source == node
    # The last one counts, and the command's come after NODE_OPTIONS.
    found = ask({"NODE_OPTIONS": "--max-old-space-size=9"}, node, ("--max-old-space-size=592",))
    assert found.source.endswith("--max-old-space-size=9 --max-old-space-size=592")


@pytest.mark.usefixtures("no_cgroup")
def test_who_is_asked_is_named_and_what_could_not_be_read_is_no_certainty(tmp_path):
    node = script(tmp_path / "node", "echo 77")
    owner = HeapOwner("pid 5", {}, node)
    assert read_heap_limit(owner) == HeapLimit(77, f"pid 5: {node}")
    owner = HeapOwner("pid 5", {}, node, doubt="its arguments cannot be read")
    expected = HeapLimit(77, f"pid 5: {node}; its arguments cannot be read", is_known=False)
    assert read_heap_limit(owner) == expected
