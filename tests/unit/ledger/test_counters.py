"""Counts of what ever happened: raised with what they count, once, and never lowered."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.ledger_rows import DAY_MS, DISK, GUARD, make_death, make_life
from support.stores import NOW_MS
from tailflip.base.errors import IoFailed, NoPermission
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Cause
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.ledger.counters import Count, read_counters
from tailflip.ledger.database import _STEPS
from tailflip.ledger.history import History

STORE = f"{GUARD}/agents/main/sessions/sessions.json"
ASKED = make_death("asked-stop").model_copy(update={"cause": Cause.ASKED_STOP})


def count(home) -> dict[tuple[str, str, str], int]:
    counters = read_counters(Workspace(home, DISK))
    return {(each.guard, each.name, each.label): each.value for each in counters}


def live(history, name: str, began_ms: int, ended_ms: int, death=None) -> None:
    life = make_life(name, began_ms)
    history.lives.begin(life)
    history.lives.end(life.model_copy(update={"ended_ms": ended_ms, "death": death}), b"")


def act(history, name: str, *states: State, store: str = STORE, **known: int) -> None:
    ledger = Ledger(history.workspace)
    action = Action(
        id=name, kind="compact", store=store, state=State.INTENDED, created_ms=NOW_MS,
        details=Details(temps=()),
    )  # fmt: skip
    history.workspace.create()
    ledger.begin(action)
    for state in states:
        action = ledger.advance(action, state, **known)


def test_nothing_is_counted_where_there_is_no_ledger(home):
    assert read_counters(Workspace(home, DISK)) == ()
    assert not home.root.exists()


def test_a_life_is_counted_with_its_start_and_its_death_once(history, home):
    live(history, "a", NOW_MS, NOW_MS + 1_000, make_death())
    again = history.lives.find("a")
    history.lives.update(again)
    history.lives.end(again, b"more")
    assert count(home) == {(GUARD, "starts", ""): 1, (GUARD, "deaths", "v8-heap-oom"): 1}


def test_a_life_that_was_deleted_from_the_record_is_counted_when_it_is_written_anew(history, home):
    history.lives.update(make_life())
    assert count(home) == {(GUARD, "starts", ""): 1}


@pytest.mark.parametrize(
    ("death", "down_ms"),
    [(make_death(), 7_000), (None, 7_000), (ASKED, None)],
    ids=["died", "no verdict", "a person stopped it"],
)
def test_the_time_down_is_counted_when_it_is_over(history, home, death, down_ms):
    live(history, "a", NOW_MS, NOW_MS + 1_000, death)
    assert (GUARD, "down-ms", "") not in count(home)
    history.lives.begin(make_life("b", NOW_MS + 8_000))
    assert count(home).get((GUARD, "down-ms", "")) == down_ms


def test_the_time_down_is_counted_while_it_lasts_and_nothing_twice(history, home):
    """An outage of two days once showed in no metric before it was over."""
    down = GUARD, "down-ms", ""
    history.lives.count_down(NOW_MS)
    live(history, "a", NOW_MS, NOW_MS + 1_000, make_death())
    for at_ms in (4_000, 4_000, 6_000, 2_000):  # the clock is set back in between
        history.lives.count_down(NOW_MS + at_ms)
    assert count(home)[down] == 5_000
    history.lives.begin(make_life("b", NOW_MS + 8_000))
    assert count(home)[down] == 7_000
    history.lives.count_down(NOW_MS + 90_000)
    assert count(home)[down] == 7_000, "it lives"


def test_a_start_that_nobody_saw_takes_nothing_of_it_back(history, home):
    live(history, "a", NOW_MS, NOW_MS + 1_000, make_death())
    history.lives.count_down(NOW_MS + 6_000)
    unseen = make_life("b", NOW_MS + 9_000).model_copy(update={"begin_known": False})
    history.lives.begin(unseen)
    assert count(home)[GUARD, "down-ms", ""] == 5_000


def test_no_time_is_counted_after_an_end_that_was_wanted(history, home):
    live(history, "a", NOW_MS, NOW_MS + 1_000, ASKED)
    history.lives.count_down(NOW_MS + 6_000)
    assert (GUARD, "down-ms", "") not in count(home)


def test_a_clock_that_was_set_back_lowers_nothing(history, home):
    live(history, "a", NOW_MS, NOW_MS + 9_000, make_death())
    live(history, "b", NOW_MS + 10_000, NOW_MS + 11_000, make_death())
    history.lives.begin(make_life("c", NOW_MS - DAY_MS))
    assert count(home)[GUARD, "down-ms", ""] == 1_000


def test_an_incident_is_counted_when_it_opens(history, home):
    history.incidents.open(make_death(), NOW_MS)
    history.incidents.open(make_death(), NOW_MS + 1)
    history.incidents.close_all(NOW_MS + 2)
    history.incidents.open(make_death(), NOW_MS + 3)
    assert count(home) == {(GUARD, "incidents", "v8-heap-oom"): 2}


def test_an_action_is_counted_at_its_end_once(history, home):
    history.lives.begin(make_life())
    act(history, "a", State.ARCHIVED, State.COMMITTED, State.DONE, took_ms=40, freed_bytes=9)
    act(history, "b", State.COMMITTED, State.DONE, State.EXPIRED, took_ms=2, freed_bytes=-5)
    act(history, "c", State.UNDONE)
    act(history, "d", State.ARCHIVED)
    found = {name: value for (_, name, label), value in count(home).items() if label == "compact"}
    assert found == {"actions": 2, "action-ms": 42, "freed-bytes": 9, "action-failures": 1}


def test_an_action_belongs_to_the_gateway_whose_folder_it_changed(history, home):
    history.lives.begin(make_life())
    History(history.workspace, f"{GUARD}/inner").lives.begin(
        make_life("i").model_copy(update={"guard": f"{GUARD}/inner"})
    )
    for name, store in (("a", STORE), ("b", f"{GUARD}/inner/s.json"), ("c", f"{GUARD}x/s.json")):
        act(history, name, State.DONE, store=store)
    owners = {guard for guard, name, _ in count(home) if name == Count.ACTIONS}
    assert owners == {GUARD, f"{GUARD}/inner", ""}


def test_deleting_old_rows_lowers_no_count(history, home):
    for n in range(30):
        at_ms = NOW_MS + n * DAY_MS
        live(history, f"l{n}", at_ms, at_ms + 1_000, make_death())
        history.incidents.open(make_death(), at_ms)
        history.incidents.close_all(at_ms + 1)
    before = count(home)
    assert history.expire(NOW_MS + 400 * DAY_MS, keep_days=1)
    assert len(history.lives.read()) == 1, "rows went"
    assert count(home) == before


def test_a_ledger_from_before_the_counts_begins_with_its_rows(history, home):
    """With damaged rows too: they must not keep a newer tailflip from its ledger."""
    home.create(DISK)
    life = make_life().model_copy(update={"ended_ms": NOW_MS, "death": make_death()})
    with closing(sqlite3.connect(home.ledger)) as db, db:
        for statement in (s for step in _STEPS[:4] for s in step.split(";")):
            db.execute(statement)
        db.execute("PRAGMA user_version = 4")
        for seq, text in enumerate([life.model_dump_json(), "{}", "no JSON"]):
            db.execute(
                "INSERT INTO lives VALUES (?, ?, ?, 1, 2, NULL, ?, NULL)",
                (seq, f"l{seq}", GUARD, text),
            )
        db.execute(
            "INSERT INTO incidents (guard, opened_ms, cause, signature) VALUES (?, 1, 'hang', 's')",
            (GUARD,),
        )
        for name, store, state in (
            ("a", STORE, "done"), ("b", STORE, "expired"), ("c", STORE, "undone"),
            ("d", STORE, "intended"), ("e", "/elsewhere", "done"),
        ):  # fmt: skip
            db.execute("INSERT INTO actions VALUES (?, 'compact', ?, ?, 1, '{}')",
                       (name, store, state))  # fmt: skip
    assert count(home) == {
        (GUARD, "starts", ""): 3,
        (GUARD, "deaths", "v8-heap-oom"): 1,
        (GUARD, "incidents", "hang"): 1,
        (GUARD, "actions", "compact"): 2,
        (GUARD, "action-failures", "compact"): 1,
        ("", "actions", "compact"): 1,
    }


def test_a_reader_cannot_write_and_takes_the_file_as_it_is(history, home):
    history.lives.begin(make_life())
    reader = Workspace(home, DISK, is_read_only=True)
    assert History(reader, GUARD).lives.read() == (make_life(),)
    with pytest.raises(NoPermission, match="readonly"):
        History(reader, GUARD).lives.begin(make_life("b"))
    with closing(sqlite3.connect(home.ledger)) as db, db:
        db.execute("DROP TABLE counters")
        db.execute("PRAGMA user_version = 4")
    assert History(reader, GUARD).lives.read() == (make_life(),)
    with pytest.raises(IoFailed, match="counters"):
        read_counters(reader)
