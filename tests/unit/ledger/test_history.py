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
from tailflip.base.workspace import Workspace
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
    return History(Workspace(home, DISK), GUARD)


@pytest.fixture
def counted(home: Home) -> History:
    """A history whose disk counts commits; see `commits`."""
    History(Workspace(home, DISK), GUARD).facts.put("made", 1)
    return History(Workspace(home, FaultyDisk()), GUARD)


def commits(history: History) -> int:
    assert isinstance(history.workspace.disk, FaultyDisk)
    return history.workspace.disk.effects.count("commit")


def count_rows(home: Home, table: str) -> int:
    with closing(sqlite3.connect(home.ledger)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608


def test_reading_a_history_that_is_not_there_finds_nothing_and_makes_nothing(history, home):
    assert history.lives.read() == ()
    assert history.lives.find("l1") is None
    assert history.lives.read_stderr("l1") == b""
    assert history.decisions.read_breaker() == Breaker()
    assert history.decisions.read_last() is None
    assert history.decisions.read_since(0) == ()
    assert history.incidents.read() == ()
    assert history.lives.count_deaths() == {}
    assert history.incidents.close_all(NOW_MS) == ()
    assert history.findings.read() == ()
    assert history.findings.note((), NOW_MS, {"heap-forecast"}) is False
    assert history.samples.read(0) == ()
    assert history.facts.get("x") is None
    assert history.expire(NOW_MS, 30) is False
    assert read_guards(Workspace(home, DISK)) == ()
    assert not home.root.exists()


def test_a_life_comes_back_as_it_was_last_written(history):
    life = make_life(command=("openclaw", "gateway", "run"), boot_id="b")
    history.lives.begin(life)
    assert history.lives.find("l1") == life
    life = life.model_copy(update={"pid": 7, "pid_ticks": 8, "ready_ms": NOW_MS + 5})
    history.lives.update(life)
    assert history.lives.read() == (life,)
    life = life.model_copy(
        update={"ended_ms": NOW_MS + 9, "exit_code": 1, "death": make_death(), "incident": "1"}
    )
    history.lives.end(life, b"")
    assert history.lives.find("l1") == life
    assert history.lives.read(incident="1") == (life,)
    assert history.lives.read(incident="2") == ()
    assert history.lives.count_deaths() == {"1": 1}


def test_lives_come_newest_first_by_when_they_were_written_whatever_the_clock_said(history):
    history.lives.begin(make_life("before", NOW_MS))
    history.lives.begin(make_life("after-the-clock-went-back", NOW_MS - DAY_MS))
    names = [life.id for life in history.lives.read()]
    assert names == ["after-the-clock-went-back", "before"]
    assert len(history.lives.read(1)) == 1


def test_a_life_survives_that_somebody_deletes_the_ledger(history, home):
    life = make_life()
    history.lives.begin(life)
    home.ledger.unlink()
    history.lives.end(life, b"tail")
    assert history.lives.read() == (life,)
    assert history.lives.read_stderr("l1") == b"tail"


def test_two_lives_of_one_name_are_an_error(history):
    history.lives.begin(make_life())
    with pytest.raises(IoFailed, match=r"ledger\.sqlite"):
        history.lives.begin(make_life())


def test_guards_do_not_see_each_other_and_the_newest_is_named_first(history, home):
    other = History(Workspace(home, DISK), "/srv/other")
    other.lives.begin(Life(id="o", guard="/srv/other", mode="gate", started_ms=1))
    history.lives.begin(make_life())
    history.facts.put("n", 1)
    history.incidents.open(make_death(), NOW_MS)
    assert [life.id for life in other.lives.read()] == ["o"]
    assert other.facts.get("n") is None
    assert other.incidents.read() == ()
    assert read_guards(Workspace(home, DISK)) == (GUARD, "/srv/other")


def test_stderr_comes_back_byte_for_byte_and_only_the_newest_tails_are_kept(history, home):
    noise = os.urandom(1 << 18)
    for n in range(MOST_TAILS + 5):
        history.lives.begin(make_life(f"l{n}"))
        history.lives.end(make_life(f"l{n}"), noise + b"%d" % n)
    assert history.lives.read_stderr(f"l{MOST_TAILS + 4}") == noise + b"%d" % (MOST_TAILS + 4)
    kept = [n for n in range(MOST_TAILS + 5) if history.lives.read_stderr(f"l{n}")]
    assert kept == list(range(5, MOST_TAILS + 5))
    assert len(history.lives.read()) == MOST_TAILS + 5
    assert home.ledger.stat().st_size < (MOST_TAILS + 4) * len(noise)


def test_decision_and_breaker_come_back_together(history):
    breaker = Breaker(state=BreakerState.OPEN, signature="s", row=3, trials=1, marks="m")
    first = Decision(kind="start", reason="first")
    last = Decision(kind="wait", reason="last", at_ms=NOW_MS + 5, alert=True)
    history.decisions.record(first, Breaker(row=1), None, NOW_MS)
    history.decisions.record(last, breaker, "l1", NOW_MS - 1)
    assert history.decisions.read_last().decision == last
    assert history.decisions.read_breaker() == breaker
    made = history.decisions.read_since(NOW_MS)
    assert [(each.at_ms, each.life_id, each.decision) for each in made] == [(NOW_MS, None, first)]


def test_killed_at_any_effect_a_decision_is_there_with_its_breaker_or_neither(home):
    """A supervisor that restarted with half of it would count a death twice, or not at all."""
    History(Workspace(home, DISK), GUARD).decisions.record(
        Decision(kind="start", reason="old"), Breaker(row=1), None, NOW_MS
    )
    pid = os.fork()
    if pid == 0:
        dying = History(Workspace(home, FaultyDisk(1)), GUARD)
        dying.decisions.record(Decision(kind="end", reason="new"), Breaker(row=2), None, NOW_MS)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    after = History(Workspace(home, DISK), GUARD)
    made = after.decisions.read_last()
    assert made is not None
    assert (made.decision.reason, after.decisions.read_breaker().row) == ("old", 1)
    after.decisions.record(Decision(kind="end", reason="new"), Breaker(row=2), None, NOW_MS)
    assert after.decisions.read_breaker().row == 2


def test_a_disk_that_is_full_fails_the_write_and_keeps_what_was_there(home):
    History(Workspace(home, DISK), GUARD).lives.begin(make_life("kept"))
    full = History(Workspace(home, FaultyDisk(1, error=FULL)), GUARD)
    with pytest.raises(CannotCreate, match="No space"):
        full.lives.begin(make_life("failed"))
    assert [life.id for life in full.lives.read()] == ["kept"]


def test_a_breaker_that_did_not_change_is_not_written(counted):
    counted.decisions.record_breaker(Breaker())
    assert commits(counted) == 0
    counted.decisions.record_breaker(Breaker(row=1))
    counted.decisions.record_breaker(Breaker(row=1))
    assert commits(counted) == 1
    assert counted.decisions.read_breaker() == Breaker(row=1)


def test_deaths_of_one_signature_are_one_incident_until_it_is_closed(history):
    first = history.incidents.open(make_death(), NOW_MS)
    assert history.incidents.open(make_death(), NOW_MS + 1) == first
    other = history.incidents.open(make_death("hang"), NOW_MS + 2)
    assert other.id != first.id
    assert history.incidents.read() == (other, first)
    closed = history.incidents.close_all(NOW_MS + 3)
    assert {each.id for each in closed} == {first.id, other.id}
    assert history.incidents.read(1)[0].closed_ms == NOW_MS + 3
    again = history.incidents.open(make_death(), NOW_MS + 4)
    assert again.id not in {first.id, other.id}
    assert history.incidents.find(again.id) == again


def test_an_incident_keeps_when_it_was_first_seen(history):
    incident = history.incidents.open(make_death(), NOW_MS)
    assert history.incidents.ack(incident.id, NOW_MS + 5).acked_ms == NOW_MS + 5
    assert history.incidents.ack(incident.id, NOW_MS + 9).acked_ms == NOW_MS + 5
    assert history.incidents.find(incident.id).acked_ms == NOW_MS + 5


@pytest.mark.parametrize("name", ["99", "x", "", " 1", "1.0", "\uff11"])
def test_an_incident_that_is_not_there_is_bad_arguments(history, name):
    history.incidents.open(make_death(), NOW_MS)
    with pytest.raises(Usage, match="no such incident"):
        history.incidents.ack(name, NOW_MS)


def test_findings_open_stay_and_end(history):
    big, bad = make_finding(), make_finding(code="store-invalid")
    judged = {"heap-forecast", "store-invalid"}
    assert history.findings.note([big], NOW_MS, judged)
    assert history.findings.note([big, bad], NOW_MS + 1, judged)
    assert [each.finding for each in history.findings.read()] == [bad, big]
    assert history.findings.note([bad], NOW_MS + 2, judged)
    (open_,) = history.findings.read()
    assert (open_.finding, open_.first_ms, open_.ended_ms) == (bad, NOW_MS + 1, None)
    ended = history.findings.read(open_only=False)[1]
    assert (ended.finding, ended.first_ms, ended.ended_ms) == (big, NOW_MS, NOW_MS + 2)
    assert history.findings.note([bad, big], NOW_MS + 3, judged)
    assert len(history.findings.read(open_only=False)) == 3


def test_a_look_that_did_not_judge_a_code_does_not_end_its_findings(history):
    history.findings.note([make_finding()], NOW_MS, {"heap-forecast"})
    assert history.findings.note([], NOW_MS + 1, {"store-invalid"}) is False
    assert len(history.findings.read()) == 1


def test_a_finding_that_stands_is_refreshed_at_most_once_an_hour(counted):
    judged = {"heap-forecast"}
    counted.findings.note([make_finding()], NOW_MS, judged)
    for minutes in range(60):
        seen = make_finding(message=f"size {minutes}")
        assert counted.findings.note([seen], NOW_MS + minutes * 60_000, judged) is False
    assert commits(counted) == 1
    assert counted.findings.note([make_finding(message="grown")], NOW_MS + HOUR_MS, judged)
    (noted,) = counted.findings.read()
    assert (noted.finding.message, noted.first_ms, noted.last_ms) == (
        "grown",
        NOW_MS,
        NOW_MS + HOUR_MS,
    )


def test_a_finding_that_became_an_error_is_written_at_once(history):
    history.findings.note([make_finding(severity="warning")], NOW_MS, set())
    assert history.findings.note([make_finding()], NOW_MS + 1, set())
    assert history.findings.read()[0].finding.severity == "error"


def test_two_findings_of_one_code_and_subject_are_one(history):
    twice = [make_finding(message="in one store"), make_finding(message="in another")]
    assert history.findings.note(twice, NOW_MS, set())
    assert history.findings.note(twice, NOW_MS + 1, set()) is False
    assert history.findings.read()[0].finding.message == "in one store"


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
    assert counted.samples.record(first, "l1") is True
    history = History(Workspace(home, FaultyDisk()), GUARD) if fresh else counted
    before = commits(history)
    sample = Sample(NOW_MS + minutes * 60_000, rss, stores)
    assert history.samples.record(sample, "l1" if same_life else "l2") is written
    assert commits(history) - before == written
    expected = sorted([first, sample] if written else [first], key=lambda s: s.at_ms)
    assert list(history.samples.read(0)) == expected


def test_slow_growth_is_compared_with_what_was_written_not_with_the_last_look(history):
    rss = [int(100 * MB * 1.01**n) for n in range(60)]
    written = [history.samples.record(Sample(NOW_MS + n, r, None), "l") for n, r in enumerate(rss)]
    assert 9 <= sum(written) <= 12


def test_samples_of_one_life_or_since_a_moment(history):
    for n, life in enumerate(["a", "a", "b"]):
        history.samples.record(Sample(NOW_MS + n, 2**n * MB, None), life)
    assert [s.at_ms - NOW_MS for s in history.samples.read(NOW_MS + 1)] == [1, 2]
    assert [s.at_ms - NOW_MS for s in history.samples.read(0, life_id="a")] == [0, 1]


def test_facts_come_back_and_are_written_when_they_change(counted):
    value = {"b": [1, None], "a": "x"}
    counted.facts.put("limit", value)
    counted.facts.put("limit", {"a": "x", "b": [1, None]})
    assert commits(counted) == 1
    assert counted.facts.get("limit") == value
    counted.facts.put("limit", 5)
    assert counted.facts.get("limit") == 5


def fill_old(history: History, now_ms: int) -> None:
    """Forty days of everything, a row a day, all of it over."""
    for day in range(40, 0, -1):
        at_ms = now_ms - day * DAY_MS
        life = make_life(f"l{day}", at_ms - 2, ended_ms=at_ms, death=make_death())
        history.lives.begin(life)
        history.decisions.record(Decision(kind="start", reason=""), Breaker(row=day), "x", at_ms)
        history.incidents.open(make_death(), at_ms)
        history.incidents.close_all(at_ms)
        history.findings.note([make_finding()], at_ms - 1, {"heap-forecast"})
        history.findings.note([], at_ms, {"heap-forecast"})
        history.samples.record(Sample(at_ms, day, None), f"l{day}")


def test_what_is_older_than_the_days_to_keep_goes(history):
    fill_old(history, NOW_MS)
    assert history.expire(NOW_MS, 30) is True
    since_ms = NOW_MS - 30 * DAY_MS
    assert min(life.ended_ms for life in history.lives.read(100)) == since_ms
    assert min(made.at_ms for made in history.decisions.read_since(0)) == since_ms
    assert min(each.closed_ms for each in history.incidents.read(100)) == since_ms
    assert min(each.ended_ms for each in history.findings.read(open_only=False)) == since_ms
    assert history.samples.read(0)[0].at_ms == since_ms
    assert history.decisions.read_breaker() == Breaker(row=1)


def test_what_is_needed_to_go_on_stays_however_old(history):
    old = make_life("old")
    history.lives.begin(old)
    history.decisions.record(Decision(kind="wait", reason="r"), Breaker(row=3), "old", NOW_MS)
    incident = history.incidents.open(make_death(), NOW_MS)
    history.findings.note([make_finding()], NOW_MS, set())
    history.expire(NOW_MS + 400 * DAY_MS, 30)
    assert history.lives.read() == (old,)
    assert history.decisions.read_last().decision == Decision(kind="wait", reason="r")
    assert history.decisions.read_breaker() == Breaker(row=3)
    assert history.incidents.read() == (incident,)
    assert len(history.findings.read()) == 1


def test_expiring_happens_at_most_once_a_day(counted):
    counted.lives.begin(make_life())
    before = commits(counted)
    assert counted.expire(NOW_MS, 30) is True
    assert counted.expire(NOW_MS + DAY_MS - 1, 30) is False
    assert commits(counted) == before + 1
    assert counted.expire(NOW_MS + DAY_MS, 30) is True
    assert counted.expire(NOW_MS, 30) is True, "a clock that was put back must not stop it"


def test_a_month_of_crashing_every_minute_stays_bounded(history, home):
    history.lives.begin(make_life("first"))
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
    kept = [sample.at_ms for sample in history.samples.read(0)]
    assert len(kept) <= MOST_SAMPLES
    newest = 2 * (NOW_MS + minutes - 1) + 1
    assert kept[-2_500:] == list(range(newest - 2_499, newest + 1)), "the newest are all there"
    assert kept[0] - 2 * NOW_MS < 10, "the oldest time is still covered"
    assert max(b - a for a, b in pairwise(kept)) <= 5
    assert history.lives.read(1)[0].id == f"l{minutes - 1}"


def test_a_row_that_we_did_not_write_is_an_error(history, home):
    history.lives.begin(make_life())
    with closing(sqlite3.connect(home.ledger)) as db, db:
        db.execute("UPDATE lives SET details = '{\"id\": 1}', stderr = x'00'")
    with pytest.raises(IoFailed, match=r"did not write: .*ledger\.sqlite"):
        history.lives.read()
    with pytest.raises(IoFailed, match="damaged"):
        history.lives.read_stderr("l1")


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
    history.lives.begin(make_life())
    assert history.lives.read() == (make_life(),)
    assert count_rows(home, "actions") == 1
