"""A ledger that fails is told, and done without; a bug of ours is not hidden."""

from __future__ import annotations

import inspect

import pytest

from support.incident_history import make_death, make_life
from support.stores import NOW_MS
from tailflip.base import log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import IoFailed
from tailflip.base.workspace import Workspace
from tailflip.flow.findings import Code, Finding
from tailflip.flow.lives import Breaker, Decision, Moment
from tailflip.flow.maintenance import Maintenance
from tailflip.ledger.history import History
from tailflip.supervise.best_effort import BestEffortHistory

LIFE = make_life("a", 0)
# Each method with what it is asked, and what an empty ledger would answer.
METHODS = {
    "begin_life": ((LIFE,), None),
    "update_life": ((LIFE,), None),
    "end_life": ((LIFE, b"tail"), None),
    "find_life": (("a",), None),
    "read_lives": ((), ()),
    "read_last_life": ((), None),
    "read_breaker": ((), Breaker()),
    "record_breaker": ((Breaker(),), None),
    "record_decision": ((None, Breaker(), None), None),
    "read_standing_decision": ((), None),
    "is_undecided": ((LIFE,), False),
    "read_maintenance": ((None, Moment(at_ms=0)), None),
    "note_maintenance": ((Moment(at_ms=0),), None),
    "record_start": ((None,), None),
    "end_in_incident": ((LIFE, make_death(), 0), LIFE),
    "take_trial": ((), False),
    "is_trial_asked": ((), False),
    "get_fact": (("a",), None),
    "put_fact": (("a", 1), None),
    "open_incident": ((None, 0), None),
    "close_incidents": ((), ()),
    "read_findings": ((), ()),
    "note": (((), {"code"}), None),
    "record_sample": ((None, "a"), None),
    "read_samples": (("a",), ()),
    "record_runs": (((),), None),
    "read_actions": ((), ()),
    "expire": ((30.0,), None),
    "count_down": ((), None),
}


class Failing:
    """A ledger every method of which fails, and of its tables too, for the reason `why`."""

    def __init__(self, home, why="disk on fire"):
        self.workspace, self.why, self.error = Workspace(home, RealDisk()), why, None

    def __getattr__(self, _name):
        return self

    def __call__(self, *_args, **_kwargs):
        if self.why is not None:
            raise self.error or IoFailed(self.why)
        return True


@pytest.fixture
def failing(home, monkeypatch):
    ledger = Failing(home)
    monkeypatch.setattr("tailflip.ledger.actions.Ledger.read_all", lambda *_: ledger())
    return ledger


def test_every_method_is_among_these():
    public = {
        name
        for name, _ in inspect.getmembers(BestEffortHistory, inspect.isfunction)
        if not name.startswith("_")
    }
    assert {*METHODS, "settle"} == public


@pytest.mark.parametrize("name", METHODS)
def test_a_ledger_that_fails_is_done_without(failing, name):
    args, answer = METHODS[name]
    assert getattr(BestEffortHistory(failing), name)(*args) == answer


@pytest.mark.parametrize("name", METHODS)
def test_a_bug_of_ours_is_not_hidden(failing, name):
    failing.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        getattr(BestEffortHistory(failing), name)(*METHODS[name][0])


def test_a_maintenance_that_is_known_counts_to_its_end_without_a_ledger(failing):
    """On a full disk hands that were to be kept off must not be back at work in the middle."""
    then = Moment(at_ms=0, mono_ms=0, boot="a")
    known = Maintenance(id="1", began_ms=0, until_ms=100, anchor=then, left_ms=100)
    record = BestEffortHistory(failing)
    assert record.read_maintenance(known, Moment(at_ms=99, mono_ms=99, boot="a")) == known
    assert record.read_maintenance(known, Moment(at_ms=100, mono_ms=100, boot="a")) is None


def test_the_end_of_a_maintenance_by_its_time_is_put_on_record(home):
    history = History(Workspace(home, RealDisk()), "/state")
    record = BestEffortHistory(history)
    begun = history.maintenances.begin(100, Moment(at_ms=0, mono_ms=0, boot="a"))
    assert record.read_maintenance(begun, Moment(at_ms=500, mono_ms=500, boot="a")) is None
    assert [each.ended_ms for each in history.maintenances.read()] == [100]


def test_what_was_put_on_record_is_read_again(home):
    history = History(Workspace(home, RealDisk()), "/state")
    record = BestEffortHistory(history)
    record.begin_life(LIFE)
    record.record_breaker(Breaker(row=2))
    assert record.read_last_life() == LIFE
    assert record.read_breaker() == Breaker(row=2)


def test_a_ledger_that_fails_is_told_once_until_that_changes(failing, monkeypatch):
    """A full disk: 27 lines about the ledger in six seconds, and the cause was among them."""
    told = []
    monkeypatch.setattr(log, "error", lambda text, **fields: told.append(str(fields["error"])))
    record = BestEffortHistory(failing)
    for why in ("full", "full", "gone", "full"):
        failing.why = why
        record.update_life(LIFE)
        record.read_lives()
    assert told == ["full", "gone", "full"]
    failing.why = None
    record.update_life(LIFE)
    failing.why = "full"
    record.update_life(LIFE)
    assert told[3:] == ["full"]
    failing.why = None
    record.expire(30.0)  # there may be nothing to delete: that shows nothing
    failing.why = "full"
    record.update_life(LIFE)
    assert told[3:] == ["full"]


def test_what_is_lost_with_the_process_is_counted(failing):
    """With our disk full, a gate found a death, became the gateway, and nobody ever heard of it."""
    record = BestEffortHistory(failing)
    assert record.settle() == 0
    record.end_life(LIFE, b"tail")
    record.record_breaker(Breaker(row=1))
    assert record.settle() == 2
    failing.why = None
    assert record.settle() == 0


def test_what_can_never_be_written_does_not_stop_the_others(home):
    history = History(Workspace(home, RealDisk()), "/state")
    record = BestEffortHistory(history)

    def fail():
        raise IoFailed("a row that we did not write")

    record._write(fail)
    record.begin_life(LIFE)
    record.record_breaker(Breaker(row=2))
    assert record.read_last_life() == LIFE
    assert record.read_breaker() == Breaker(row=2)


def test_a_sample_that_is_not_recorded_is_no_news(failing, monkeypatch):
    """One comes every few seconds: the next tries again."""
    told = []
    monkeypatch.setattr(log, "error", lambda *_, **__: told.append(True))
    BestEffortHistory(failing).record_sample(None, "a")
    assert told == []


def test_a_death_on_a_full_disk_is_on_record_once_there_is_room(home, monkeypatch):
    """With our disk full a death was never on record, not even later."""
    history = History(Workspace(home, RealDisk()), "/state")
    record, death = BestEffortHistory(history), make_death()
    record.begin_life(LIFE)
    full = pytest.MonkeyPatch()

    def fail(_self):
        raise IoFailed("no space left on device")

    full.setattr("tailflip.ledger.table.Table._writing", fail)
    ended = LIFE.model_copy(update={"ended_ms": LIFE.started_ms + 5_000, "death": death})
    assert record.end_in_incident(ended, death, NOW_MS, b"last words") == ended
    record.record_decision(Decision(kind="start", reason="r"), Breaker(row=1), LIFE.id)
    record.update_life(ended.model_copy(update={"cured": True}))
    assert history.lives.read(1) == (LIFE,)
    full.undo()
    record.begin_life(LIFE.model_copy(update={"id": "next"}))
    (_, dead), (incident,) = history.lives.read(), history.incidents.read()
    assert (dead.death, dead.cured, dead.incident) == (death, True, incident.id)
    assert history.lives.read_stderr(LIFE.id) == b"last words"
    assert history.lives.count_deaths() == {incident.id: 1}
    assert history.decisions.read_breaker() == Breaker(row=1)


def test_what_people_may_have_to_hear_of_is_news(home):
    """What changes nothing is none, and neither are measurements: each would start a process."""
    record = BestEffortHistory(History(Workspace(home, RealDisk()), "/guard"))
    news = []
    record.on_news = lambda: news.append(1)
    finding = Finding(Code.DISK_FULL, "error", "/", "full", "")
    steps = [
        (lambda: record.begin_life(LIFE), 1),
        (lambda: record.note((finding,), {Code.DISK_FULL}), 1),
        (lambda: record.note((finding,), {Code.DISK_FULL}), 0),
        (lambda: record.note((), {Code.DISK_FULL}), 1),
        (lambda: record.put_fact("a", 1), 0),
        (lambda: record.record_runs(()), 0),
        (lambda: record.expire(30), 0),
        (lambda: record.record_breaker(Breaker(row=1)), 1),
        (record.read_lives, 0),
    ]
    for step, count in steps:
        news.clear()
        step()
        assert len(news) == count


def test_what_could_not_be_written_is_news_once(failing):
    """Nobody else has people told that the ledger cannot be used."""
    failing.why = "disk is full"
    record, news = BestEffortHistory(failing), []
    record.on_news = lambda: news.append(1)
    for _ in range(3):
        record.begin_life(LIFE)
    assert news == [1]
    failing.why = "disk on fire"
    record.begin_life(LIFE)
    assert news == [1, 1]
