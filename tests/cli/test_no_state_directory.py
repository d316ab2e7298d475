"""A directory that is none is an error, and an option given twice; each store by its own."""

from __future__ import annotations

import json

import pytest

from support.service_definitions import Host
from tailflip.observe.gateway import heap

ASKING = ["check", "inspect", "compact", "tasks", "status", "reconcile", "watch", "incidents"]


def ask(place, verb, state_dir):
    more = ("--rounds", "1") if verb == "watch" else ()
    return place.run(verb, "--state-dir", str(state_dir), *more)


@pytest.mark.parametrize("verb", ASKING)
@pytest.mark.parametrize("name", ["/etc", "empty", "parent", "missing", "file"])
def test_a_directory_that_is_none_is_said_so(place, verb, name):
    """`check --state-dir /etc` said "nothing is wrong", and "it fits"."""
    place.fill(400_000)
    (place.root / "empty").mkdir()
    (place.root / "file").write_text("")
    at = {"parent": place.root, "/etc": "/etc"}.get(name, place.root / name)
    code, out, err = ask(place, verb, at)
    assert (code, out) == (73, "")
    assert str(at) in err
    if name == "parent":
        assert f"below it are: {place.state}" in err


@pytest.mark.parametrize("made", ["openclaw.json", "clawdbot.json", "cron/jobs.json"])
def test_little_is_enough_to_be_one(place, made):
    path = place.root / "young" / made
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert ask(place, "check", place.root / "young")[0] in (0, 1)


def test_an_empty_directory_for_which_a_service_is_installed_is_one(place, monkeypatch):
    """It was installed, and never started: there is nothing in it yet."""
    monkeypatch.delenv("OPENCLAW_STATE_DIR")
    host = Host(place.root)
    host.put_unit(profile="young")
    assert list((place.root / ".openclaw-young").iterdir()) == []
    for verb in ("check", "status"):
        assert place.run(verb, "--profile", "young")[0] in (0, 1)


def test_the_default_directory_is_held_to_the_same(place, monkeypatch):
    monkeypatch.delenv("OPENCLAW_STATE_DIR")
    (place.root / ".openclaw").mkdir()
    code, _, err = place.run("check")
    assert code == 73
    assert "no state directory of OpenClaw" in err


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--state-dir", "a", "--state-dir", "b"),
        ("check", "--state-dir=a", "--state-dir", "a"),
        ("compact", "--retention", "1d", "--retention", "2d"),
        ("status", "--profile", "a", "--profile", "b"),
        ("archive", "expire", "--older-than", "1d", "--older-than", "2d"),
        ("gate", "--state-dir", "a", "--state-dir", "b", "--", "true"),
        ("run", "--set", "heal.margin=0.5", "--set", "heal.margin=0.6", "--", "true"),
    ],
)
def test_an_option_given_twice_is_refused(place, words):
    """The last one was taken, and nobody learned that the first was not looked at."""
    code, out, err = place.run(*words)
    assert (code, out) == (64, "")
    assert "given twice" in err
    option = next(word.partition("=")[0] for word in words if word.startswith("--"))
    assert option in err


def test_a_repeatable_option_may_be_given_twice(place):
    first, second, *_ = json.loads(place.fill(400_000))
    assert place.run("compact", "--drop-key", first, "--drop-key", second)[0] == 0


def test_stores_of_two_installations_are_each_judged_by_their_own(place, monkeypatch):
    """Both were judged by one gateway's life and heap, and the forecast was the sum of both."""
    heap._answers.clear()
    place.fill()
    other = place.put_other("other")
    (other.state / "openclaw.json").write_text('{"cron": {"sessionRetention": "5d"}}')
    host = Host(place.root)
    unit = host.put_unit()
    (place.root / "bin" / "node").write_text("#!/bin/sh\nprintf 3000000000\n")
    line = f"Environment=OPENCLAW_STATE_DIR={other.state}\n[Install]"
    unit.write_text(unit.read_text().replace("[Install]", line))
    config = place.root / "config.toml"
    config.write_text(
        f"[gateways.one]\nstate_dir = '{place.state}'\n[gateways.one.gateway]\n"
        "heap_limit = '2gb'\n[gateways.one.heal]\nretention = '3d'\n"
    )
    monkeypatch.setenv("TAILFLIP_CONFIG", str(config))
    words = ("compact", str(place.store), str(other.store))
    code, out, err = place.run(*words, "--json")
    assert code == 0, err
    one, two = json.loads(out)["installations"]
    assert [each["path"] for each in one["stores"]] == [str(place.store)]
    assert [each["path"] for each in two["stores"]] == [str(other.store)]
    days = [each["policy"]["retention_ms"] // 86_400_000 for each in (one, two)]
    assert days == [3, 5]
    assert [each["before"]["limit_bytes"] for each in (one, two)] == [2 << 30, 3_000_000_000]
    code, out, _ = place.run(*words)
    assert code == 0
    assert out.count("gateway: ") == 2
    assert f"installation {other.state}" in out
    for verb in ("check", "inspect"):
        code, _, err = place.run(verb, str(place.store), str(other.store))
        assert code == 64
        assert "several installations" in err


@pytest.mark.parametrize(
    "words",
    [
        ("compact", "--retention", "7"),
        ("compact", "--max-lifetime", "1"),
        ("compact", "--drop-kind", "dream", "--older-than", "30"),
        ("reconcile", "--retention", "7"),
        ("reconcile", "--max-lifetime", "0"),
        ("watch", "--interval", "60"),
        ("watch", "--max-lifetime", "1", "--rounds", "1"),
        ("archive", "expire", "--older-than", "0"),
        ("archive", "expire", "--older-than", "1.5"),
    ],
)
def test_a_length_of_time_needs_a_unit(place, words):
    """`--retention 7` was seven hours, and `--older-than 30` thirty days, and no page said so."""
    before = place.fill(400_000)
    code, out, err = place.run(*words)
    assert (code, out) == (64, "")
    option, text = words[-2:] if words[-2] != "--rounds" else words[1:3]
    assert f"{option} needs a unit of time: {text}" in err
    assert place.store.read_bytes() == before
