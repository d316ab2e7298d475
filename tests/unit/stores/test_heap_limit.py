"""One reading of the heap limit: who tells it first counts, and a shell is no certainty."""

from __future__ import annotations

import pytest

from tailflip.base.durable import RealDisk
from tailflip.base.errors import Usage
from tailflip.base.workspace import Workspace
from tailflip.config.load import Config, GatewaySettings, HealSettings
from tailflip.flow.outcomes import HeapLimit
from tailflip.ledger.history import History
from tailflip.observe.gateway import heap
from tailflip.observe.gateway.heap import HeapOwner
from tailflip.observe.next_start import Owners
from tailflip.stores.heap_limit import find_limit, find_started_limit, find_told_limit


@pytest.fixture(autouse=True)
def new_process():
    heap._answers.clear()


@pytest.fixture
def history(home):
    return History(Workspace(home, RealDisk()), "/state")


@pytest.fixture
def owner(tmp_path):
    """Somebody whose node answers with a number."""

    def make(who, number=None, **more):
        node = tmp_path / f"node-{who}"
        node.write_text(f"#!/bin/sh\nprintf {number}\n" if number else "#!/bin/sh\nexit 1\n")
        node.chmod(0o755)
        return HeapOwner(who, {}, str(node), **more)

    return make


def find(history, *, living=None, services=(), shell, may_recall=True, config=None):
    owners = Owners(living, tuple(services), shell, may_recall)
    return find_limit(config or Config(), owners, history)


def test_each_source_counts_before_the_next(owner, history):
    shell = owner("shell", 4)
    find_started_limit(Config(), owner("ours", 3), history)
    service, living = owner("unit", 2), owner("living", 1)
    told = [
        find(history, living=living, services=[service], shell=shell),
        find(history, services=[service], shell=shell),
        find(history, shell=shell),
        find(None, shell=shell),
    ]
    assert [each.bytes for each in told] == [1, 2, 3, 4]
    assert [each.is_known for each in told] == [True, True, True, False]
    assert told[2].source.startswith("at its last start by tailflip: ours: ")
    assert told[3].source.startswith("shell: ")


def test_a_doubtful_source_makes_way_for_a_sure_one(owner, history):
    living = owner("living", 1, doubt="arguments")
    shell = owner("shell", 4)
    assert find(history, living=living, services=[owner("unit", 2)], shell=shell).bytes == 2
    alone = find(history, living=living, shell=shell)
    assert (alone.bytes, alone.is_known) == (1, False)
    find_started_limit(Config(), owner("ours", 3), history)
    assert find(history, living=living, shell=shell).bytes == 3
    # What is on record is of another life than this one.
    assert find(history, living=living, shell=shell, may_recall=False).bytes == 1


def test_a_recorded_start_of_an_unknown_command_is_a_doubt(owner, history):
    """`gate -- sh -c ...` may set another heap inside."""
    find_started_limit(Config(), owner("ours", 3, doubt="a shell"), history)
    found = find(history, shell=owner("shell", 4))
    assert (found.bytes, found.is_known) == (3, False)


def test_two_definitions_that_disagree_are_the_smaller_one_and_a_doubt(owner, history):
    found = find(history, services=[owner("a", 9), owner("b", 5)], shell=owner("shell"))
    assert (found.bytes, found.is_known) == (5, False)
    assert "another service says otherwise" in found.source
    found = find(history, services=[owner("a", 9), owner("c", 9)], shell=owner("shell"))
    assert (found.bytes, found.is_known) == (9, True)


def test_nobody_knows(owner):
    found = find(None, shell=owner("shell"))
    assert (found.bytes, found.is_known) == (None, False)
    assert found.source.startswith("unknown")


def test_what_a_person_says_needs_no_node():
    config = Config(gateway=GatewaySettings(heap_limit="2gb"), heal=HealSettings(margin=0.5))
    assert find_told_limit(config) == HeapLimit(2 << 30, "gateway.heap_limit", 0.5)
    assert find_told_limit(config, "1gb") == HeapLimit(1 << 30, "--heap-limit", 0.5)
    assert find_told_limit(Config()) is None
    with pytest.raises(Usage, match="not a size"):
        find_told_limit(config, "big")


def test_the_margin_is_that_of_the_settings(owner, history):
    config = Config(heal=HealSettings(margin=0.5))
    assert find(history, shell=owner("shell", 4), config=config).margin == 0.5
    assert find_started_limit(config, owner("ours", 3), history).margin == 0.5


def test_a_start_asks_node_once_and_then_the_record(owner, history, tmp_path):
    node = owner("ours", 3)
    assert find_started_limit(Config(), node, history).bytes == 3
    heap._answers.clear()
    (tmp_path / "node-ours").chmod(0o600)
    assert find_started_limit(Config(), node, history).bytes == 3
    tight = HeapOwner("ours", {}, node.node, memory_bytes=2)
    heap._answers.clear()
    (tmp_path / "node-ours").chmod(0o755)
    assert find_started_limit(Config(), tight, history).bytes == 2
