"""Under `gate` nobody stays behind; the morning after, `status` still tells what it did."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from support.guarded_gateway import NEAR, wait_until

STORE, FITS = 3_000_000, 1_000_000
OPTIONS = ("--oom-above", str(FITS), "--report")
GARBAGE = b"\x7fELF\x02\x01\x01 garbage"


def gate(place, *options, flags=()):
    return place.start("gate", *flags, "--", *place.command(*options))


def live(place, *options):
    """Start a gateway through the gate, and wait until it is there."""
    guarded = gate(place, *options)
    assert wait_until(place.listener, "gateway", story=guarded.said) == guarded.pid
    return guarded


def read_status(place, code):
    asked = place.start("status", stdout=subprocess.PIPE)
    out = asked.process.communicate()[0].decode()
    assert asked.process.returncode == code, out
    return out


def find_row(out, name):
    (row,) = re.findall(rf"^{name} +(.*)$", out, re.MULTILINE)
    return row


def test_a_living_gateway_is_guarded_at_its_starts(place):
    place.put(b"{}")
    live(place)
    out = read_status(place, 0)
    assert find_row(out, "guarded") == "at each start by `tailflip gate`, by nobody in between"
    assert re.fullmatch(r"\S+ \S+Z \(.*\) let it start; nothing was changed", find_row(out, "gate"))
    assert "answer" not in out, "nobody asked it"
    assert find_row(out, "next").startswith("nothing to do; if it dies and is started again, `tail")


def test_what_it_touched_is_told_with_its_undo(place):
    place.env["TAILFLIP_GATEWAY_HEAP_LIMIT"] = NEAR
    place.fill(STORE)
    assert gate(place, *OPTIONS).wait() == -signal.SIGABRT
    live(place, *OPTIONS)
    out = read_status(place, 1)  # nobody has taken note of the death
    assert find_row(out, "gate").endswith(
        " let it start after 1 change; `tailflip archive list` has the undo"
    )
    (action,) = place.history.starts.read_last().actions
    assert f"tailflip restore {action} --apply" in out
    assert find_row(out, "last").partition(" decided ")[2].startswith("to start it at once: v8-")


def test_ends_that_left_no_sign_of_a_death_are_none(place):
    """Stopped, or restarted as planned: they stood there as deaths that were not judged yet."""
    place.put(b"{}")
    for _ in range(2):
        assert live(place).stop() == 0
    live(place)
    out = read_status(place, 0)
    assert "deaths" not in out
    assert "judged" not in out


def test_a_gateway_that_stopped_under_it_is_not_called_dead(place):
    place.put(b"{}")
    live(place).stop()
    place.put(GARBAGE)
    assert gate(place).wait() == 65
    ended = find_row(read_status(place, 1), "life")
    assert re.fullmatch(
        r"ended before \S+ \S+Z \(.*\), nobody saw when: nothing speaks for a death", ended
    )


@pytest.mark.parametrize("verb", ["gate", "preflight"])
def test_a_start_that_was_refused_is_grave_until_the_gateway_lives(place, verb):
    place.put(GARBAGE)
    assert place.start(verb, "--", *place.command()).wait() == 65
    out = read_status(place, 1)
    assert out.startswith("DOWN: the start was refused: store is not ")
    assert find_row(out, verb).endswith(" refused the start; nothing was changed")
    assert find_row(out, "starts") == "not allowed: the last one was refused"
    assert "look for a backup" in find_row(out, "next")
    place.put(b"{}")
    live(place)
    read_status(place, 0)


def test_a_gate_that_is_parked_is_told_while_it_lives(place):
    place.put(GARBAGE)
    parked = gate(place, flags=("--park",))
    parked.hear("parked until something changes")
    out = read_status(place, 1)
    assert f"refused the start, and waits (pid {parked.pid}); nothing was" in find_row(out, "gate")
    assert "the gate waits" in out
    parked.die()
    out = read_status(place, 1)
    assert "waits" not in out


def test_run_that_starts_the_gateway_since_is_the_guard(place):
    place.put(b"{}")
    live(place).stop()
    guarded = place.run()
    guarded.wait_ready(2)
    out = read_status(place, 0)
    assert find_row(out, "guarded").startswith(f"by `tailflip run`, pid {guarded.pid}, since ")
    assert not re.search("^gate ", out, re.MULTILINE)
