"""A real guard tells people: once, whatever kills it, and whatever a receiver does."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from support.errands import UUID, beat, list_errands, tell, wait_quiet
from support.guarded_gateway import wait_until
from support.receivers import Deaf, Web

# A gateway that is down is told at once.
QUICK = {"alerts.down_after_s": 1, "alerts.gather_s": 0, "alerts.settle_s": 0}
DIES = ("--die", "3", "--after-s", "0.1")
HEAVY = frozenset(
    {"apprise", "prometheus_client", "jinja2", "http.server", "http.client"}
    | {"ssl", "smtplib", "asyncio", "tailflip.alerts.errand", "tailflip.alerts.turn"}
)


def test_a_gateway_that_dies_for_good_is_told_once(place):
    """And nothing twice: not by a guard that is killed, nor by the one that takes its place."""
    with Web() as web:
        tell(place, f"json://127.0.0.1:{web.port}/s3cret")
        first = place.run(*DIES, settings=QUICK)
        wait_until(lambda: web.requests, "message", 30, first.said)
        wait_quiet(place)
        opened = web.requests[0].json
        assert (web.requests[0].path, opened["kind"]) == ("/s3cret", "opened")
        assert (opened["urgency"], opened["alerts"][0][:3]) == ("critical", "tf-")
        first.die()
        second = place.run(*DIES, settings=QUICK)
        second.hear("tailflip:")
        time.sleep(3)
        wait_quiet(place)
        second.stop()
        wait_quiet(place)
    numbers = [each.json["number"] for each in web.requests]
    openings = [each.json["alerts"] for each in web.requests if each.json["kind"] == "opened"]
    assert len(numbers) == len(set(numbers)), "a message came twice"
    assert len(openings) == 1, "the same trouble was told as new"
    said = first.said() + second.said()
    assert "s3cret" not in said
    assert b"s3cret" not in place.home.ledger.read_bytes()


def test_a_receiver_that_hangs_does_not_hold_the_guard(place):
    """Its gateway is asked and answers as before, and one that dies is started at once."""
    asked = place.root / "asked"
    with Deaf() as deaf:
        tell(place, more=beat(place, f"http://127.0.0.1:{deaf.port}/s3cret", 1, "alive"))
        guarded = place.run("--asked-file", str(asked))
        guarded.wait_ready()
        wait_until(lambda: deaf.callers, "call", 30, guarded.said)
        before = len(asked.read_text().splitlines())
        os.kill(place.living()[0], signal.SIGKILL)
        guarded.wait_ready(2)
        wait_until(
            lambda: len(asked.read_text().splitlines()) >= before + 20,
            "answers",
            story=guarded.said,
        )
        assert deaf.callers == 1, "all of that was while one receiver hangs"
        assert len([each for each in list_errands(place) if "_turn" in each.cmdline()]) == 1
        assert guarded.stop() == 0
        for each in list_errands(place):
            each.kill()


def test_nothing_is_started_where_nobody_is_to_be_told(place):
    tell(place, more="[alerts]\nenabled = true\n")
    guarded = place.run(*DIES, settings=QUICK)
    guarded.hear("waiting")
    seen = [list_errands(place) for _ in range(30) if time.sleep(0.02) is None]
    assert not any(seen)
    guarded.stop()


def test_a_heartbeat_goes_out_while_all_is_well_and_says_at_once_when_it_is_not(place):
    with Web() as web:
        address = f"http://127.0.0.1:{web.port}/ping/{UUID}"
        tell(place, more=beat(place, address, 60))
        guarded = place.run(settings={**QUICK, "health.misses": 1000})
        guarded.wait_ready()

        def said():
            return [each.path.removeprefix(f"/ping/{UUID}") for each in web.requests]

        wait_until(lambda: "" in said(), "good word", 40, guarded.said)
        assert set(said()) <= {"", "/log"}
        # It hangs: `/fail` at once, and not in a minute.
        worker = place.living()[0]
        psutil.Process(worker).suspend()
        wait_until(lambda: "/fail" in said(), "bad word", 40, guarded.said)
        assert b"has not answered for" in web.requests[-1].body
        psutil.Process(worker).resume()
        wait_until(lambda: said()[-1] == "", "good word again", 40, guarded.said)
        assert guarded.stop() == 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux shows what is loaded")
def test_a_guard_imports_nothing_that_sends(place, tmp_path):
    """Each of these costs megabytes for as long as the guard lives."""
    with Web() as web:
        address = f"http://127.0.0.1:{web.port}/beat"
        tell(place, f"json://127.0.0.1:{web.port}/hook", beat(place, address, 1, "alive"))
        listing = tmp_path / "modules"
        # SIGURG is nobody's: it writes down what is imported.
        program = (
            "import signal, sys\n"
            "def tell(*_):\n"
            f"    open({str(listing)!r}, 'w').write(' '.join(sys.modules))\n"
            "signal.signal(signal.SIGURG, tell)\n"
            "from tailflip.cli import main\n"
            "main()\n"
        )
        path = tmp_path / "listing.py"
        path.write_text(program)
        sets = [
            f"--set={key}={value}" for key, value in {**QUICK, "restart.loop_deaths": 2}.items()
        ]
        guarded = place.start("run", *sets, "--", *place.command(*DIES), program=(str(path),))
        wait_until(
            lambda: (
                {each.path for each in web.requests} == {"/hook", "/beat"}
                or guarded.process.poll() is not None
            ),
            "message and heartbeat",
            40,
            guarded.said,
        )
        guarded.send(signal.SIGURG)
        wait_until(lambda: listing.exists() and listing.read_text(), "list", story=guarded.said)
        guarded.stop()
    loaded = set(listing.read_text().split())
    assert "tailflip.supervise.supervisor" in loaded
    assert not loaded & HEAVY
    assert sys.modules.keys() & HEAVY, "the names are those of modules"


def test_errands_are_reaped_and_come_one_at_a_time(place):
    with Web() as web:
        tell(place, f"json://127.0.0.1:{web.port}/hook", beat(place, "http://127.0.0.1:1/x", 1))
        guarded = place.run(*DIES, settings={**QUICK, "restart.loop_deaths": 50})
        most = 0
        until = time.monotonic() + 8
        while time.monotonic() < until:
            with suppress(psutil.NoSuchProcess):  # it may end this moment
                own = [each for each in list_errands(place) if "_turn" in each.cmdline()]
                most = max(most, len(own))
            time.sleep(0.02)
        zombies = [
            each
            for each in psutil.Process(guarded.pid).children()
            if each.status() == psutil.STATUS_ZOMBIE
        ]
        assert most == 1
        assert len(zombies) <= 1, "one that ended this moment"
        guarded.stop()
