"""The seed of it all: a gateway that dies of its session store comes back by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from support.guarded_gateway import NEAR, wait_until
from support.heap import make_tight
from support.stores import NOW_MS, make_entry
from tailflip.base import clock
from tailflip.flow.lives import BreakerState, Cause, Waiting

STORE = 3_000_000
FITS = 1_000_000  # what the gateway can load
TIGHT = ("--heap-limit", f"{make_tight(STORE)}b")
NO_ADMISSION = {"heal.admission": "false"}
NEARLY = {**NO_ADMISSION, "gateway.heap_limit": NEAR}


def test_a_death_of_memory_is_cured_and_can_be_undone(place):
    before = place.fill(STORE)
    guarded = place.run("--oom-above", str(FITS), settings=NEARLY)
    guarded.wait_ready(2)
    living, dead = place.lives()
    assert dead.death.cause is Cause.V8_HEAP
    assert dead.cured
    assert living.ended_ms is None
    assert "store compacted" in guarded.said()
    assert place.store.stat().st_size < FITS
    kept = json.loads(place.store.read_bytes())
    assert set(kept) < set(json.loads(before))
    assert guarded.stop() == 0

    action = next(iter((place.home.archives).iterdir())).name
    restored = place.start("restore", action, "--apply")
    assert restored.wait() == 0, restored.said()
    assert json.loads(place.store.read_bytes()) == json.loads(before)


def test_behind_the_wrapper_it_is_cured_as_well(place):
    place.fill(STORE)
    guarded = place.run("--wrapper", "--oom-above", str(FITS), settings=NEARLY)
    guarded.wait_ready(2)
    dead = place.lives()[1]
    assert (dead.death.cause, dead.exit_code, dead.cured) == (Cause.V8_HEAP, 1, True)
    assert guarded.stop() == 0


def test_with_admission_it_never_dies(place):
    place.fill(STORE)
    guarded = place.run("--oom-above", str(FITS), flags=TIGHT)
    guarded.wait_ready()
    assert len(place.pids()) == 1
    assert place.store.stat().st_size < FITS
    assert guarded.stop() == 0
    assert [death.cause for death in place.deaths()] == [Cause.ASKED_STOP]


def test_a_healthy_store_is_not_touched(place):
    before = place.fill(STORE)
    guarded = place.run(flags=("--heap-limit", "2gb"))
    guarded.wait_ready()
    assert guarded.stop() == 0
    assert place.store.read_bytes() == before
    assert not list(place.home.archives.iterdir())


def test_without_healing_stores_are_not_touched_and_the_loop_is_found(place):
    before = place.fill(STORE)
    settings = {"heal.enabled": "false", **NO_ADMISSION}
    guarded = place.run("--oom-above", str(FITS), settings=settings)
    guarded.hear("waiting=cure")
    # Three as usual, one without cron jobs, one without channels.
    assert [death.cause for death in place.deaths()] == [Cause.V8_HEAP] * 5
    assert place.store.read_bytes() == before
    guarded.wait_watching(place.store)
    # Somebody makes room: it starts, and nobody has to tell us.
    place.put(b"{}")
    guarded.wait_ready(6)
    assert guarded.stop() == 0


def ask(place, *words):
    return subprocess.run(
        [sys.executable, "-m", "tailflip", *words],
        env=place.env,
        capture_output=True,
        check=False,
        text=True,
    )


def test_a_heap_that_something_else_filled_is_no_reason_to_touch_the_stores(place):
    """A trace of 33 GB filled the heap, eight times in six days: openclaw/openclaw #82401."""
    before = place.fill(70_000)
    trace = place.state / "logs" / "cache-trace.jsonl"
    trace.parent.mkdir()
    with trace.open("wb") as file:
        file.truncate(33 * 10**9)
    place.env["TAILFLIP_GATEWAY_HEAP_LIMIT"] = "4gb"
    guarded = place.run("--die", "v8")
    guarded.hear("waiting=cure")
    assert [death.cause for death in place.deaths()] == [Cause.V8_HEAP] * 5
    assert not any(life.cured for life in place.lives())
    assert place.store.read_bytes() == before
    assert not list(place.home.archives.iterdir())
    assert "what may have caused it was changed" not in guarded.said()
    for asked in (ask(place, "check"), ask(place, "incidents", "why")):
        assert "the stores are not the cause (" in asked.stdout
        assert "logs/cache-trace.jsonl, 33.0 GB" in asked.stdout
    assert ask(place, "check").returncode == 1
    assert "nothing is wrong" not in ask(place, "check").stdout
    assert guarded.stop() == 0


def test_a_store_that_nothing_is_left_of_is_not_started_upon(place):
    """The gateway would take it for empty, and write over what somebody could have saved."""
    place.put(b"\x7fELF\x02\x01\x01 garbage")
    guarded = place.run()
    guarded.hear("waiting=cure")
    assert "not started" in guarded.said()
    assert str(place.store) in guarded.said()
    [finding] = place.history.findings.read()
    assert finding.finding.code == "start-refused"
    assert place.history.decisions.read_last().decision.waiting is Waiting.CURE
    guarded.wait_watching(place.store)
    began = time.monotonic()
    place.put(b"{}")
    life = guarded.wait_ready()
    assert time.monotonic() - began < 4  # the kernel tells, we need not look every 5 s
    assert len(place.pids()) == 1
    assert life.death is None
    assert place.history.findings.read() == ()
    assert guarded.stop() == 0


def test_what_must_stay_and_is_too_much_is_told_and_not_started_upon(place):
    now_ms = clock.now_ms()
    entry = make_entry("s", NOW_MS - now_ms, note="x" * 6_000_000)  # touched just now
    before = json.dumps({"agent:main:main": entry}, indent=2).encode()
    place.put(before)
    command = (place.install("2026.4.14"), *place.options())  # refused only where measured
    guarded = place.run(command=command, flags=("--heap-limit", "400mb"))
    guarded.hear("waiting=cure")
    assert place.pids() == []
    assert "of heap" in guarded.said()
    assert "NODE_OPTIONS" in guarded.said()
    assert place.store.read_bytes() == before
    guarded.wait_watching(place.store)
    place.put(b"{}")
    guarded.wait_ready()
    assert guarded.stop() == 0


@pytest.mark.parametrize("number", [15, 2])
def test_a_stop_ends_a_wait_at_once(place, number):
    place.put(b"garbage")
    guarded = place.run()
    guarded.hear("waiting=cure")
    guarded.send(number)
    assert guarded.wait(3) == 0
    assert place.pids() == []


def test_a_loop_is_told_the_breaker_opens_and_a_trial_is_made(place):
    settings = {"restart.trial_first_s": 1, "restart.trial_cap_s": 1, **NO_ADMISSION}
    settings["restart.safe_start"] = "false"
    guarded = place.run("--die", "2", settings=settings)
    guarded.hear("crash loop")
    guarded.hear("no longer waiting")
    wait_until(lambda: len(place.deaths()) == 4, "death of the trial", story=guarded.said)
    assert len({death.signature for death in place.deaths()}) == 1
    wait_until(
        lambda: place.history.decisions.read_breaker().state is BreakerState.OPEN, "open breaker"
    )
    breaker = place.history.decisions.read_breaker()
    assert (breaker.row, breaker.trials) == (4, 1)
    [incident] = place.history.incidents.read()
    assert incident.closed_ms is None
    assert place.history.lives.count_deaths() == {incident.id: 4}
    assert [f.finding.code for f in place.history.findings.read()] == ["crash-loop"]
    # One alert for the loop, not one for every death.
    assert (
        sum("error: waiting before the next start" in line for line in guarded.said().splitlines())
        == 1
    )
    assert guarded.stop() == 0


def test_a_good_life_ends_the_row_and_the_incident(place):
    settings = {"restart.good_life_s": 1}
    guarded = place.run("--die", "2", "--deaths", "3", settings=settings)
    guarded.hear("crash loop")
    guarded.send(10)
    guarded.wait_ready(4)
    guarded.hear("incident is over")
    assert place.history.decisions.read_breaker().row == 0
    [incident] = place.history.incidents.read()
    assert incident.closed_ms is not None
    wait_until(lambda: place.history.findings.read() == (), "end of the finding")
    assert guarded.stop() == 0


def test_a_person_may_ask_for_a_start_while_the_breaker_is_open(place):
    guarded = place.run("--die", "2", "--deaths", "3", settings={"restart.loop_deaths": 3})
    guarded.hear("crash loop")
    wait_until(
        lambda: place.history.decisions.read_breaker().state is BreakerState.OPEN, "open breaker"
    )
    guarded.send(10)
    guarded.hear("asked to try now")
    guarded.wait_ready(4)
    assert place.history.decisions.read_breaker().state is BreakerState.HALF_OPEN
    assert guarded.stop() == 0


def test_status_tells_the_story(place):
    place.fill(STORE)
    guarded = place.run("--oom-above", str(FITS), settings=NEARLY)
    guarded.wait_ready(2)
    found = subprocess.run(
        [sys.executable, "-m", "tailflip", "status"],
        env={**os.environ, **place.env},
        capture_output=True,
        check=False,
        text=True,
    )
    assert "tailflip restore" in found.stdout
    assert "out of memory" in found.stdout or "heap" in found.stdout
    assert guarded.stop() == 0
