"""Does it matter whether runs are reconciled before a store is compacted?

A compaction alone removes what claims to run for too long. Reconciled, the same runs are
known to have been killed: they are finished runs, which stay until the retention, without
their prompts. Nothing of them is left later.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tailflip.demo.incident import INCIDENT_BYTES


def ends(place, *kinds_first, compact=()):
    """Return entries and bytes of the store after the kinds, if any, and a compaction."""
    if kinds_first:
        code, _, err = place.run("reconcile", *kinds_first, "--apply")
        assert code == 0, err
    code, _, err = place.run("compact", "--apply", *compact)
    assert code == 0, err
    return len(json.loads(place.store.read_bytes())), place.store.stat().st_size


@pytest.fixture
def again(place, request):
    """Put the same incident back, and nothing of ours."""
    place.fill(getattr(request, "param", 3_000_000))
    copy = Path(shutil.copytree(place.state, place.root / "copy"))

    def put_back():
        shutil.rmtree(place.state)
        shutil.rmtree(place.home, ignore_errors=True)
        shutil.copytree(copy, place.state)

    return put_back


ZOMBIES = ("markers", "tasks", "zombies")


def test_killed_runs_stay_until_the_retention_and_cost_little(place, again):
    before_bytes = place.store.stat().st_size
    _, alone_bytes = ends(place)
    again()
    entries, both_bytes = ends(place, *ZOMBIES)
    killed = [e for e in json.loads(place.store.read_bytes()).values() if e.get("status")]
    assert {entry["status"] for entry in killed} <= {"killed", "done", "failed", "timeout"}
    assert both_bytes < alone_bytes + before_bytes / 50
    assert entries > 15


@pytest.mark.parametrize("again", [INCIDENT_BYTES], indirect=True)
def test_both_orders_end_alike_once_the_retention_is_over(place, again):
    """With the incident's own store."""
    alone, _ = ends(place, compact=("--retention", "1h"))
    again()
    both, _ = ends(place, *ZOMBIES, compact=("--retention", "1h"))
    assert alone == both


@pytest.mark.parametrize("again", [INCIDENT_BYTES], indirect=True)
def test_the_gateways_lock_is_held_for_a_moment_only(place, again):
    code, out, err = place.run("reconcile", "--apply", "--json")
    assert code == 0, err
    held_s = [step["report"]["lock_held_s"] for step in json.loads(out)["steps"] if step["report"]]
    assert len(held_s) == 2
    assert max(held_s) < 1
