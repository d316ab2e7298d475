"""A gateway that hangs is found and ended; one that only takes its time is not."""

from __future__ import annotations

import os
import shutil
import signal
import time

import psutil
import pytest

from support.guarded_gateway import is_there, wait_until
from tailflip.flow.lives import Cause, Confidence

QUICK = {"health.misses": 3, "health.timeout_s": 0.2, "health.interval_s": 0.1}


def test_a_hang_is_found_and_ended(place):
    guarded = place.run("--hang-after-s", "2", settings=QUICK)
    first = guarded.wait_ready()
    guarded.hear("gateway does not answer")
    guarded.wait_ready(2)
    dead = place.lives()[-1]
    assert (dead.id, dead.death.cause) == (first.id, Cause.HANG)
    assert dead.death.confidence is Confidence.PROVEN
    assert place.history.decisions.read_breaker().row >= 1
    assert place.doubles() == ""
    assert guarded.stop() == 0


def test_a_hang_that_ignores_sigterm_is_killed(place):
    settings = {**QUICK, "gateway.drain_s": 1, "restart.first_delay_s": 30}
    guarded = place.run("--hang-after-s", "2", "--ignore-term", "--wrapper", settings=settings)
    guarded.wait_ready()
    worker = place.pids()[0]
    guarded.hear("did not end in time: killed")
    guarded.hear("the gateway will be started")
    assert not is_there(worker)
    assert place.lives()[0].death.cause is Cause.HANG
    assert guarded.stop() == 0


@pytest.mark.parametrize("config", [None, "{ not json5"])
def test_without_a_configuration_it_is_asked_where_the_settings_say(place, config):
    """A first start, before OpenClaw has made anything; and one whose file cannot be read."""
    shutil.rmtree(place.state)
    if config is not None:
        place.state.mkdir()
        place.config.write_text(config)
    guarded = place.run(flags=("--port", str(place.port)))
    guarded.wait_ready()
    assert guarded.stop() == 0


def test_a_stopped_process_is_a_hang_too(place):
    settings = {**QUICK, "gateway.drain_s": 1}
    guarded = place.run(settings=settings)
    guarded.wait_ready()
    os.kill(place.pids()[0], signal.SIGSTOP)
    guarded.wait_ready(2)
    assert place.lives()[-1].death.cause is Cause.HANG
    assert guarded.stop() == 0


def test_a_long_silent_start_is_no_hang(place):
    guarded = place.run("--silent-start-s", "2", settings=QUICK)
    life = guarded.wait_ready()
    assert life.ready_ms - life.started_ms >= 2000
    assert len(place.pids()) == 1
    assert guarded.stop() == 0


def test_a_start_that_never_answers_is_given_up_after_its_patience(place):
    settings = {**QUICK, "health.start_patience_s": 1, "restart.first_delay_s": 30}
    guarded = place.run("--silent-start-s", "300", settings=settings)
    guarded.hear("the gateway will be started")
    [life] = place.lives()
    assert (life.death.cause, life.ready_ms) == (Cause.HANG, None)
    assert 1 <= (life.ended_ms - life.started_ms) / 1000 < 4
    assert guarded.stop() == 0


def test_a_hang_may_be_left_alone(place):
    guarded = place.run("--hang-after-s", "2", settings={**QUICK, "restart.on_hang": "false"})
    guarded.wait_ready()
    guarded.hear("restart.on_hang is false", 2)
    assert len(place.living()) == 1
    assert guarded.stop() == 0
    assert len(place.lives()) == 1


def test_memory_of_the_whole_tree_is_on_record(place):
    guarded = place.run("--wrapper", "--leak-mb-s", "100")
    guarded.wait_ready()
    [worker] = place.living()
    wait_until(lambda: psutil.Process(worker).memory_info().rss > 120 << 20, "growth")
    wait_until(
        lambda: any(s.rss_bytes > 120 << 20 for s in place.history.samples.read(0)), "sample"
    )
    assert guarded.stop() == 0
    assert place.lives()[0].peak_rss_bytes > 120 << 20


def test_an_idle_gateway_costs_no_writes(place):
    guarded = place.run()
    guarded.wait_ready()
    wait_until(lambda: place.history.samples.read(0), "first sample")
    ledger = [place.home.ledger, place.home.ledger.with_name("ledger.sqlite-wal")]

    def look() -> list[int]:
        return [path.stat().st_mtime_ns for path in ledger if path.exists()]

    def is_still() -> bool:
        before = look()
        time.sleep(1.0)  # five measurements
        return look() == before

    wait_until(is_still, "second without a write", story=guarded.said)
    assert guarded.stop() == 0


@pytest.mark.parametrize("path", ["/startupz", "/healthz"])
def test_a_release_is_asked_what_it_can_answer(place, path):
    program = place.install("2026.9.6" if path == "/startupz" else "2026.4.14")
    asked = place.root / "asked"
    options = place.options("--asked-file", str(asked))
    guarded = place.run(command=[program, "gateway", "run", *options])
    guarded.wait_ready()
    assert asked.read_text().split()[0] == path
    wait_until(lambda: asked.read_text().split()[-1] == "/healthz", "question")
    assert guarded.stop() == 0
