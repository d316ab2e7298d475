"""One errand: what its guard orders is what it reads; a pass and a heartbeat come of it."""

from __future__ import annotations

import os

import pytest

from support.receivers import Web
from tailflip.alerts import errand
from tailflip.alerts.errand import Door, Order, Seen, read_health, read_order, run_errand
from tailflip.alerts.reading import read_silence
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import IoFailed
from tailflip.base.moments import read_moment
from tailflip.base.workspace import Workspace
from tailflip.config.load import Config
from tailflip.config.telling import AlertsSettings, DestinationSettings, HeartbeatSettings
from tailflip.flow.alerts import Alert, Delivery, MessageKind, Notice, Urgency, Words
from tailflip.ledger.history import History
from tailflip.supervise.orders import make_order

HOUR_MS = 3_600_000
FINE = Seen(interval_s=15.0, silent_s=1.0, answer_ms=7)


@pytest.fixture
def history(home):
    return History(Workspace(home, RealDisk()), "/guard")


@pytest.fixture
def address(tmp_path):
    path = tmp_path / "beat.url"
    path.write_text("http://127.0.0.1:1/s3cret")
    path.chmod(0o600)
    return path


def test_what_a_guard_orders_is_what_is_read(address):
    """The guard writes the order without the class that reads it."""
    phone = DestinationSettings(url="ntfy://host/s3cret", after="15m", quiet=False)
    page = DestinationSettings(exec=address, least="critical")
    config = Config(
        alerts=AlertsSettings(to={"phone": phone, "page": page}, remind=["1h"], digest=""),
        heartbeat=HeartbeatSettings(url_file=address, when="alive"),
    )
    door = {"port": 1, "tls": True, "timeout_s": 3.0, "takes_any_page": False}
    data = make_order("/guard", config, {}, slack_s=60.0, silent_s=None, door=door)
    assert read_order(data) == Order(
        guard="/guard",
        alerts=config.alerts,
        heartbeat=config.heartbeat,
        patience_s=900.0,
        slack_s=60.0,
        seen=Seen(interval_s=15.0, door=Door(port=1, tls=True, timeout_s=3.0)),
    )


def make_alert(code, urgency, closed_ms=None):
    now_ms = clock.now_ms()
    words = Words("t", "w")
    return Alert(0, code, "", urgency, words, now_ms, now_ms, now_ms, closed_ms=closed_ms)


def make_notice(made_ms, next_ms):
    return Notice(
        0, "phone", MessageKind.OPENED, Urgency.CRITICAL, (), "s", "b", made_ms, next_ms=next_ms
    )


def test_what_keeps_a_gateway_from_being_well_is_on_record(history):
    now_ms = clock.now_ms()
    old_ms = now_ms - HOUR_MS - 1000
    history.alerts.put(
        [
            make_alert("crash-loop", Urgency.CRITICAL),
            make_alert("job-storm", Urgency.WARNING),
            make_alert("disk-full", Urgency.CRITICAL, closed_ms=now_ms),
        ]
    )
    history.notices.write(
        [make_notice(old_ms, now_ms), make_notice(old_ms, None), make_notice(now_ms, now_ms)]
    )
    found = read_health(history, FINE)
    assert (found.critical, found.stuck) == (("crash-loop",), 1)
    assert (found.silent_s, found.answer_ms, found.is_starting) == (1.0, 7, False)


def test_a_gateway_that_its_guard_does_not_ask_is_asked(history):
    with Web() as web:
        # It answers, and not as a gateway does.
        door = Door(port=web.port, timeout_s=5.0)
        seen = Seen(interval_s=15.0, door=door)
        assert read_health(history, seen).silent_s is None
        any_page = seen.model_copy(
            update={"door": door.model_copy(update={"takes_any_page": True})}
        )
        assert read_health(history, any_page).silent_s == 0.0
    assert {each.path for each in web.requests} == {"/healthz"}


@pytest.fixture
def sent(monkeypatch):
    """What would be sent by a child."""
    found = []

    def note(_settings, sign, _env):
        found.append(sign.word)
        return Delivery(True)

    monkeypatch.setattr(errand, "beat", note)
    return found


@pytest.mark.parametrize("is_on", [True, False])
def test_the_next_errand_is_due_with_the_next_heartbeat(history, address, sent, is_on):
    heartbeat = HeartbeatSettings(url_file=address if is_on else None, every_s=100.0)
    order = Order(guard="/guard", heartbeat=heartbeat, seen=FINE)
    before_ms = clock.now_ms()
    due_ms = run_errand(history, order, dict(os.environ))
    assert sent == ["well"] * is_on
    if is_on:
        assert before_ms + 90_000 <= due_ms <= clock.now_ms() + 110_000
        assert run_errand(history, order, dict(os.environ)) == due_ms
        assert len(sent) == 1
        slack = order.model_copy(update={"slack_s": 111.0})
        run_errand(history, slack, dict(os.environ))
        assert len(sent) == 2
    else:
        assert due_ms is None


@pytest.fixture
def pauses(monkeypatch):
    made = []
    monkeypatch.setattr(clock, "sleep_s", made.append)
    return made


def test_a_ledger_that_is_busy_for_a_moment_is_no_news(history, pauses, monkeypatch):
    answers = iter([IoFailed("busy"), IoFailed("busy"), None])

    def fail_twice(*_):
        answer = next(answers)
        if answer is not None:
            raise answer

    monkeypatch.setattr(errand, "take_turn", fail_twice)
    monkeypatch.setattr(errand, "tell_unrecorded", None)
    due_ms = run_errand(history, Order(guard="/guard", seen=FINE), {})
    assert 25_000 < due_ms - clock.now_ms() <= 30_000
    assert pauses == [20.0, 20.0]


@pytest.mark.parametrize(
    "data", [b"no database at all" * 99, b"SQLite format 3\0" + b"\xff" * 4_096]
)
def test_of_a_ledger_that_cannot_be_used_people_are_told_once(history, pauses, data, monkeypatch):
    """Whoever relied on messages once heard nothing any more, and did not know it."""
    history.facts.put("any", 1)
    history.workspace.home.ledger.write_bytes(data)
    with Web() as web:
        to = {"phone": DestinationSettings(url=f"json://127.0.0.1:{web.port}/x")}
        order = Order(guard="/guard", alerts=AlertsSettings(to=to, host="claw"), seen=FINE)
        for _ in range(3):
            due_ms = run_errand(history, order, dict(os.environ))
            assert 250_000 < due_ms - clock.now_ms() <= 300_000
        (request,) = web.requests
        assert request.json["subject"] == "claw (guard): tailflip cannot remember"
        assert request.json["urgency"] == "critical"
        real = clock.now_ms
        monkeypatch.setattr(clock, "now_ms", lambda: real() + 6 * HOUR_MS)
        run_errand(history, order, dict(os.environ))
        assert len(web.requests) == 2
    assert history.workspace.home.ledger.read_bytes() == data


def test_another_pass_at_work_is_waited_for(history, monkeypatch):
    monkeypatch.setattr(errand, "take_turn", lambda *_: None)
    due_ms = run_errand(history, Order(guard="/guard", seen=FINE), {})
    assert 25_000 < due_ms - clock.now_ms() <= 30_000


def test_a_message_that_is_due_goes_by_the_sender(history):
    to = {}
    with Web() as web:
        to["phone"] = DestinationSettings(url=f"json://127.0.0.1:{web.port}/x")
        order = Order(guard="/guard", alerts=AlertsSettings(to=to), seen=FINE)
        now_ms = clock.now_ms()
        notice = make_notice(now_ms, now_ms)
        history.notices.write([notice])
        run_errand(history, order, dict(os.environ))
    (request,) = web.requests
    assert (request.json["subject"], request.json["body"]) == ("s", "b")


def test_a_maintenance_keeps_messages_back_and_is_told_by_the_heartbeat(history):
    assert read_silence(history) is None
    assert not read_health(history, FINE).in_maintenance
    now = read_moment()
    begun = history.maintenances.begin(HOUR_MS, now)
    silence = read_silence(history)
    assert silence.since_ms == begun.began_ms
    assert abs(silence.until_ms - begun.until_ms) <= 2, "two clocks are read one after the other"
    assert read_health(history, FINE).in_maintenance
    history.maintenances.end(now)
    assert read_silence(history) is None
