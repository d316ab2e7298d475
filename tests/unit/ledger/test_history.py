"""The history of one gateway: what comes back, what is not written, what a kill leaves."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from support.stores import FULL, HOUR_MS, NOW_MS, FaultyDisk
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, IoFailed, Usage
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Breaker, BreakerState, Cause, Confidence, Death, Decision, Life
from tailflip.flow.observed import Sample
from tailflip.ledger.history import History, read_guards
from tailflip.ledger.retention import MOST_DECISIONS, MOST_LIVES, MOST_SAMPLES, MOST_TAILS

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home

DISK = RealDisk()
GUARD = "/home/u/.openclaw"
DAY_MS = 24 * HOUR_MS
MB = 1_000_000


def make_life(name: str = "l1", started_ms: int = NOW_MS, **known: object) -> Life:
    return Life(id=name, guard=GUARD, mode="run", started_ms=started_ms, **known)


def make_death(signature: str = "v8-heap-oom") -> Death:
    return Death(
        cause=Cause.V8_HEAP,
        signature=signature,
        confidence=Confidence.PROVEN,
        evidence=("stderr: FATAL ERROR: Reached heap limit",),
    )


def make_finding(subject: str = "/s.json", code: str = "heap-forecast", **changed: str) -> Finding:
    cells = {"severity": "error", "message": "too big", "hint": "compact"} | changed
    return Finding(code, subject=subject, evidence=("a", "b"), **cells)


@pytest.fixture
def history(home: Home) -> History:
    return History(home, DISK, GUARD)


@pytest.fixture
def counted(home: Home) -> History:
    """A history whose disk counts commits; see `commits`."""
    History(home, DISK, GUARD).put_fact("made", 1)
    return History(home, FaultyDisk(), GUARD)


def commits(history: History) -> int:
    assert isinstance(history.disk, FaultyDisk)
    return history.disk.effects.count("commit")


def count_rows(home: Home, table: str) -> int:
    with closing(sqlite3.connect(home.ledger)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608


def test_reading_a_history_that_is_not_there_finds_nothing_and_makes_nothing(history, home):
    assert history.read_lives() == ()
    assert history.find_life("l1") is None
    assert history.read_stderr("l1") == b""
    assert history.read_breaker() == Breaker()
    assert history.read_decision() is None
    assert history.read_decisions(0) == ()
    assert history.read_incidents() == ()
    assert history.count_deaths() == {}
    assert history.close_incidents(NOW_MS) == ()
    assert history.read_findings() == ()
    assert history.note_findings((), NOW_MS, {"heap-forecast"}) is False
    assert history.read_samples(0) == ()
    assert history.get_fact("x") is None
    assert history.expire(NOW_MS, 30) is False
    assert read_guards(home, DISK) == ()
    assert not home.root.exists()


def test_a_life_comes_back_as_it_was_last_written(history):
    life = make_life(command=("openclaw", "gateway", "run"), boot_id="b")
    history.begin_life(life)
    assert history.find_life("l1") == life
    life = life.model_copy(update={"pid": 7, "pid_ticks": 8, "ready_ms": NOW_MS + 5})
    history.update_life(life)
    assert history.read_lives() == (life,)
    life = life.model_copy(
        update={"ended_ms": NOW_MS + 9, "exit_code": 1, "death": make_death(), "incident": "1"}
    )
    history.end_life(life, b"")
    assert history.find_life("l1") == life
    assert history.read_lives(incident="1") == (life,)
    assert history.read_lives(incident="2") == ()
    assert history.count_deaths() == {"1": 1}


def test_lives_come_newest_first_by_when_they_were_written_whatever_the_clock_said(history):
    history.begin_life(make_life("before", NOW_MS))
    history.begin_life(make_life("after-the-clock-went-back", NOW_MS - DAY_MS))
    names = [life.id for life in history.read_lives()]
    assert names == ["after-the-clock-went-back", "before"]
    assert len(history.read_lives(1)) == 1


def test_a_life_survives_that_somebody_deletes_the_ledger(history, home):
    life = make_life()
    history.begin_life(life)
    home.ledger.unlink()
    history.end_life(life, b"tail")
    assert history.read_lives() == (life,)
    assert history.read_stderr("l1") == b"tail"


def test_two_lives_of_one_name_are_an_error(history):
    history.begin_life(make_life())
    with pytest.raises(IoFailed, match=r"ledger\.sqlite"):
        history.begin_life(make_life())


def test_guards_do_not_see_each_other_and_the_newest_is_named_first(history, home):
    other = History(home, DISK, "/srv/other")
    other.begin_life(Life(id="o", guard="/srv/other", mode="gate", started_ms=1))
    history.begin_life(make_life())
    history.put_fact("n", 1)
    history.open_incident(make_death(), NOW_MS)
    assert [life.id for life in other.read_lives()] == ["o"]
    assert other.get_fact("n") is None
    assert other.read_incidents() == ()
    assert read_guards(home, DISK) == (GUARD, "/srv/other")


def test_stderr_comes_back_byte_for_byte_and_only_the_newest_tails_are_kept(history, home):
    noise = os.urandom(1 << 18)
    for n in range(MOST_TAILS + 5):
        history.begin_life(make_life(f"l{n}"))
        history.end_life(make_life(f"l{n}"), noise + b"%d" % n)
    assert history.read_stderr(f"l{MOST_TAILS + 4}") == noise + b"%d" % (MOST_TAILS + 4)
    kept = [n for n in range(MOST_TAILS + 5) if history.read_stderr(f"l{n}")]
    assert kept == list(range(5, MOST_TAILS + 5))
    assert len(history.read_lives()) == MOST_TAILS + 5
    assert home.ledger.stat().st_size < (MOST_TAILS + 4) * len(noise)


def test_decision_and_breaker_come_back_together(history):
    breaker = Breaker(state=BreakerState.OPEN, signature="s", row=3, trials=1, marks="m")
    first = Decision(kind="start", reason="first")
    last = Decision(kind="wait", reason="last", at_ms=NOW_MS + 5, alert=True)
    history.record_decision(first, Breaker(row=1), None, NOW_MS)
    history.record_decision(last, breaker, "l1", NOW_MS - 1)
    assert history.read_decision() == last
    assert history.read_breaker() == breaker
    made = history.read_decisions(NOW_MS)
    assert [(each.at_ms, each.life_id, each.decision) for each in made] == [(NOW_MS, None, first)]


def test_killed_at_any_effect_a_decision_is_there_with_its_breaker_or_neither(home):
    """A supervisor that restarted with half of it would count a death twice, or not at all."""
    History(home, DISK, GUARD).record_decision(
        Decision(kind="start", reason="old"), Breaker(row=1), None, NOW_MS
    )
    pid = os.fork()
    if pid == 0:
        dying = History(home, FaultyDisk(1), GUARD)
        dying.record_decision(Decision(kind="end", reason="new"), Breaker(row=2), None, NOW_MS)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    after = History(home, DISK, GUARD)
    decision = after.read_decision()
    assert decision is not None
    assert (decision.reason, after.read_breaker().row) == ("old", 1)
    after.record_decision(Decision(kind="end", reason="new"), Breaker(row=2), None, NOW_MS)
    assert after.read_breaker().row == 2


def test_a_disk_that_is_full_fails_the_write_and_keeps_what_was_there(home):
    History(home, DISK, GUARD).begin_life(make_life("kept"))
    full = History(home, FaultyDisk(1, error=FULL), GUARD)
    with pytest.raises(CannotCreate, match="No space"):
        full.begin_life(make_life("failed"))
    assert [life.id for life in full.read_lives()] == ["kept"]


def test_a_breaker_that_did_not_change_is_not_written(counted):
    counted.record_breaker(Breaker())
    assert commits(counted) == 0
    counted.record_breaker(Breaker(row=1))
    counted.record_breaker(Breaker(row=1))
    assert commits(counted) == 1
    assert counted.read_breaker() == Breaker(row=1)


def test_deaths_of_one_signature_are_one_incident_until_it_is_closed(history):
    first = history.open_incident(make_death(), NOW_MS)
    assert history.open_incident(make_death(), NOW_MS + 1) == first
    other = history.open_incident(make_death("hang"), NOW_MS + 2)
    assert other.id != first.id
    assert history.read_incidents() == (other, first)
    closed = history.close_incidents(NOW_MS + 3)
    assert {each.id for each in closed} == {first.id, other.id}
    assert history.read_incidents(1)[0].closed_ms == NOW_MS + 3
    again = history.open_incident(make_death(), NOW_MS + 4)
    assert again.id not in {first.id, other.id}
    assert history.find_incident(again.id) == again


def test_an_incident_keeps_when_it_was_first_seen(history):
    incident = history.open_incident(make_death(), NOW_MS)
    assert history.ack(incident.id, NOW_MS + 5).acked_ms == NOW_MS + 5
    assert history.ack(incident.id, NOW_MS + 9).acked_ms == NOW_MS + 5
    assert history.find_incident(incident.id).acked_ms == NOW_MS + 5


@pytest.mark.parametrize("name", ["99", "x", "", " 1", "1.0", "\uff11"])
def test_an_incident_that_is_not_there_is_bad_arguments(history, name):
    history.open_incident(make_death(), NOW_MS)
    with pytest.raises(Usage, match="no such incident"):
        history.ack(name, NOW_MS)


def test_findings_open_stay_and_end(history):
    big, bad = make_finding(), make_finding(code="store-invalid")
    judged = {"heap-forecast", "store-invalid"}
    assert history.note_findings([big], NOW_MS, judged)
    assert history.note_findings([big, bad], NOW_MS + 1, judged)
    assert [each.finding for each in history.read_findings()] == [bad, big]
    assert history.note_findings([bad], NOW_MS + 2, judged)
    (open_,) = history.read_findings()
    assert (open_.finding, open_.first_ms, open_.ended_ms) == (bad, NOW_MS + 1, None)
    ended = history.read_findings(open_only=False)[1]
    assert (ended.finding, ended.first_ms, ended.ended_ms) == (big, NOW_MS, NOW_MS + 2)
    assert history.note_findings([bad, big], NOW_MS + 3, judged)
    assert len(history.read_findings(open_only=False)) == 3


def test_a_look_that_did_not_judge_a_code_does_not_end_its_findings(history):
    history.note_findings([make_finding()], NOW_MS, {"heap-forecast"})
    assert history.note_findings([], NOW_MS + 1, {"store-invalid"}) is False
    assert len(history.read_findings()) == 1


def test_a_finding_that_stands_is_refreshed_at_most_once_an_hour(counted):
    judged = {"heap-forecast"}
    counted.note_findings([make_finding()], NOW_MS, judged)
    for minutes in range(60):
        seen = make_finding(message=f"size {minutes}")
        assert counted.note_findings([seen], NOW_MS + minutes * 60_000, judged) is False
    assert commits(counted) == 1
    assert counted.note_findings([make_finding(message="grown")], NOW_MS + HOUR_MS, judged)
    (noted,) = counted.read_findings()
    assert (noted.finding.message, noted.first_ms, noted.last_ms) == (
        "grown",
        NOW_MS,
        NOW_MS + HOUR_MS,
    )


def test_a_finding_that_became_an_error_is_written_at_once(history):
    history.note_findings([make_finding(severity="warning")], NOW_MS, set())
    assert history.note_findings([make_finding()], NOW_MS + 1, set())
    assert history.read_findings()[0].finding.severity == "error"


def test_two_findings_of_one_code_and_subject_are_one(history):
    twice = [make_finding(message="in one store"), make_finding(message="in another")]
    assert history.note_findings(twice, NOW_MS, set())
    assert history.note_findings(twice, NOW_MS + 1, set()) is False
    assert history.read_findings()[0].finding.message == "in one store"


SAMPLES = [
    # minutes later, rss, stores, same life: written?
    (1, 100 * MB, 10 * MB, True, False),
    (1, 105 * MB, 10 * MB, True, False),
    (1, 106 * MB, 10 * MB, True, True),
    (1, 94 * MB, 10 * MB, True, True),
    (1, 100 * MB, 10 * MB + MB // 10, True, False),
    (1, 100 * MB, 10 * MB + MB // 5, True, True),
    (1, None, 10 * MB, True, True),
    (1, 100 * MB, None, True, True),
    (59, 100 * MB, 10 * MB, True, False),
    (60, 100 * MB, 10 * MB, True, True),
    (-1, 100 * MB, 10 * MB, True, True),
    (1, 100 * MB, 10 * MB, False, True),
]


@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "after a restart"])
@pytest.mark.parametrize("row", SAMPLES, ids=str)
def test_a_sample_is_written_when_it_is_news(counted, home, row, fresh):
    minutes, rss, stores, same_life, written = row
    first = Sample(NOW_MS, 100 * MB, 10 * MB)
    assert counted.record_sample(first, "l1") is True
    history = History(home, FaultyDisk(), GUARD) if fresh else counted
    before = commits(history)
    sample = Sample(NOW_MS + minutes * 60_000, rss, stores)
    assert history.record_sample(sample, "l1" if same_life else "l2") is written
    assert commits(history) - before == written
    expected = sorted([first, sample] if written else [first], key=lambda s: s.at_ms)
    assert list(history.read_samples(0)) == expected


def test_slow_growth_is_compared_with_what_was_written_not_with_the_last_look(history):
    rss = [int(100 * MB * 1.01**n) for n in range(60)]
    written = [history.record_sample(Sample(NOW_MS + n, r, None), "l") for n, r in enumerate(rss)]
    assert 9 <= sum(written) <= 12


def test_samples_of_one_life_or_since_a_moment(history):
    for n, life in enumerate(["a", "a", "b"]):
        history.record_sample(Sample(NOW_MS + n, 2**n * MB, None), life)
    assert [s.at_ms - NOW_MS for s in history.read_samples(NOW_MS + 1)] == [1, 2]
    assert [s.at_ms - NOW_MS for s in history.read_samples(0, life_id="a")] == [0, 1]


def test_facts_come_back_and_are_written_when_they_change(counted):
    value = {"b": [1, None], "a": "x"}
    counted.put_fact("limit", value)
    counted.put_fact("limit", {"a": "x", "b": [1, None]})
    assert commits(counted) == 1
    assert counted.get_fact("limit") == value
    counted.put_fact("limit", 5)
    assert counted.get_fact("limit") == 5


def fill_old(history: History, now_ms: int) -> None:
    """Forty days of everything, a row a day, all of it over."""
    for day in range(40, 0, -1):
        at_ms = now_ms - day * DAY_MS
        life = make_life(f"l{day}", at_ms - 2, ended_ms=at_ms, death=make_death())
        history.begin_life(life)
        history.record_decision(Decision(kind="start", reason=""), Breaker(row=day), "x", at_ms)
        history.open_incident(make_death(), at_ms)
        history.close_incidents(at_ms)
        history.note_findings([make_finding()], at_ms - 1, {"heap-forecast"})
        history.note_findings([], at_ms, {"heap-forecast"})
        history.record_sample(Sample(at_ms, day, None), f"l{day}")


def test_what_is_older_than_the_days_to_keep_goes(history):
    fill_old(history, NOW_MS)
    assert history.expire(NOW_MS, 30) is True
    since_ms = NOW_MS - 30 * DAY_MS
    assert min(life.ended_ms for life in history.read_lives(100)) == since_ms
    assert min(made.at_ms for made in history.read_decisions(0)) == since_ms
    assert min(each.closed_ms for each in history.read_incidents(100)) == since_ms
    assert min(each.ended_ms for each in history.read_findings(open_only=False)) == since_ms
    assert history.read_samples(0)[0].at_ms == since_ms
    assert history.read_breaker() == Breaker(row=1)


def test_what_is_needed_to_go_on_stays_however_old(history):
    old = make_life("old")
    history.begin_life(old)
    history.record_decision(Decision(kind="wait", reason="r"), Breaker(row=3), "old", NOW_MS)
    incident = history.open_incident(make_death(), NOW_MS)
    history.note_findings([make_finding()], NOW_MS, set())
    history.expire(NOW_MS + 400 * DAY_MS, 30)
    assert history.read_lives() == (old,)
    assert history.read_decision() == Decision(kind="wait", reason="r")
    assert history.read_breaker() == Breaker(row=3)
    assert history.read_incidents() == (incident,)
    assert len(history.read_findings()) == 1


def test_expiring_happens_at_most_once_a_day(counted):
    counted.begin_life(make_life())
    before = commits(counted)
    assert counted.expire(NOW_MS, 30) is True
    assert counted.expire(NOW_MS + DAY_MS - 1, 30) is False
    assert commits(counted) == before + 1
    assert counted.expire(NOW_MS + DAY_MS, 30) is True
    assert counted.expire(NOW_MS, 30) is True, "a clock that was put back must not stop it"


def test_a_month_of_crashing_every_minute_stays_bounded(history, home):
    history.begin_life(make_life("first"))
    minutes = 7_000
    with closing(sqlite3.connect(home.ledger)) as db, db:
        for n in range(minutes):
            at_ms = NOW_MS + n
            life = make_life(f"l{n}", at_ms).model_dump_json()
            db.execute(
                "INSERT INTO lives (id, guard, started_ms, details) VALUES (?, ?, ?, ?)",
                (f"l{n}", GUARD, at_ms, life),
            )
            db.execute(
                "INSERT INTO decisions (guard, made_ms, details) VALUES (?, ?, ?)",
                (GUARD, at_ms, Decision(kind="start", reason="").model_dump_json()),
            )
            for half in (0, 1):
                db.execute(
                    "INSERT INTO samples (guard, at_ms, rss_bytes) VALUES (?, ?, 1)",
                    (GUARD, 2 * at_ms + half),
                )
    history.expire(NOW_MS + minutes, 30)
    assert count_rows(home, "lives") == MOST_LIVES
    assert count_rows(home, "decisions") == MOST_DECISIONS
    kept = [sample.at_ms for sample in history.read_samples(0)]
    assert len(kept) <= MOST_SAMPLES
    newest = 2 * (NOW_MS + minutes - 1) + 1
    assert kept[-2_500:] == list(range(newest - 2_499, newest + 1)), "the newest are all there"
    assert kept[0] - 2 * NOW_MS < 10, "the oldest time is still covered"
    assert max(b - a for a, b in pairwise(kept)) <= 5
    assert history.read_lives(1)[0].id == f"l{minutes - 1}"


def test_a_row_that_we_did_not_write_is_an_error(history, home):
    history.begin_life(make_life())
    with closing(sqlite3.connect(home.ledger)) as db, db:
        db.execute("UPDATE lives SET details = '{\"id\": 1}', stderr = x'00'")
    with pytest.raises(IoFailed, match=r"did not write: .*ledger\.sqlite"):
        history.read_lives()
    with pytest.raises(IoFailed, match="damaged"):
        history.read_stderr("l1")


def test_a_ledger_of_the_first_schema_is_brought_up_to_date(history, home):
    """Whoever used `compact` before there was a supervisor keeps the record of what it did."""
    home.create(DISK)
    with closing(sqlite3.connect(home.ledger)) as db, db:
        db.execute("PRAGMA user_version = 1")
        db.execute(
            "CREATE TABLE actions (id TEXT PRIMARY KEY, kind TEXT NOT NULL, store TEXT NOT NULL,"
            " state TEXT NOT NULL, created_ms INTEGER NOT NULL, details TEXT NOT NULL) STRICT"
        )
        db.execute("INSERT INTO actions VALUES ('a', 'compact', '/s', 'done', 1, '{}')")
    history.begin_life(make_life())
    assert history.read_lives() == (make_life(),)
    assert count_rows(home, "actions") == 1
