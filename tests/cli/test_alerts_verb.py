"""`tailflip alerts`, as people and programs use it."""

from __future__ import annotations

import json
import os

import pytest

from support.alert_rows import make_alert, make_notice, put_receiver
from support.incident_history import make_death
from tailflip.alerts.words import name_host
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.alerts import Urgency, Words
from tailflip.ledger.history import History

HOST = name_host(os.uname().nodename)
WORDS = Words(
    "crash loop",
    "3 deaths in a row",
    done="compacted a session store",
    step="tailflip incidents why 1",
    undo="tailflip restore 20260202T020000Z-abcdef --apply",
)


@pytest.fixture
def history(place):
    place.fill(100_000)
    return History(Workspace(Home(place.home), RealDisk()), os.path.realpath(place.state))


def test_nothing_is_open_and_nobody_is_told(place):
    place.fill(100_000)
    code, out, err = place.run("alerts")
    assert (code, out) == (0, "no alert is open\n")
    assert err.startswith("nobody is told: the settings name no destination")


def test_what_is_open_what_was_sent_and_what_waits(place, history):
    now_ms = clock.now_ms()
    history.alerts.put(
        [
            make_alert(0, now_ms - 60_000, code="crash-loop", subject="", words=WORDS,
                       urgency=Urgency.CRITICAL),
            make_alert(0, now_ms, closed_ms=now_ms - 1, code="job-stuck"),
        ]
    )  # fmt: skip
    history.notices.write(
        [
            make_notice(now_ms - 9_000, delivered_ms=now_ms),
            make_notice(now_ms, destination="mail", next_ms=now_ms + 259_200_000, error="refused"),
        ]
    )
    put_receiver(place.root, exit_code=0)
    code, out, err = place.run("alerts", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].split()[:4] == [f"tf-{HOST}-1", "critical", "crash", "loop"]
    assert lines[1].rstrip().endswith("phone")
    assert lines[3:7] == [
        f"tf-{HOST}-1: 3 deaths in a row",
        "  done: compacted a session store",
        "  next: tailflip incidents why 1",
        "  undo: tailflip restore 20260202T020000Z-abcdef --apply",
    ]
    assert "waiting, next try in 3 d: refused" in out
    assert "job stuck" not in out
    code, out, _ = place.run("alerts", "--json")
    answer = json.loads(out)
    assert [each["told"] for each in answer["alerts"]] == [["phone"]]
    assert [each["state"] for each in answer["messages"]] == ["waiting", "delivered"]
    assert answer["destinations"] == ["phone"]


@pytest.mark.parametrize("name", ["1", f"tf-{HOST}-1", "tf-elsewhere-1", None])
def test_a_person_takes_note_of_an_outage_by_any_name(place, history, name):
    """What a message calls an alert may carry the name that the host had then."""
    incident = history.incidents.open(make_death(), 1)
    history.alerts.put([make_alert(0, code="crash-loop", subject="", words=WORDS)])
    argv = ["alerts", "ack", *([name] if name else []), "--by", "ana", "--note", "on it"]
    code, out, err = place.run(*argv)
    assert (code, err) == (0, "")
    assert out.startswith(f"alert tf-{HOST}-1 is noted as seen by ana since ")
    (alert,) = history.alerts.read(0)
    assert (alert.by, alert.note) == ("ana", "on it")
    seen = history.incidents.find(incident.id)
    assert (seen.acked_ms, seen.acked_by, seen.note) == (alert.acked_ms, "ana", "on it")


def test_a_person_takes_note_of_an_incident_and_its_alerts_are_seen(place, history):
    incident = history.incidents.open(make_death(), 1)
    outage = make_alert(0, code="gateway-down", subject="")
    history.alerts.put([outage, make_alert(0, code="job-storm")])
    code, out, _ = place.run("incidents", "ack", incident.id, "--by", "ana", "--note", "on it")
    assert (code, out.split(" since ")[0]) == (0, "incident 1 is noted as seen by ana")
    down, storm = history.alerts.read(0)
    assert (down.acked_ms is not None, down.by, down.note) == (True, "ana", "on it")
    assert storm.acked_ms is None


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["ack", "9"], "no such alert: 9"),
        (["ack", "tf-x"], "no such alert: tf-x"),
        (["ack", "x-1"], "no such alert: x-1"),
        (["ack"], "2 alerts are open: 1, 2"),
        (["test"], "the settings name no destination"),
    ],
)
def test_what_is_not_there_is_bad_arguments(place, history, argv, error):
    history.alerts.put([make_alert(0), make_alert(0, code="job-stuck")])
    code, _, err = place.run("alerts", *argv)
    assert (code, err.splitlines()[0]) == (64, f"error: {error}")


def test_a_test_goes_to_each_destination_or_the_named_one(place, history):
    got = put_receiver(place.root, exit_code=0)
    assert place.run("alerts", "test") == (0, "phone: delivered\n", "")
    assert place.run("alerts", "test", "phone")[0] == 0
    messages = got.read_text().replace("}{", "}\n{").splitlines()
    assert [json.loads(each)["subject"] for each in messages] == [f"{HOST} (openclaw): test"] * 2
    code, _, err = place.run("alerts", "test", "other")
    assert (code, err.splitlines()[1]) == (64, "hint: there is phone")


def test_a_test_that_does_not_arrive_says_why(place, history):
    put_receiver(place.root, exit_code=3)
    code, out, err = place.run("alerts", "test")
    assert (code, out) == (69, "")
    told, hint = err.splitlines()
    assert told.startswith("error: not delivered: phone: ")
    assert hint == "hint: correct its address, and try `tailflip alerts test` again"
    code, out, _ = place.run("alerts", "test", "--json")
    answer = json.loads(out)
    assert (code, answer["errors"][0]["kind"]) == (69, "unavailable")
    assert answer["messages"][0]["state"] == "given-up"


def test_a_flush_tries_what_waits_at_once(place, history):
    got = put_receiver(place.root, exit_code=0)
    now_ms = clock.now_ms()
    history.notices.write([make_notice(now_ms, next_ms=now_ms + 3_600_000, tries=5)])
    assert place.run("alerts", "flush") == (0, "1 message delivered, 0 waiting\n", "")
    assert json.loads(got.read_text())["alerts"] == [f"tf-{HOST}-1"]
    assert place.run("alerts", "flush")[1] == "0 messages delivered, 0 waiting\n"


def test_a_flush_that_reaches_nobody_says_that_it_is_kept(place, history):
    put_receiver(place.root, exit_code=3)
    now_ms = clock.now_ms()
    history.notices.write([make_notice(now_ms, next_ms=now_ms)])
    code, out, err = place.run("alerts", "flush")
    assert (code, out) == (69, "0 messages delivered, 1 waiting\n")
    assert err.splitlines()[1].startswith("hint: what is to be told is kept")
    answer = json.loads(place.run("alerts", "flush", "--json")[1])
    assert (answer["unreached"], answer["messages"][0]["tries"]) == (1, 2)


def test_a_flush_beside_another_pass_says_so(place, history):
    history.facts.put("any", 1)
    with Home(place.home).tell(history.guard, RealDisk()) as is_ours:
        assert is_ours
        code, _, err = place.run("alerts", "flush")
    assert (code, err.splitlines()[0]) == (
        75,
        "error: messages are being sent by another tailflip; it looks once more when it is done",
    )
