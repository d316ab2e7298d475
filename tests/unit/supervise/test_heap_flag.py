"""After a death of its task ledger a gateway gets node's own limit as a flag, once and for good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.breaker_worlds import make_seen
from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Cause, Clues
from tailflip.supervise import heap_flag
from tailflip.supervise.heap_flag import add_heap, choose_heap, give_heap

TASKS = make_seen(Cause.TASK_LEDGER)
LIMIT = {"gateway.heap_limit": f"{4480 << 20}b"}


def test_the_flag_is_given_after_that_death_alone_and_once(make_gateway):
    gateway = make_gateway(flags=LIMIT)
    assert not give_heap(gateway, make_seen(Cause.V8_HEAP))
    assert add_heap(gateway, {"A": "b"}) == {"A": "b"}
    assert give_heap(gateway, TASKS)
    assert not give_heap(gateway, TASKS), "it did not help: what else there is, the breaker knows"
    flag = "--max-old-space-size=4288"
    assert add_heap(gateway, {"A": "b"}) == {"A": "b", "NODE_OPTIONS": flag}
    traced = add_heap(gateway, {"NODE_OPTIONS": "--trace-warnings"})
    assert traced["NODE_OPTIONS"] == f"--trace-warnings {flag}"


@pytest.mark.parametrize("off", ["heal.enabled", "heal.after_oom"])
def test_it_is_not_given_where_nothing_is_to_be_healed(make_gateway, off):
    assert not give_heap(make_gateway(flags={**LIMIT, off: "false"}), TASKS)


def test_a_limit_that_is_given_already_is_left_as_it_is(make_gateway, monkeypatch):
    gateway = make_gateway(flags=LIMIT)
    assert give_heap(gateway, TASKS)
    gateway.command = ("node", "--max-old-space-size=600", "openclaw.mjs")
    assert add_heap(gateway, {}) == {}
    assert not give_heap(gateway, TASKS)


@pytest.mark.parametrize("spelt", ["--max_old_space_size=600", "--max-heap-size=600"])
def test_a_limit_that_a_wrapper_script_gives_is_seen(make_gateway, spelt):
    gateway = make_gateway(flags=LIMIT)
    gateway.command = ("/usr/local/bin/start-openclaw",)
    gateway.release = replace(gateway.release, command=("node", spelt, "openclaw.mjs"))
    assert not give_heap(gateway, TASKS)


def test_in_a_cgroup_the_flag_leaves_room_beside_the_heap(make_gateway, monkeypatch):
    monkeypatch.setattr(heap_flag, "read_limit", lambda pid: 1 << 30)
    gateway = make_gateway(flags=LIMIT)
    assert give_heap(gateway, TASKS)
    assert add_heap(gateway, {})["NODE_OPTIONS"] == "--max-old-space-size=768"
    assert choose_heap(gateway, {})["NODE_OPTIONS"] == "--max-old-space-size=768"


@pytest.mark.parametrize("was_ready", [False, True])
def test_the_death_is_told_by_the_gateways_words_however_much_follows_them(was_ready):
    """It has answered by then, and looks at itself for a minute before it ends."""
    said = (
        "Gateway failed to start: Task registry restore failed: Worker terminated due to reaching "
        "memory limit: JS heap out of memory\n"
    )
    text = said + "[provider-transport-fetch] [model-fetch] error provider=x\n" * 30
    death = classify(Clues(exit_code=1, was_ready=was_ready, stderr_tail=text))
    assert death.cause is Cause.TASK_LEDGER
    other = said.replace("Worker terminated due to reaching memory limit", "no such table")
    other = other.replace("JS heap out of memory", "task_runs")
    assert classify(Clues(exit_code=1, stderr_tail=other)).cause is not Cause.TASK_LEDGER
