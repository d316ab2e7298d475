"""What a compaction of a database says of its size: a bound before, and the truth after."""

from __future__ import annotations

import json

import pytest

from support.agent_database import make_database
from support.stores import run_key
from tailflip.base import clock

DAY_MS = 86_400_000
RUNS = 800


@pytest.fixture
def database(place):
    """A database with finished runs of a few bytes each: its pages outweigh its entries."""
    path = place.state / "agents/main/agent/openclaw-agent.sqlite"
    now_ms = clock.now_ms()
    entries = {
        run_key(f"run-{n}"): {"sessionId": f"run-{n}", "updatedAt": now_ms - 3 * DAY_MS}
        for n in range(RUNS)
    }
    make_database(path, {"agent:main:main": {"sessionId": "main", "updatedAt": now_ms}, **entries})
    return path


def test_the_plan_gives_a_bound_and_the_report_the_size_that_is_left(place, database):
    """It said "51.5 MB -> 47.5 MB" of a file that was 1.1 MB small afterwards."""
    before = database.stat().st_size
    code, out, _ = place.run("compact", "--no-retire")
    assert code == 0
    assert " -> at most " in out
    _, out, _ = place.run("compact", "--json")
    planned = json.loads(out)["stores"][0]["survey"]
    code, out, err = place.run("compact", "--apply", "--json")
    assert code == 0, err
    report = json.loads(out)["reports"][0]
    left = database.stat().st_size
    assert left < before / 2
    assert report["entries_after"] == 1
    assert report["size_bytes_after"] == left < planned["size_bytes_after"] < before
    _, out, _ = place.run("archive", "list", "--json")
    assert json.loads(out)["actions"][0]["rewrite"]["size_bytes_after"] == left
    _, out, _ = place.run("archive", "show", report["action_id"], "--json")
    assert json.loads(out.splitlines()[0])["rewrite"]["size_bytes_after"] == left


def test_a_file_says_what_is_left_before_and_after(place):
    place.fill(400_000)
    code, out, _ = place.run("compact", "--apply")
    assert code == 0
    assert " -> at most " not in out
