"""The table of alerts: one open row for a thing, and a number that stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.alert_rows import make_alert
from support.ledger_rows import DISK
from support.stores import NOW_MS
from tailflip.base.errors import IoFailed, Usage
from tailflip.base.workspace import Workspace
from tailflip.flow.alerts import Urgency, Words
from tailflip.ledger.history import History

FULL = make_alert(
    0, code="crash-loop", subject="/s\udc80", urgency=Urgency.CRITICAL, cleared_ms=5, acked_ms=6,
    by="ana", note="on it", times=3, maintained=True,
    words=Words("crash loop", "it dies", "compacted", "look", "undo it"),
)  # fmt: skip


def test_an_alert_is_read_as_it_was_written(history):
    history.alerts.put([FULL])
    assert history.alerts.read(0) == (replace(FULL, number=1),)


def test_no_alerts_cost_no_write(history, home):
    history.alerts.put([])
    assert not home.ledger.exists()
    assert history.alerts.read(0) == ()


def test_a_number_is_never_given_again(history):
    history.alerts.put([make_alert(0), make_alert(0, code="job-stuck")])
    with history._writing() as db:
        db.execute("DELETE FROM alerts")
    history.alerts.put([make_alert(0)])
    assert [each.number for each in history.alerts.read(0)] == [3]


def test_the_same_thing_is_open_once(history):
    history.alerts.put([make_alert(0)])
    with pytest.raises(IoFailed):
        history.alerts.put([make_alert(0)])
    history.alerts.put([make_alert(0, closed_ms=5), make_alert(0, subject="another")])


def test_who_asks_for_the_closed_says_since_when(history):
    history.alerts.put([make_alert(0, closed_ms=5), make_alert(0, closed_ms=9), make_alert(0)])
    assert [each.number for each in history.alerts.read(9)] == [2, 3]
    assert [each.number for each in history.alerts.read(10)] == [3]


def test_alerts_are_those_of_one_gateway_and_found_for_any(history):
    other = History(history.workspace, "/other")
    other.alerts.put([make_alert(0)])
    assert history.alerts.read(0) == ()
    found = history.alerts.find("tf-claw-1")
    assert history.alerts.find_guard(found) == "/other"


def test_a_note_that_a_person_takes_meanwhile_is_kept(history):
    """A pass reads, sends for a minute, and writes; a person acknowledges in between."""
    history.alerts.put([make_alert(0)])
    (read,) = history.alerts.read(0)
    history.alerts.ack(read, NOW_MS + 5, "ana", "on it")
    history.alerts.put([replace(read, cleared_ms=NOW_MS + 9)])
    (alert,) = history.alerts.read(0)
    assert (alert.acked_ms, alert.by, alert.note) == (NOW_MS + 5, "ana", "on it")
    assert alert.cleared_ms == NOW_MS + 9


def test_what_is_opened_again_is_to_be_seen_again(history):
    history.alerts.put([make_alert(0)])
    (read,) = history.alerts.read(0)
    seen = history.alerts.ack(read, NOW_MS + 5, "ana", "on it")
    history.alerts.put([replace(seen, times=2, acked_ms=None, by="", note="")])
    (alert,) = history.alerts.read(0)
    assert (alert.acked_ms, alert.by, alert.note, alert.times) == (None, "", "", 2)


def test_the_first_note_counts_and_words_are_added(history):
    history.alerts.put([make_alert(0)])
    (read,) = history.alerts.read(0)
    assert history.alerts.ack(read, 5, "ana").acked_ms == 5
    again = history.alerts.ack(read, 9, "", "restarting")
    assert (again.acked_ms, again.by, again.note) == (5, "ana", "restarting")


@pytest.mark.parametrize("name", ["2", "", "tf-claw-", "claw-1", "1.0", " 1", "\uff11", "tf-1x"])
def test_an_alert_that_is_not_there_is_bad_arguments(history, name):
    history.alerts.put([make_alert(0)])
    with pytest.raises(Usage, match="no such alert"):
        history.alerts.find(name)


def test_the_table_is_made_without_a_word_of_ours(home):
    assert History(Workspace(home, DISK), "/s").alerts.read(0) == ()
    assert not home.ledger.exists()
