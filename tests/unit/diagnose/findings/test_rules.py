"""Each thing that can be wrong is found, alone, and nothing is found where all is well."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tailflip.base.errors import StoreInvalid, TryLater
from tailflip.diagnose.findings.observed import Observed
from tailflip.diagnose.findings.rules import find_problems
from tailflip.flow.numbers import JobNumbers, SurveyNumbers, Tally
from tailflip.flow.observed import (
    ORPHANS,
    FileKind,
    Gateway,
    Job,
    KeptFile,
    Leftover,
    ObservedStore,
    Store,
    TranscriptFolder,
)
from tailflip.flow.outcomes import Forecast
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.observe.gateway.listener import Listener
from tailflip.observe.host.space import Space
from tailflip.stores.json.look import observe_all

NOW = 1_800_000_000_000
MINUTE_MS = 60_000
STORE = Store(Path("/s/sessions.json"), "main")


def tally(name, entries):
    return Tally(name=name, entries=entries, bytes=entries)


def numbers(*jobs, entries=1, kinds=(), running=()):
    return SurveyNumbers(
        bytes=1000,
        entries=entries,
        digest="",
        wide=False,
        kinds=kinds,
        running=running,
        fields=(),
        jobs=jobs,
        jobs_untracked=0,
        duplicate=None,
        rules=(),
        entries_after=1,
        bytes_after=1000,
    )


def job(runs, span_ms, **status):
    return JobNumbers(
        agent="main",
        job="j1",
        runs=runs,
        bytes=1,
        first_ms=NOW,
        last_ms=NOW + span_ms,
        status=status,
    )


HEALTHY = Observed(
    now_ms=NOW,
    config_path="/s/openclaw.json",
    gateway=Gateway(False, None, None, "test"),
    stores=(ObservedStore(STORE, 1000, numbers(job(3, MINUTE_MS, done=3)), None),),
    forecast=Forecast(100, 200, 22.0, "test"),
    cron_store="/s/cron/jobs.json",
    jobs=(Job("j1", "night", True),),
    jobs_problem=None,
    retention_problem=None,
    enforces=False,
    rotate_bytes=10 << 20,
)
ALIVE = Gateway(True, 1, NOW, "test")
TWIN = Job("b", "x", True, does="does")
BAK = Leftover(Path("/s/sessions.json.bak.1"), 500, NOW)

KEPT = KeptFile(Path("/s/sessions.json"), "it is on record", "wait", sha256="ab")


def store(**changes):
    return {"stores": (dataclasses.replace(HEALTHY.stores[0], **changes),)}


CASES = {
    "store-too-big": store(size_bytes=STRING_LIMIT_CHARS + 1),
    "store-invalid": store(numbers=None, error="cut off", damaged=True, backups=(BAK,)),
    "store-missing": store(size_bytes=None, numbers=None, error="missing", backups=(BAK,)),
    "store-unreadable": store(size_bytes=None, numbers=None, error="Permission denied"),
    "heap-forecast": {"forecast": Forecast(201, 200, 22.0, "test")},
    "heap-close": {"forecast": Forecast(200, 200, 22.0, "test")},
    "rotation-trap": {"enforces": True, "rotate_bytes": 999},
    "cron-store-invalid": {"jobs_problem": "not valid JSON"},
    "runs-stuck": store(numbers=numbers(job(2, MINUTE_MS, running=2))),
    "job-rapid": store(numbers=numbers(job(11, 10 * MINUTE_MS - 1, done=11))),
    "marker-orphaned": {"jobs": (Job("j1", "night", True, running_at_ms=NOW - MINUTE_MS),)},
    "leftovers": store(litter=(Leftover(Path("/s/x.tmp"), 5, 1),)),
    "import-waits": {"kept": (dataclasses.replace(KEPT, waits=True, plugins=("brave",)),)},
    "retained-source-changed": {"kept": (dataclasses.replace(KEPT, waits=True, is_changed=True),)},
    "store-on-record": {"kept": (KEPT,)},
    "owner-unknown": {"kept": (dataclasses.replace(KEPT, is_unknown=True),)},
    "retention-invalid": {"retention_problem": "cron.sessionRetention: bad"},
    "disk-full": {"spaces": (Space(Path("/s"), 1, 5, 10**12),)},
    "port-taken": {"listener": Listener(7, "python3", is_gateway=False), "port": 18789},
    "chats-running": store(numbers=numbers(running=(tally("channel", 29),))),
    "kind-fills-store": store(numbers=numbers(entries=399, kinds=(tally("sub-agent", 200),))),
    "jobs-twin": {"jobs": (Job("a", "x", True, does="does"), TWIN)},
    "folder-litter": {"folders": (TranscriptFolder(Path("/s"), (FileKind(ORPHANS, 1000, 5),)),)},
}
ERRORS = {
    "store-too-big",
    "store-invalid",
    "store-missing",
    "store-unreadable",
    "heap-forecast",
    "rotation-trap",
    "cron-store-invalid",
    "disk-full",
    "port-taken",
    "retained-source-changed",
}


def test_all_is_well():
    assert find_problems(HEALTHY) == ()


@pytest.mark.parametrize("code", CASES)
def test_each_problem_is_found_alone(code):
    (found,) = find_problems(dataclasses.replace(HEALTHY, **CASES[code]))
    assert found.code == code
    assert found.severity == ("error" if code in ERRORS else "warning")
    assert found.hint
    assert "\n" not in found.message


@pytest.mark.parametrize(
    "changes",
    [
        store(size_bytes=STRING_LIMIT_CHARS),
        store(size_bytes=None, numbers=None, error="missing"),
        store(numbers=numbers(job(11, 10 * MINUTE_MS, done=11))),
        store(numbers=numbers(job(10, 1, done=10))),
        {**store(numbers=numbers(job(2, MINUTE_MS, running=2))), "gateway": ALIVE},
        {"jobs": (Job("j1", "", True, running_at_ms=NOW - MINUTE_MS),), "gateway": ALIVE},
        {"forecast": Forecast(180, 200, 22.0, "test")},
        {"forecast": Forecast(10**12, None, 22.0, "test")},
        {"forecast": None},
        {"enforces": True, "rotate_bytes": 1000},
        {"spaces": (Space(Path("/s"), 1, 64 << 20, 10**12), Space(Path("/t"), 2, 101, 2020))},
        {"listener": Listener(7, "node", is_gateway=None)},
        {"listener": Listener(7, "node", is_gateway=True)},
        store(numbers=numbers(running=(tally("cron run", 29),))),
        {**store(numbers=numbers(running=(tally("main", 1),))), "gateway": ALIVE},
        store(numbers=numbers(entries=400, kinds=(tally("sub-agent", 200),))),
        store(numbers=numbers(entries=200, kinds=(tally("sub-agent", 199),))),
        store(numbers=numbers(entries=200, kinds=(tally("main", 200),))),
        {"jobs": (Job("a", "x", False, does="does"), TWIN)},
        {"jobs": (Job("a", "x", True, does=""), Job("b", "x", True, does=""))},
        {"folders": (TranscriptFolder(Path("/s"), (FileKind(ORPHANS, 999, 99_999_999),)),)},
        {"folders": (TranscriptFolder(Path("/s"), (FileKind("transcript", 9999, 10**9),)),)},
    ],
)
def test_what_looks_alike_is_no_problem(changes):
    assert find_problems(dataclasses.replace(HEALTHY, **changes)) == ()


def test_errors_come_first_and_jobs_have_their_names():
    both = {**CASES["job-rapid"], **CASES["cron-store-invalid"]}
    found = find_problems(dataclasses.replace(HEALTHY, **both))
    assert [finding.code for finding in found] == ["cron-store-invalid", "job-rapid"]
    assert found[1].subject == "night (j1)"


def look(path, measure=lambda _store: numbers(), now_ms=NOW):
    (found,) = observe_all([Store(path, None)], measure, now_ms)
    return found


def test_a_store_and_what_lies_beside_it(tmp_path):
    path = tmp_path / "sessions.json"
    path.write_text("{}")
    tmp = "sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp"
    names = ("sessions.json.bak.1", "sessions.json.bak.2", tmp, "sessions.json.bak.x", "other.tmp")
    for seconds, name in enumerate(names):
        (tmp_path / name).write_text("12345")
        os.utime(tmp_path / name, (seconds, seconds))
    (tmp_path / "sessions.json.lock").write_text('{"pid": 4194999, "starttime": 1}')
    found = look(path)
    assert found.size_bytes == 2
    assert found.numbers == numbers()
    assert [b.path.name for b in found.backups] == ["sessions.json.bak.2", "sessions.json.bak.1"]
    assert [old.path.name for old in found.litter] == [tmp, "sessions.json.lock"]


def test_a_held_lock_and_a_write_in_progress_are_no_litter(tmp_path):
    path = tmp_path / "sessions.json"
    path.write_text("{}")
    now_ms = path.stat().st_mtime_ns // 1_000_000
    (tmp_path / "sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp").write_text("")
    (tmp_path / "sessions.json.lock").write_text(f'{{"pid": {os.getpid()}}}')
    assert look(path, now_ms=now_ms).litter == ()
    (tmp_path / "sessions.json.lock").write_text("")  # made, payload not yet written
    assert look(path, now_ms=now_ms).litter == ()
    assert len(look(path, now_ms=now_ms + 60_000).litter) == 1


def test_what_goes_wrong_becomes_the_stores_error(tmp_path):
    def cut(_store):
        raise StoreInvalid("cut off at byte 5")

    def changed(_store):
        raise TryLater("changed")

    path = tmp_path / "sessions.json"
    assert look(path).error == "missing"
    path.write_text("{")
    assert (look(path, cut).error, look(path, cut).damaged) == ("cut off at byte 5", True)
    assert (look(path, changed).error, look(path, changed).damaged) == ("changed", False)
    os.mkfifo(tmp_path / "fifo")
    assert look(tmp_path / "fifo").error == "not a regular file"
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in look(tmp_path / "loop").error


@pytest.mark.parametrize(
    ("undo", "hint"),
    [("A1", "`tailflip restore A1 --apply`"), (None, "its SHA-256 must be ab")],
)
def test_a_changed_store_on_record_is_told_with_what_gives_its_bytes_back(undo, hint):
    kept = dataclasses.replace(KEPT, waits=True, is_changed=True, undo=undo)
    (found,) = find_problems(dataclasses.replace(HEALTHY, kept=(kept,)))
    assert hint in found.hint
    assert "exit 78" in found.message


def test_an_import_that_waits_names_its_plugins():
    kept = dataclasses.replace(KEPT, waits=True, plugins=("brave", "codex"))
    (found,) = find_problems(dataclasses.replace(HEALTHY, kept=(kept,)))
    assert "brave, codex" in found.message
    assert found.hint == "`openclaw update repair`, then `openclaw doctor --fix`"
