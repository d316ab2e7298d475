"""Every row of the run's life-cycle under every state of the ledgers: fate and words.

Rows are what the store says of a run (measured on the real gateway), columns what the other
ledgers say. Times are minutes before NOW; the gateway lives since START.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.life_cycle import HOUR, LIVING, MIN, NOW, RESTARTED, ROWS, STOPPED, UNTOLD, ago
from tailflip.flow.observed import TranscriptLock
from tailflip.stores.proof.prove import BY_KEY, BY_TIME, End, Facts, Fate, prove


def log(status="done", ended=35, how="by its session key"):
    return End(status, ago(ended), 5 * MIN, "run log", how)


TASK_SAYS_FAILED = End("failed", ago(35), 5 * MIN, "task ledger", "by job and start")
LOCKED = TranscriptLock(7, alive=True)

# What the other ledgers say -> fate, status, and a piece of the words.
COLUMNS = {
    "stopped, log has its end": (
        {"gateway": STOPPED, "ends": (log(),)},
        ("over", "done", "the run log says it ended done at 2027-01-15 07:25:00Z (by its session"),
    ),
    "stopped, log matched by time": (
        {"gateway": STOPPED, "ends": (log("timeout", how="by job and time"),)},
        ("over", "timeout", "ended timeout at 2027-01-15 07:25:00Z (by job and time)"),
    ),
    "stopped, no ledger knows": (
        {"gateway": STOPPED},
        ("dead", "killed", "no gateway is running (no lock with a living owner), and no ledger"),
    ),
    "stopped, marker left": (
        {"gateway": STOPPED, "marker_ms": ago(41)},
        ("dead", "killed", "the marker outlived its owner"),
    ),
    "stopped, log and task disagree": (
        {"gateway": STOPPED, "ends": (log(), TASK_SAYS_FAILED)},
        ("over", "done", "the task ledger says failed instead"),
    ),
    "stopped, only the task ledger has its end": (
        {"gateway": STOPPED, "ends": (TASK_SAYS_FAILED,)},
        ("over", "failed", "the task ledger says it ended failed"),
    ),
    "stopped, our ledger saw the death": (
        {"gateway": STOPPED, "died_ms": ago(30)},
        ("dead", "killed", "its gateway died at 2027-01-15 07:30:00Z"),
    ),
    "stopped, lock of the dead": (
        {"gateway": STOPPED, "lock": TranscriptLock(7, alive=False)},
        ("dead", "killed", "no ledger has an end of it"),
    ),
    "living, log has its end": (
        {"ends": (log("failed"),)},
        ("over", "failed", "the run log says it ended failed"),
    ),
    "living, log has its end, marker not yet gone": (
        {"ends": (log(),), "marker_ms": ago(41)},
        ("over", "done", "the run log says it ended done"),
    ),
    "living, locked": (
        {"lock": LOCKED},
        ("alive", None, "its transcript is locked by pid 7, which lives"),
    ),
    "living, locked, log says over": (
        {"lock": LOCKED, "ends": (log(),)},
        ("alive", None, "although the run log says it ended done"),
    ),
    "living, lock in doubt": (
        {"lock": TranscriptLock(None, alive=None)},
        ("alive", None, "its transcript is locked by a process, which may live"),
    ),
    "living, transcript just written": (
        {"transcript_ms": ago(1)},
        ("alive", None, "its transcript was written 60 s ago"),
    ),
    "living, task ledger heard of it": (
        {"task_seen_ms": ago(2)},
        ("alive", None, "the task ledger heard of it 2 min ago"),
    ),
    "living, nothing": ({}, ("unknown", None, "no ledger has an end of it")),
    "restarted since, nothing": (
        {"gateway": RESTARTED},
        ("dead", "killed", "older than the gateway, which started at 2027-01-15 07:50:00Z"),
    ),
    "restarted since, log has its end": (
        {"gateway": RESTARTED, "ends": (log(),)},
        ("over", "done", "the run log says it ended done"),
    ),
    "restarted since, old marker": (
        {"gateway": RESTARTED, "marker_ms": ago(41)},
        ("dead", "killed", "the marker outlived its owner"),
    ),
    "restarted since, transcript written by the new one": (
        {"gateway": RESTARTED, "transcript_ms": ago(7)},
        ("unknown", None, "no ledger has an end of it"),
    ),
    "untold, nothing": (
        {"gateway": UNTOLD},
        ("unknown", None, "whether a gateway runs could not be told (port cannot be probed)"),
    ),
    "untold, log has its end": (
        {"gateway": UNTOLD, "ends": (log(),)},
        ("over", "done", "the run log says it ended done"),
    ),
    "a sub-agent run refers to it, living": (
        {"registered": True},
        ("alive", None, "a sub-agent run without an end refers to it"),
    ),
    "a sub-agent run refers to it, stopped": (
        {"registered": True, "gateway": STOPPED},
        ("unknown", None, "the gateway may resume it at its next start"),
    ),
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
def test_matrix(row, column):
    more, (fate, status, words) = COLUMNS[column]
    proof = prove(replace(ROWS[row], **more))
    assert (proof.fate, proof.status) == (fate, status), proof.words
    assert words in "; ".join(proof.words)
    assert (proof.ended_ms is None) == (status is None)
    if proof.ended_ms is not None:
        assert ago(40) <= proof.ended_ms <= NOW
        assert proof.runtime_ms is not None
        assert proof.runtime_ms >= 0


@pytest.mark.parametrize(
    ("row", "marker", "timeout", "fate", "words"),
    [
        # the marker is set before the entry is written
        ("first run in flight, run", 41, None, "alive", "marked as running since"),
        ("first run in flight, base", 41, None, "alive", "within its time-out"),
        ("later success, sticky running", 41, None, "alive", "marked as running since"),
        ("healthy run without status", 41, 60, "alive", "within its time-out"),
        ("healthy run without status", 41, 0, "alive", "within its time-out"),
        # a newer run has begun: the marker is that one's
        ("sticky, and a newer run began", 41, None, "unknown", "a newer run of its job has"),
        ("later success, sticky running", 5, None, "unknown", "marker is of another run"),
        # longer than the job may run
        ("healthy run without status", 41, 30, "unknown", "older than any run may be"),
        ("later success, sticky running", 150, None, "unknown", "older than any run may be"),
        # no marker where there is a scheduler
        ("healthy run without status", None, None, "unknown", "its job is not marked as running"),
    ],
)
def test_marker_of_the_living_gateway(row, marker, timeout, fate, words):
    facts = replace(
        ROWS[row],
        marker_ms=None if marker is None else ago(marker),
        timeout_ms=None if timeout is None else timeout * MIN,
    )
    proof = prove(facts)
    assert proof.fate == fate, proof.words
    assert words in "; ".join(proof.words)


def test_end_before_the_start_is_another_runs():
    """A shared session ran at noon and runs again: noon's line must not end it."""
    facts = replace(ROWS["session target"], ends=(log(ended=50),))
    proof = prove(facts)
    assert proof.fate is Fate.UNKNOWN
    assert "the run log knows only of an end at 2027-01-15 07:10:00Z, of another run" in (
        proof.words
    )


@pytest.mark.parametrize(("how", "fate"), [(BY_TIME, Fate.ALIVE), (BY_KEY, Fate.OVER)])
def test_a_line_without_a_key_from_before_the_marker_is_another_runs(how, fate):
    """The marker is set when a run begins: what began before it belongs to the run before."""
    facts = Facts(
        NOW,
        LIVING,
        updated_ms=ago(38),
        marker_ms=ago(39),
        ends=(log(ended=35, how=how),),  # it took five minutes, and began at 40
    )
    assert prove(facts).fate is fate
    assert prove(replace(facts, marker_ms=ago(41))).fate is Fate.OVER


def test_an_entry_without_any_time_is_kept():
    proof = prove(Facts(NOW, STOPPED))
    assert proof.fate is Fate.UNKNOWN
    assert "it carries no time" in proof.words


@pytest.mark.parametrize(
    ("more", "ended", "length"),
    [
        ({}, 37, 3),
        ({"died_ms": ago(36)}, 36, 4),
        ({"transcript_ms": ago(30)}, 35, 5),  # written after the end on record: that counts
    ],
)
def test_a_killed_run_ended_before_its_end_was_found(more, ended, length):
    facts = replace(ROWS["first run in flight, run"], transcript_ms=ago(37), ends=(log("killed"),))
    proof = prove(replace(facts, **more))
    assert (proof.ended_ms, proof.runtime_ms) == (ago(ended), length * MIN)


def test_end_of_a_killed_run_is_its_last_sign_of_life():
    facts = replace(
        ROWS["first run in flight, run"], gateway=STOPPED, transcript_ms=ago(37), updated_ms=ago(40)
    )
    proof = prove(facts)
    assert (proof.ended_ms, proof.runtime_ms) == (ago(37), 3 * MIN)


times = st.none() | st.integers(0, NOW)
facts_at_large = st.builds(
    Facts,
    now_ms=st.just(NOW),
    gateway=st.sampled_from([STOPPED, LIVING, RESTARTED, UNTOLD]),
    updated_ms=times,
    started_ms=times,
    is_current=st.sampled_from([None, True, False]),
    ends=st.lists(
        st.builds(
            End,
            st.sampled_from(["done", "failed", "killed", "timeout"]),
            st.integers(0, NOW),
            st.integers(0, HOUR),
            st.sampled_from(["run log", "task ledger"]),
            st.just("by its session key"),
        ),
        max_size=2,
    ).map(tuple),
    registered=st.booleans(),
    lock=st.none() | st.builds(TranscriptLock, st.just(7), st.sampled_from([True, False, None])),
    marker_ms=times,
    timeout_ms=st.none() | st.integers(0, HOUR),
    task_seen_ms=times,
    transcript_ms=times,
    died_ms=times,
    began_ms=times,
    owner_pid=st.sampled_from([None, 7]),
    holder_pid=st.sampled_from([None, 8]),
)


@given(facts_at_large)
def test_laws(facts):
    proof = prove(facts)
    assert proof.words, "every verdict says why"
    if facts.lock is not None and facts.lock.alive is not False:
        assert proof.fate is Fate.ALIVE, "a lock that may be held is never overruled"
    if proof.fate is Fate.DEAD:
        assert facts.gateway.alive is not None, "nobody dies of a gateway that cannot be seen"
        assert not any(e.ended_ms >= (facts.started_ms or 0) for e in facts.ends)
        assert facts.owner_pid is None, "a run whose owner lives is not dead"
        assert facts.gateway.alive or facts.holder_pid is None, "nor beside one who has its store"
    is_end = proof.fate in (Fate.OVER, Fate.DEAD)
    assert is_end == (proof.status is not None) == (proof.ended_ms is not None)
