"""What people were told, in numbers: from the record, and with each destination from the start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.several_gateways import Gateways
from support.stores import NOW_MS
from tailflip.alerts.heartbeat import FACT
from tailflip.alerts.rules.retry import begin_try, end_try
from tailflip.base.moments import read_moment
from tailflip.flow.alerts import Alert, Delivery, MessageKind, Notice, Urgency, Words
from tailflip.ledger.notices import NEW
from tailflip.report.metrics.collectors import collect_counters
from tailflip.report.metrics.sources import Sources
from tailflip.report.metrics.telling import collect_alerts, collect_maintenance, list_destinations

SETTINGS = """
[alerts.to.phone]
exec = "/bin/true"
[alerts.to.desk]
exec = "/bin/true"
"""


@pytest.fixture
def fleet(in_memory, monkeypatch):
    made = Gateways(in_memory, monkeypatch)
    config = in_memory / "config.toml"
    config.write_text(SETTINGS)
    monkeypatch.setenv("TAILFLIP_CONFIG", str(config))
    return made


def tell(samples):
    told = {}
    for each in samples:
        labels = [text for name, text in each.labels.items() if name != "gateway"]
        told[each.name.removeprefix("tailflip_"), *labels] = each.value
    return told


def put(history, to="phone"):
    notice = Notice(
        NEW, to, MessageKind.OPENED, Urgency.CRITICAL, (1,), "s", "b", NOW_MS, next_ms=NOW_MS
    )
    return history.notices.write((notice,))[0]


def try_once(history, notice, delivery, now_ms):
    tried = begin_try(notice, now_ms)
    history.notices.note(tried)
    ended = end_try(tried, delivery, now_ms + 5)
    history.notices.note(ended)
    return ended


def test_each_destination_has_its_zeros_before_anything_was_told(fleet):
    history = fleet.fill()
    history.facts.put("anything", 1)
    at = Sources()
    assert list_destinations(at) == ("phone", "desk")
    found = tell([*collect_alerts(at), *collect_counters([at])])
    for name in ("phone", "desk"):
        assert found["alerts_pending", name] == 0
    assert ("alert_last_success_timestamp_seconds", "phone") not in found
    assert found["alerts_open", "critical"] == 0


def test_tries_are_counted_by_how_they_ended(fleet):
    history = fleet.fill()
    failed = try_once(history, put(history), Delivery(False, "refused"), NOW_MS)
    failed = try_once(history, failed, Delivery(False, "refused"), NOW_MS + 30_000)
    waits = tell(collect_alerts(Sources()))
    assert waits["alerts_pending", "phone"] == 1
    assert ("alert_last_success_timestamp_seconds", "phone") not in waits
    try_once(history, failed, Delivery(True), NOW_MS + 60_000)
    try_once(history, put(history, "gone"), Delivery(True), NOW_MS)
    found = tell([*collect_alerts(Sources()), *collect_counters([Sources()])])
    assert found["alert_failures_total", "phone"] == 2
    assert found["alerts_sent_total", "phone"] == 1
    assert found["alerts_sent_total", "desk"] == found["alert_failures_total", "desk"] == 0
    assert found["alerts_sent_total", "gone"] == 1, "one that is no more keeps its count"
    assert found["alerts_pending", "phone"] == 0
    last = found["alert_last_success_timestamp_seconds", "phone"]
    assert last == (NOW_MS + 60_005) / 1000


def test_noting_the_same_end_twice_counts_once(fleet):
    history = fleet.fill()
    ended = try_once(history, put(history), Delivery(True), NOW_MS)
    history.notices.note(ended)
    assert tell(collect_counters([Sources()]))["alerts_sent_total", "phone"] == 1


def test_open_alerts_are_counted_by_urgency(fleet):
    history = fleet.fill()
    alert = Alert(
        0, "disk-full", "", Urgency.CRITICAL, Words("disk full", "w"), NOW_MS, NOW_MS, NOW_MS
    )
    over = replace(alert, code="job-storm", urgency=Urgency.WARNING, closed_ms=NOW_MS)
    history.alerts.put((alert, over))
    found = tell(collect_alerts(Sources()))
    assert found["alerts_open", "critical"] == 1
    assert found["alerts_open", "warning"] == found["alerts_open", "notice"] == 0


def test_the_heartbeat_that_arrived_is_dated_and_one_that_never_did_is_absent(fleet):
    history = fleet.fill()
    told = {"attempt_ms": NOW_MS, "due_ms": NOW_MS, "word": "well", "error": "", "failures": 0}
    history.facts.put(FACT, {**told, "delivered_ms": None})
    name = ("heartbeat_last_success_timestamp_seconds",)
    assert name not in tell(collect_alerts(Sources()))
    history.facts.put(FACT, {**told, "delivered_ms": NOW_MS - 1_000})
    assert tell(collect_alerts(Sources()))[name] == NOW_MS / 1000 - 1


def test_a_maintenance_is_told_with_its_end(fleet):
    history = fleet.fill()
    assert tell(collect_maintenance(Sources())) == {("maintenance_active",): 0}
    history.maintenances.begin(3_600_000, read_moment())
    found = tell(collect_maintenance(Sources()))
    assert found["maintenance_active",] == 1
    end_s = found["maintenance_end_timestamp_seconds",]
    assert end_s == pytest.approx(NOW_MS / 1000 + 3600, abs=5)
