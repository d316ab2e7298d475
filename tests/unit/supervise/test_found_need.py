"""A loop that nobody saw: what the stores needed explains the end, and its time stays unknown."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from support.heap import make_tight
from tailflip.base import clock
from tailflip.demo.incident import write_incident
from tailflip.flow.lives import Breaker, Cause, Confidence, LifeMode
from tailflip.supervise.found_need import find_need
from tailflip.supervise.post_mortem import heal
from tailflip.supervise.preparation import prepare_start
from tailflip.supervise.unseen_end import find_unseen_end

SIZE = 3_000_000
TIGHT = {"gateway.heap_limit": f"{make_tight(SIZE)}b"}
HOUR_MS = 3_600_000


@pytest.fixture
def guarded(make_gateway, state):
    """A gateway whose heap is too small for its store."""
    write_incident(state, size_bytes=SIZE, now_ms=clock.now_ms())
    return make_gateway(flags=TIGHT)


@pytest.fixture
def stale_lock(state, tmp_path):
    """The lock of a gateway that was killed an hour after its start."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    config = str(state / "openclaw.json")
    folder = tmp_path / f"openclaw-{os.getuid()}"
    folder.mkdir()
    path = folder / f"gateway.{hashlib.sha256(config.encode()).hexdigest()[:8]}.lock"
    path.write_text(json.dumps({"pid": child.pid, "configPath": config}))
    began_s = clock.now_ms() // 1000 - 60
    os.utime(path, (began_s, began_s))
    return began_s * 1000


def test_what_the_stores_need_is_told_against_the_limit(guarded):
    need = find_need(guarded, 0)
    assert need.heap_bytes > need.limit_bytes
    assert not need.measured
    assert not need.was_compacted


def test_stores_that_fit_explain_nothing(make_gateway, state):
    write_incident(state, size_bytes=SIZE, now_ms=clock.now_ms())
    assert find_need(make_gateway(flags={"gateway.heap_limit": "4gb"}), 0) is None


def test_a_limit_that_nobody_knows_explains_nothing(make_gateway, state):
    write_incident(state, size_bytes=SIZE, now_ms=clock.now_ms())
    assert find_need(make_gateway(), 0) is None


def test_stores_that_were_compacted_since_count_as_they_were(guarded):
    before = find_need(guarded, 0)
    assert prepare_start(guarded).cured
    after = find_need(guarded, 0)
    assert after.was_compacted
    assert abs(after.heap_bytes - before.heap_bytes) < 1_000_000
    assert find_need(guarded, clock.now_ms() + HOUR_MS) is None, "that was another life"


def test_an_end_that_nobody_saw_is_explained_by_its_stores(guarded, stale_lock):
    death, life = find_unseen_end(guarded, None)
    assert (death.cause, death.confidence) == (Cause.V8_HEAP, Confidence.GUESS)
    assert any("its stores needed about" in each for each in death.evidence)
    assert any("was left by pid" in each for each in death.evidence)
    assert (life.mode, life.end_known, life.started_ms) == (LifeMode.UNSEEN, False, stale_lock)
    assert life.uptime_s >= 60, "at most so long, from when it wrote its lock"
    [incident] = guarded.history.incidents.read()
    assert incident.cause is Cause.V8_HEAP


def test_an_end_before_a_compaction_by_hand_counts_as_cured(guarded, stale_lock):
    prepare_start(guarded)
    death, life = find_unseen_end(guarded, None)
    assert death.cause is Cause.V8_HEAP
    assert any("they have been compacted since" in each for each in death.evidence)
    assert life.cured
    heal(guarded, Breaker(), death, life)
    assert guarded.history.findings.read() == (), "the stores were the cause, and are small now"


def test_without_a_beginning_no_length_is_invented(guarded, stale_lock, monkeypatch):
    from tailflip.observe.gateway import past  # noqa: PLC0415

    monkeypatch.setattr(past, "read_dead_lock", lambda *_: None)
    monkeypatch.setattr(past, "_tell", lambda *_: ["systemd on x: result oom-kill"])
    _, life = find_unseen_end(guarded, None)
    assert (life.begin_known, life.uptime_s) == (False, None)
