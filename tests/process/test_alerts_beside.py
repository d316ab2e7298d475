"""People are told where no guard lives: by a gate, by its timer, and by a watch."""

from __future__ import annotations

import signal
import time

import psutil

from support.errands import UUID, beat, list_errands, tell, wait_quiet
from support.guarded_gateway import wait_until
from support.receivers import Deaf, Web

AT_ONCE = "[alerts]\ngather_s = 0\ndown_after_s = 1\n"


def said(web):
    return [each.path.removeprefix(f"/ping/{UUID}") for each in web.requests]


def test_a_gate_that_refuses_has_people_told_before_it_ends(place):
    """A service manager kills what a failed start left behind: the message went with it."""
    place.put(b"\x7fELF\x02 garbage")
    with Web() as web:
        address = f"http://127.0.0.1:{web.port}"
        tell(
            place, f"json://127.0.0.1:{web.port}/s3cret", beat(place, f"{address}/ping/{UUID}", 60)
        )
        place.env["TAILFLIP_ALERTS_GATHER_S"] = "0"
        place.env["TAILFLIP_ALERTS_DOWN_AFTER_S"] = "1"
        guarded = place.start("gate", "--", *place.command())
        assert guarded.wait(40) == 65
        assert list_errands(place) == []
        hooks = [each.json for each in web.requests if each.path == "/s3cret"]
        assert [each["kind"] for each in hooks] == ["opened"]
        assert hooks[0]["urgency"] == "critical"
        assert "/fail" in said(web)
        # The next start is refused as well, and nothing is told again.
        assert place.start("gate", "--", *place.command()).wait(40) == 65
    assert len([each for each in web.requests if each.path == "/s3cret"]) == 1
    assert "s3cret" not in guarded.said()


def test_a_gate_waits_for_nobody_and_leaves_no_child_to_the_gateway(place):
    with Deaf() as deaf:
        tell(place, more=beat(place, f"http://127.0.0.1:{deaf.port}/ping/{UUID}", 60))
        began = time.monotonic()
        guarded = place.start("gate", "--", *place.command())
        wait_until(place.listener, "gateway that listens", story=guarded.said)
        took_s = time.monotonic() - began
        wait_until(lambda: deaf.callers, "call", story=guarded.said)
        gateway = psutil.Process(guarded.pid)
        assert "fake_gateway.py" in " ".join(gateway.cmdline())
        assert gateway.children() == [], "also no zombie, for which no gateway would wait"
        assert list_errands(place)
        assert took_s < 15
        for each in list_errands(place):
            each.kill()


def test_a_preflight_tells_that_a_start_begins(place):
    with Web() as web:
        tell(place, more=beat(place, f"http://127.0.0.1:{web.port}/ping/{UUID}", 60))
        assert place.start("preflight", "--", *place.command()).wait() == 0
        wait_until(lambda: said(web) == ["/log"], "word of the start")
        wait_quiet(place)


def test_nothing_is_started_before_a_start_where_nobody_is_to_be_told(place):
    tell(place, more="[alerts]\nenabled = true\n")
    place.start("gate", "--", *place.command())
    wait_until(place.listener, "gateway that listens")
    assert list_errands(place) == []
    assert not list(place.home.guards.glob("*.alerts")), "no pass was made"


def run_beat(place):
    return place.start("_beat", f"--state-dir={place.state}").wait(40)


def test_a_timer_asks_the_gateway_and_sends_the_heartbeat(place):
    with Web() as web:
        # With the tenth that is added or taken away, due within a minute all the same.
        tell(place, more=beat(place, f"http://127.0.0.1:{web.port}/ping/{UUID}", 50))
        assert run_beat(place) == 0
        assert said(web) == ["/fail"], "no gateway lives"
        assert web.requests[0].body == b"fail: the gateway does not answer"
        place.start("gate", "--", *place.command())
        wait_until(place.listener, "gateway that listens")
        wait_quiet(place)
        time.sleep(3.1)
        assert run_beat(place) == 0
        assert said(web)[-1] == ""
        count = len(web.requests)
        # Due within a minute is due now: the timer comes every five.
        assert run_beat(place) == 0
        assert len(web.requests) == count + 1


def test_a_timer_tells_what_a_look_around_finds(place):
    """Beside a gate nobody looks between two starts."""
    with Web() as web:
        tell(place, f"json://127.0.0.1:{web.port}/hook", AT_ONCE)
        (place.state / "cron").mkdir()
        (place.state / "cron" / "jobs.json").write_text("no json")
        assert run_beat(place) == 0
        (noted,) = place.history.findings.read()
        assert noted.finding.code == "cron-store-invalid"
        assert [each.json["urgency"] for each in web.requests] == ["warning"]


def test_a_timer_tells_of_a_gateway_that_died_and_was_not_started_again(place):
    """Nobody is there behind a gate: once the heartbeat alone told of it."""
    with Web() as web:
        tell(place, f"json://127.0.0.1:{web.port}/hook", AT_ONCE)
        guarded = place.start("gate", "--", *place.command())
        wait_until(place.listener, "gateway that listens")
        wait_quiet(place)
        assert run_beat(place) == 0
        assert web.requests == [], "it lives"
        guarded.send(signal.SIGKILL)
        guarded.wait()
        assert run_beat(place) == 0
        time.sleep(1.2)
        assert run_beat(place) == 0
        (told,) = [each.json for each in web.requests]
        assert (told["kind"], told["urgency"]) == ("opened", "critical")
        assert "gateway down" in told["subject"]
        assert run_beat(place) == 0
        assert len(web.requests) == 1
        # What the next start finds is judged by that start.
        place.start("gate", "--", *place.command())
        wait_until(place.listener, "gateway that listens")
        assert place.deaths() != []


def test_a_gateway_that_was_stopped_is_no_alarm_of_the_timer(place):
    with Web() as web:
        tell(place, f"json://127.0.0.1:{web.port}/hook", AT_ONCE)
        guarded = place.start("gate", "--", *place.command())
        wait_until(place.listener, "gateway that listens")
        wait_quiet(place)
        guarded.send(signal.SIGTERM)
        guarded.wait()
        for _ in range(2):
            assert run_beat(place) == 0
            time.sleep(1.2)
        assert web.requests == []


def test_what_systemd_starts_waits_and_tells_of_a_guard_that_was_killed(place):
    with Web() as web:
        more = beat(place, f"http://127.0.0.1:{web.port}/ping/{UUID}", 60)
        tell(place, f"json://127.0.0.1:{web.port}/hook", AT_ONCE + more)
        silent = {"TAILFLIP_CONFIG": "/dev/null"}
        guarded = place.start("watch", f"--state-dir={place.state}", env=silent)
        guarded.hear("watching the stores")
        guarded.send(signal.SIGKILL)
        guarded.wait()
        began = time.monotonic()
        given_up = place.start("_beat", f"--state-dir={place.state}", "--given-up")
        assert given_up.wait(60) == 0
        assert time.monotonic() - began < 30
        assert [each.path for each in web.requests] == ["/hook"], "no heartbeat"
        assert "guard gone" in web.requests[0].json["subject"]
        assert web.requests[0].json["urgency"] == "critical"


def test_a_watch_that_ends_as_it_should_is_not_missed(place):
    with Web() as web:
        tell(place, f"json://127.0.0.1:{web.port}/hook", AT_ONCE)
        guarded = place.start("watch", f"--state-dir={place.state}")
        guarded.hear("watching the stores")
        assert guarded.stop() == 0
        wait_quiet(place)
        for _ in range(2):
            assert run_beat(place) == 0
            time.sleep(1.1)
        assert web.requests == []


def test_a_timer_is_for_tailflip_alone(place):
    guarded = place.start("_beat")
    assert guarded.wait() == 64
    assert "alerts flush" in guarded.said()


def test_a_watch_asks_the_gateway_and_has_people_told(place):
    with Web() as web:
        tell(place, more=beat(place, f"http://127.0.0.1:{web.port}/ping/{UUID}", 2))
        place.start("gate", "--", *place.command(), env={"TAILFLIP_CONFIG": "/dev/null"})
        wait_until(place.listener, "gateway that listens")
        guarded = place.start("watch", f"--state-dir={place.state}")
        wait_until(lambda: "" in said(web), "good word", 30, guarded.said)
        psutil.Process(place.living()[0]).kill()
        wait_until(lambda: "/fail" in said(web), "bad word", 30, guarded.said)
        assert guarded.stop() == 0
        wait_quiet(place)
