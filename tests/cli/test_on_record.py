"""What a gateway has on record is not written, whatever the verb and whatever is wrong with it.

2026.9.6 could not install a plugin, kept `sessions.json` with its digest, and `preflight`
settled six dead runs in it: every start from then on ended with exit 78.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.heap import make_tight, need
from support.sqlite_records import (
    PLUGINS,
    change_database,
    defer_import,
    fill_agent_database,
    make_state_database,
    record_source,
    state_database,
    write_manifest,
)
from support.stores import list_tree
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR_MS = 3_600_000
JOB = "0b7e9a52-0000-4000-8000-000000000001"
# Asks its guard to stop: nothing else ends it.
ASKS_TO_STOP = "import os, time; time.sleep(0.3); os.kill(os.getppid(), 15); time.sleep(60)"


def put_store(place, *, runs: int = 6) -> bytes:
    """Runs of a gateway that was killed, a chat, and a marker in the cron store."""
    now = clock.now_ms()
    folder = place.store.parent
    folder.mkdir(parents=True)
    entries = {
        "agent:main:main": {
            "sessionId": "chat-1",
            "updatedAt": now - HOUR_MS,
            "skillsSnapshot": {"prompt": "x" * 3000},
        }
    }
    for n in range(runs):
        entries[f"agent:main:cron:{JOB}:run:r{n}"] = {
            "sessionId": f"r{n}",
            "updatedAt": now - (n + 30) * HOUR_MS,
            "status": "running",
            "skillsSnapshot": {"prompt": "y" * 3000},
        }
    for entry in entries.values():
        path = folder / f"{entry['sessionId']}.jsonl"
        path.write_text('{"type":"session"}\n')
        os.utime(path, ns=(entry["updatedAt"] * 1_000_000,) * 2)
    place.put(json.dumps(entries, indent=2).encode())
    (place.store.parent / f"sessions.json.bak.{now}").write_bytes(place.store.read_bytes())
    jobs = place.state / "cron" / "jobs.json"
    jobs.parent.mkdir()
    state = {"runningAtMs": now - 40 * HOUR_MS}
    jobs.write_text(json.dumps({"version": 1, "jobs": [{"id": JOB, "name": "n", "state": state}]}))
    return place.store.read_bytes()


def record_all(place) -> None:
    defer_import(place.state, place.store)
    record_source(place.state, place.state / "cron" / "jobs.json", kind="legacy-cron-json")


def record_by_manifest(place) -> None:
    write_manifest(place.state, place.store, over=True, moves=[place.store])
    record_source(place.state, place.state / "cron" / "jobs.json", kind="legacy-cron-json")


def damage_the_record(place) -> None:
    record_all(place)
    state_database(place.state).write_bytes(b"no database" * 1000)


def write_a_later_schema(place) -> None:
    record_all(place)
    change_database(state_database(place.state), "PRAGMA user_version = 99")


def take_over(place) -> None:
    make_state_database(place.state)
    fill_agent_database(place.state)
    record_source(place.state, place.state / "cron" / "jobs.json", kind="legacy-cron-json")


def record_and_damage_the_store(place) -> None:
    """Also a store that is broken: its bytes are what is on record."""
    place.store.write_bytes(place.store.read_bytes()[:-300])
    record_all(place)


def record_and_lose_the_store(place) -> None:
    """Also one that is gone, beside a backup that salvage would bring back."""
    record_all(place)
    place.store.unlink()


WAYS: list[Callable[..., None]] = [
    record_all,
    record_by_manifest,
    damage_the_record,
    write_a_later_schema,
    take_over,
    record_and_damage_the_store,
    record_and_lose_the_store,
]
WRITERS = [
    ("check",),
    ("inspect",),
    ("compact",),
    ("compact", "--apply"),
    ("compact", "--apply", "--drop-key", "agent:main:main", "--max-lifetime", "1m"),
    ("compact", "--apply", "--heap-limit", "1mb"),
    ("compact", "--apply", "STORE"),
    ("reconcile",),
    ("reconcile", "--apply"),
    ("reconcile", "--apply", "zombies", "markers", "retention"),
    ("restore", "--all", "--store", "STORE", "--apply"),
    ("tasks",),
    ("status",),
    ("preflight", "--", "COMMAND"),
    ("run", "--", "COMMAND"),
]
NOTHING_BUT_SALVAGE = (
    *("--no-slim", "--no-retire", "--no-single-flight"),
    *("--retention", "false", "--max-lifetime", "false"),
)


@pytest.mark.parametrize("way", WAYS)
def test_no_verb_writes_what_is_on_record(place, way):
    """One state directory, all verbs, one digest of every file in it from the first to the last."""
    put_store(place)
    way(place)
    before = list_tree(place.state)
    for verb in WRITERS:
        words = [str(place.store) if word == "STORE" else word for word in verb]
        if words[-1] == "COMMAND":
            words[-1:] = [sys.executable, "-c", ASKS_TO_STOP]
        code, out, err = place.run(*words)
        assert list_tree(place.state) == before, verb
        assert code in (0, 1, 64, 65), (verb, out, err)
    assert not list(place.state.rglob("*.deleted.*"))


@pytest.mark.parametrize("way", WAYS)
def test_a_gate_starts_it_all_the_same(place, way):
    """Whatever is on record keeps no gateway down, and neither does a record that is unreadable."""
    put_store(place)
    way(place)
    before = list_tree(place.state)
    marker = place.root / "started"
    start = [sys.executable, "-c", f"open({str(marker)!r}, 'w').close()"]
    ran = subprocess.run(
        [sys.executable, "-m", "tailflip", "gate", "--", *start],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert marker.exists()
    if way is not record_and_lose_the_store:
        assert "left alone" in ran.stderr
    assert list_tree(place.state) == before


def test_a_heap_that_the_store_would_not_fit_holds_nobody_up(place):
    """It is not loaded again, so it is in no forecast: neither the gate's nor that of `check`."""
    place.fill()
    write_manifest(place.state, place.store, over=True, moves=[place.store])
    code, out, _ = place.run("check", "--heap-limit", f"{make_tight(3_000_000)}b", "--json")
    assert code == 1
    told = json.loads(out)
    assert told["forecast"]["heap_bytes"] < need(500_000)
    assert [each["path"] for each in told["kept"]] == [str(place.store)]
    assert "heap-forecast" not in {finding["code"] for finding in told["findings"]}


def test_check_names_the_plugins_and_the_next_step(place):
    put_store(place)
    record_all(place)
    code, out, _ = place.run("check")
    assert code == 1
    assert f"waits for plugins: {', '.join(PLUGINS)}" in out
    assert "`openclaw update repair`, then `openclaw doctor --fix`" in out
    assert "claim to be running" not in out
    assert "[marker-orphaned]" not in out


def put_tree(folder: Path, files: dict[str, bytes]) -> None:
    """Have these files in a folder, and nothing else."""
    shutil.rmtree(folder)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)


def change_before_it_was_on_record(place) -> tuple[bytes, dict[str, bytes]]:
    """What an older tailflip did beside the record: two actions, and transcripts set aside."""
    before = put_store(place)
    files = list_tree(place.store.parent)
    assert place.run("reconcile", "--apply", "zombies")[0] == 0
    assert place.run("compact", "--apply")[0] == 0
    assert place.store.read_bytes() != before
    changed = list_tree(place.store.parent)
    assert any(name.startswith(".tailflip/") for name in changed)
    # Now the record, of the bytes as they were.
    put_tree(place.store.parent, files)
    record_all(place)
    put_tree(place.store.parent, changed)
    return before, files


def test_what_we_changed_is_told_and_comes_back_to_the_byte(place):
    """The first of our actions is named; undoing it undoes the later one, transcripts and all."""
    before, files = change_before_it_was_on_record(place)
    first, last = sorted(
        (a for a in Ledger(Workspace(place.own, RealDisk())).read_all() if a.kind == "compact"),
        key=lambda action: action.created_ms,
    )
    code, out, _ = place.run("check")
    assert code == 1
    assert "Retained session migration source changed" in out
    assert f"`tailflip restore {first.id} --apply`" in out

    # The last alone would not be the bytes on record, so it is refused, and nothing changes.
    changed = list_tree(place.state)
    code, _, err = place.run("restore", last.id, "--apply")
    assert code == 65, err
    assert list_tree(place.state) == changed

    assert place.run("restore", first.id)[0] == 0
    assert list_tree(place.state) == changed
    code, out, err = place.run("restore", first.id, "--apply")
    assert code == 0, err
    assert place.store.read_bytes() == before
    assert list_tree(place.store.parent) == files
    assert "[import-waits]" in place.run("check")[1]
    # From here on it is what is on record, and nothing more may be put back.
    assert place.run("restore", first.id, "--apply")[0] == 65
    assert list_tree(place.store.parent) == files


def test_a_salvage_and_a_cleared_marker_come_back_to_the_byte(place):
    """Undoing gives the bytes on record, so it is let through; anything else would not be."""
    before = put_store(place)[:-300]
    place.store.write_bytes(before)
    jobs = place.state / "cron" / "jobs.json"
    jobs_before = jobs.read_bytes()
    assert place.run("reconcile", "--apply", "markers")[0] == 0
    assert place.run("compact", "--apply", *NOTHING_BUT_SALVAGE)[0] == 0
    actions = sorted(
        Ledger(Workspace(place.own, RealDisk())).read_all(), key=lambda a: a.created_ms
    )
    assert [action.kind for action in actions] == ["markers", "salvage"]
    for path, old in ((place.store, before), (jobs, jobs_before)):
        now = path.read_bytes()
        assert now != old
        path.write_bytes(old)
        kind = "deferred-plugin-session-import" if path == place.store else "legacy-cron-json"
        record_source(place.state, path, kind=kind)
        path.write_bytes(now)
    for action in reversed(actions):
        code, out, err = place.run("restore", action.id, "--apply")
        assert code == 0, (action.kind, out, err)
    assert place.store.read_bytes() == before
    assert jobs.read_bytes() == jobs_before


def test_a_change_that_was_not_ours_is_told_with_the_digest(place):
    put_store(place)
    record_all(place)
    place.store.write_bytes(place.store.read_bytes() + b"\n")
    code, out, _ = place.run("check")
    assert code == 1
    assert "Retained session migration source changed" in out
    assert "its SHA-256 must be" in out


def test_what_was_left_half_done_moves_no_transcript_once_it_is_on_record(place):
    """Killed between rename and transcripts; then a new release took everything on record."""
    put_store(place)
    assert place.run("compact", "--apply")[0] == 0
    (action,) = Ledger(Workspace(place.own, RealDisk())).read_all()
    for path in place.store.parent.glob("*.deleted.*"):
        path.rename(path.with_name(path.name.partition(".deleted.")[0]))
    record_all(place)
    ledger = place.own.root / "ledger.sqlite"
    assert ledger.exists(), list(place.own.root.iterdir())
    change_database(ledger, "UPDATE actions SET state = 'committed' WHERE id = ?", (action.id,))
    before = list_tree(place.state)
    place.run("reconcile", "--apply")
    assert list_tree(place.state) == before


def test_another_agents_store_is_healed_as_ever(place):
    """Only what is on record is left alone."""
    put_store(place)
    record_all(place)
    other = place.state / "agents" / "other" / "sessions" / "sessions.json"
    shutil.copytree(place.store.parent, other.parent)
    before = place.store.read_bytes()
    place.run("compact", "--apply")
    assert place.store.read_bytes() == before
    assert len(json.loads(other.read_bytes())) < len(json.loads(before))


def test_a_release_between_the_eras_is_healed_as_ever(place):
    """2026.6 and 7 have a state database, and keep their sessions in JSON."""
    before = put_store(place)
    make_state_database(place.state)
    record_source(place.state, place.state / "cron" / "jobs.json", kind="legacy-cron-json")
    code, out, err = place.run("compact", "--apply")
    assert code == 0, out + err
    assert len(json.loads(place.store.read_bytes())) < len(json.loads(before))
