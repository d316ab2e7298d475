"""Rows of a database are judged as the entries of a JSON store are."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.stores import GONE, HOUR_MS, NOW_MS
from tailflip import _native
from tailflip.flow.numbers import RowNumbers
from tailflip.flow.observed import Evidence, Gateway
from tailflip.plan.policy import DropKind, Policy
from tailflip.stores.json import native

ALIVE = Evidence(
    gateway=Gateway(alive=True, pid=1, started_ms=NOW_MS - 2 * HOUR_MS, evidence="test"),
    live_sessions=frozenset({"s3", "s7"}),
)
MIB = 1 << 20

keys = st.sampled_from(
    [
        "agent:a:cron:j0:run:{}",
        "agent:a:cron:j1:run:{}",
        "agent:b:cron:j0:run:{}",
        "agent:a:cron:j{}",
        "agent:a:subagent:{}",
        "agent:a:dreaming-narrative-light-0123456789ab-{}",
        "agent:a:direct:{}",
        "voice:{}",
    ]
)
times = st.none() | st.sampled_from([0, 0, 1, 2, 30, 80]).map(
    lambda hours: NOW_MS - hours * HOUR_MS
)
statuses = st.sampled_from([None, "running", "running", "done", "failed", "paused"])
entries = st.lists(
    st.tuples(keys, times, times, statuses, st.booleans(), st.booleans()), max_size=25
)
policies = st.builds(
    Policy,
    slim=st.booleans(),
    slim_idle_ms=st.sampled_from([None, HOUR_MS]),
    retire=st.booleans(),
    retention_ms=st.sampled_from([None, 0, 24 * HOUR_MS]),
    max_lifetime_ms=st.sampled_from([None, HOUR_MS]),
    single_flight=st.booleans(),
    cap_per_job=st.sampled_from([None, 1, 3]),
    cap_total=st.sampled_from([None, 2]),
    drop_kinds=st.sampled_from([(), tuple((kind, HOUR_MS) for kind in DropKind)]),
)


def make_both(made):
    """Make the members of a store and the rows of a database of the same entries."""
    members, rows = [], []
    for n, (pattern, updated, started, status, is_set, is_large) in enumerate(made):
        key, session = pattern.format(n), f"s{n}"
        fields = {
            "sessionId": session,
            "updatedAt": updated,
            "startedAt": started,
            "status": status,
            "modelOverride": "m" if is_set else None,
            "skillsSnapshot": "x" * 50 if is_large else None,
        }
        entry = {name: value for name, value in fields.items() if value is not None}
        member = f"{json.dumps(key)}:{json.dumps(entry)}"
        members.append(member)
        bulk = 50 if is_large else 0
        rows.append(
            (key, session, updated, started, None, status, is_set, False, bulk, len(member))
        )
    return "{" + ",".join(members) + "}", rows


def start(policy=None, evidence=GONE):
    return _native.RowJudge(*native.compile_policy(policy or Policy(), evidence, NOW_MS))


def judge(rows, policy, evidence, batch):
    judge = start(policy, evidence)
    batches = [rows[at : at + batch] for at in range(0, len(rows), batch)]
    for each in batches:
        judge.offer(each)
    verdicts = [verdict for each in batches for verdict in judge.judge(each)]
    return verdicts, RowNumbers.model_validate_json(judge.finish())


def compact(path, text, policy, evidence):
    """Survey and rewrite a store: its numbers, the rule that met each key, and what is left."""
    store, new, kept = path / "store", path / "new", path / "kept"
    store.write_text(text)
    with store.open("rb") as old, new.open("w+b") as out, kept.open("w+b") as archive:
        surveyed = native.survey(old.fileno(), policy, evidence, NOW_MS)
        native.rewrite(old.fileno(), out.fileno(), archive.fileno(), surveyed, None)
        headers = _native.ArchiveReader(archive.fileno()).next_headers(1_000)
    rules = {header["key"]: header["rule"] for header in map(json.loads, headers)}
    return surveyed.numbers, rules, json.loads(new.read_text())


@settings(max_examples=150, deadline=None)
@given(
    made=entries, policy=policies, evidence=st.sampled_from([GONE, ALIVE]), batch=st.integers(1, 9)
)
def test_rows_get_the_verdicts_of_a_store(tmp_path_factory, made, policy, evidence, batch):
    text, rows = make_both(made)
    numbers, rules, left = compact(tmp_path_factory.mktemp("rows"), text, policy, evidence)
    verdicts, told = judge(rows, policy, evidence, batch)
    for (key, *_), verdict in zip(rows, verdicts, strict=True):
        action, rule, end = verdict or ("keep", None, None)
        assert rule == rules.get(key), key
        assert (action == "drop") == (key not in left)
        if end is not None:
            entry = left[key]
            assert end == (entry["status"], entry["endedAt"], entry["runtimeMs"])
    for name in ("entries", "kinds", "running", "jobs", "jobs_untracked", "entries_after"):
        assert getattr(told, name) == getattr(numbers, name), name
    assert [(r.name, r.entries) for r in told.rules] == [(r.name, r.entries) for r in numbers.rules]


ROW = ("agent:a:cron:j:run:1", "s", 1, None, None, "done", False, False, 0, 10)


def test_a_batch_is_bounded():
    with pytest.raises(ValueError, match=str(_native.MAX_ROWS)):
        start().offer([ROW] * (_native.MAX_ROWS + 1))


def test_no_row_is_offered_once_one_was_judged():
    judge = start()
    judge.offer([ROW])
    assert judge.judge([ROW]) == [("drop", "expire", None)]
    with pytest.raises(ValueError, match="judged already"):
        judge.offer([ROW])


def test_other_rows_in_the_second_pass_are_refused():
    judge = start()
    judge.offer([ROW])
    judge.judge([(*ROW[:2], 2, *ROW[3:])])
    with pytest.raises(_native.StoreInvalid) as caught:
        judge.finish()
    assert caught.value.args == ("changed", 0)
    with pytest.raises(ValueError, match="failed"):
        judge.judge([ROW])


CHILD = """
import sys
from pathlib import Path
from tailflip import _native
from tailflip.stores.json import native
from tailflip.flow.observed import Evidence, Gateway
from tailflip.plan.policy import Policy

evidence = Evidence(gateway=Gateway(alive=False, pid=None, started_ms=None, evidence="test"))
policy = Policy(cap_per_job=100, cap_total=5_000, retention_ms=None)
judge = _native.RowJudge(*native.compile_policy(policy, evidence, 10**12))
count = int(sys.argv[1])
for work in (judge.offer, judge.judge):
    for at in range(0, count, 4_000):
        work([
            (f"agent:a:cron:j{n % 500}:run:{n}", f"s{n}", n, n, None, "done", False, False, 0, 9)
            for n in range(at, at + 4_000)
        ])
judge.finish()
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def test_memory_does_not_know_how_many_rows_there_are():
    def measure_peak_bytes(rows):
        argv = [sys.executable, "-c", CHILD, str(rows)]
        run = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
        return int(run.stdout) * 1024

    assert measure_peak_bytes(800_000) - measure_peak_bytes(60_000) < 2 * MIB
