"""What is too old or too much goes; what is needed to go on stays."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

from support.ledger_rows import (
    DAY_MS,
    GUARD,
    commits,
    count_rows,
    make_death,
    make_finding,
    make_life,
)
from support.stores import NOW_MS
from tailflip.flow.lives import Breaker, Decision
from tailflip.flow.observed import Sample
from tailflip.ledger.retention import MOST_DECISIONS, MOST_LIVES, MOST_SAMPLES

if TYPE_CHECKING:
    from tailflip.ledger.history import History


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
