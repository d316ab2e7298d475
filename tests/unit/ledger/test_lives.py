"""Lives come back as they were last written, and the last they said byte for byte."""

from __future__ import annotations

import os

import pytest

from support.ledger_rows import DAY_MS, make_death, make_life
from support.stores import NOW_MS
from tailflip.base.errors import IoFailed
from tailflip.ledger.retention import MOST_TAILS


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
