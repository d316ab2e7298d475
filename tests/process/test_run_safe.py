"""A gateway that its cron jobs or channels kill lives without them, and as usual once it can."""

from __future__ import annotations

import json
import subprocess

import pytest

from support.guarded_gateway import wait_until
from tailflip.flow.lives import Asked, Cause, SafeMode

FAST = {
    "restart.first_delay_s": 0.1,
    "restart.cap_s": 0.2,
    "restart.good_life_s": 1,
    "restart.trial_first_s": 1,
    "restart.trial_cap_s": 2,
}


def ask(place, *words):
    asked = place.start(*words, stdout=subprocess.PIPE)
    return " ".join(asked.process.communicate()[0].decode().split())


def codes(place):
    """The codes of what `check` finds."""
    return {each["code"] for each in json.loads(ask(place, "check", "--json"))["findings"]}


def modes(place):
    """What each life left out, oldest first."""
    return [life.safe for life in reversed(place.lives())]


TOLD = {**FAST, "restart.trial_first_s": 600, "restart.trial_cap_s": 600}  # it stays as it is
CRON = ("--die", "2", "--after-s", "0.4", "--spared-by", "OPENCLAW_SKIP_CRON")


def test_a_safe_start_is_told_everywhere(place):
    guarded = place.run(*CRON, settings=TOLD)
    guarded.hear("the gateway lives without its cron jobs", deadline_s=60)
    words = "without its cron jobs, as a safe start"
    assert words in ask(place, "status")
    assert "safe-start" in codes(place)
    assert f"was started {words}" in ask(place, "incidents", "why")
    assert guarded.stop() == 0


def test_a_person_who_asks_for_a_start_gets_one_as_usual(place):
    """After a repair, a start without cron jobs would tell nothing of it."""
    settings = {**FAST, "restart.first_delay_s": 600, "restart.cap_s": 600, "restart.jitter": 0}
    guarded = place.run("--die", "2", "--deaths", "3", settings=settings)
    for deaths in (1, 2):
        guarded.hear("the gateway will be started", deaths)
        assert "asked pid" in ask(place, "retry")
    guarded.hear("safe start without its cron jobs in")
    assert "asked pid" in ask(place, "retry")
    guarded.hear("incident is over")
    assert modes(place) == [None] * 4
    assert guarded.stop() == 0


@pytest.mark.parametrize(
    ("variable", "tried"),
    [
        ("OPENCLAW_SKIP_CRON", [SafeMode.CRON]),
        ("OPENCLAW_SKIP_CHANNELS", [SafeMode.CRON, SafeMode.CHANNELS]),
    ],
)
def test_it_lives_without_what_kills_it_and_as_usual_once_that_is_gone(place, variable, tried):
    """The first start as usual comes too early: it dies, and is started safely again."""
    safe = 3 + len(tried)
    guarded = place.run(
        *("--die", "2", "--after-s", "0.4", "--spared-by", variable, "--deaths", str(safe + 1)),
        settings=FAST,
    )
    guarded.wait_ready(safe + 3, 120)
    assert modes(place)[: safe + 3] == [None] * 3 + [*tried, None, tried[-1], None]
    ended = place.lives()[-safe]
    assert ended.death.cause is Cause.PLANNED_RESTART
    assert any(str(Asked.SAFE_OVER) in told for told in ended.death.evidence)
    wait_until(
        lambda: place.history.decisions.read_breaker().lived is None,
        "a life as usual",
        120,
        guarded.said,
    )
    [incident] = place.history.incidents.read()
    assert incident.closed_ms is not None
    assert "safe-start" not in codes(place)
    assert guarded.stop() == 0


def test_what_dies_in_every_way_is_waited_for_as_before(place):
    guarded = place.run("--die", "2", settings=TOLD)
    guarded.hear("safe starts were in vain", deadline_s=60)
    assert modes(place) == [None, None, None, SafeMode.CRON, SafeMode.CHANNELS]
    assert "was started without its cron jobs" in ask(place, "incidents", "why")
    assert guarded.stop() == 0
