"""A scrape as a whole: what Prometheus gets, of a night, of nothing, and of a damaged ledger."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.incident_history import make_death, make_life, record_night
from support.several_gateways import Gateways
from support.stores import HOUR_MS, NOW_MS
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.demo.incident import write_incident
from tailflip.flow.lives import Cause
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.ledger.facts import SURVEY_FACT
from tailflip.ledger.history import History
from tailflip.report.metrics.collectors import COLLECTORS
from tailflip.report.metrics.families import COUNTER, FAMILIES, OWN, SUMMARY
from tailflip.report.metrics.scrape import scrape
from tailflip.report.metrics.sources import MOST_GATEWAYS, find_sources

MINUTE_MS = 60_000


def read(text: str) -> dict[tuple[object, ...], float]:
    """The samples by name and labels, without that of the gateway."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sorted((k, v) for k, v in sample.labels.items() if k != "gateway")
            found[sample.name, *labels] = sample.value
    return found


@pytest.fixture
def fleet(in_memory, monkeypatch):
    return Gateways(in_memory, monkeypatch)


def scrape_all():
    return read(scrape(find_sources()))


def succeeded(found, collector):
    return found["tailflip_scrape_collector_success", ("collector", collector)]


def test_a_night_of_crashes_is_told_by_cause(fleet):
    store = fleet.root / "openclaw" / "agents" / "main" / "sessions" / "sessions.json"
    record_night(fleet.fill(), store=str(store))
    found = scrape_all()
    assert found["tailflip_gateway_deaths_total", ("cause", "v8-heap-oom")] == 7
    assert found["tailflip_gateway_deaths_total", ("cause", "hang")] == 0
    assert {cause for name, *((_, cause),) in (
        key for key in found if key[0] == "tailflip_gateway_deaths_total"
    )} == {each.value for each in Cause}  # fmt: skip
    assert found["tailflip_gateway_starts_total",] == 8
    assert found["tailflip_incidents_total", ("cause", "v8-heap-oom")] == 1
    assert found["tailflip_gateway_down_seconds_total",] == pytest.approx(6 * 18 + 23, abs=1)
    assert found["tailflip_gateway_up",] == 0
    assert found["tailflip_at_risk",] == 1
    assert found["tailflip_store_size_bytes", ("agent", "main")] == store.stat().st_size
    assert found["tailflip_breaker_state", ("state", "closed")] == 1
    assert all(succeeded(found, name) for name in (*COLLECTORS, "build", "counters"))


def test_every_sample_has_the_labels_of_its_family_and_its_gateway(fleet):
    record_night(fleet.fill(), is_over=False)
    text = scrape(find_sources())
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name if sample.name in FAMILIES else sample.name.rpartition("_")[0]
            own = {"gateway"} if name not in OWN else set()
            assert set(sample.labels) == {*FAMILIES[name].labels, *own}, sample
            assert sample.labels.get("gateway") in (None, os.path.realpath(fleet.root / "openclaw"))


def test_the_last_survey_on_record_is_told_and_no_store_is_read_for_it(fleet):
    history = fleet.fill()
    assert not any("survey" in str(name) for name, *_ in scrape_all() if "scrape" not in str(name))
    stores = [
        {
            "agent": "main",
            "kinds": {"cron run": 312, "chat": 4},
            "runs": {"done": 310, "running": 2},
        },
        {"agent": "main", "kinds": {"chat": 1}, "runs": {}},
        {"agent": "ops", "kinds": {"chat": 7}, "runs": {}},
    ]
    told = {"at_ms": NOW_MS - 5_000, "heap_bytes": 512_000_000, "stores": stores}
    history.facts.put(SURVEY_FACT, told)
    found = scrape_all()
    assert found["tailflip_store_entries", ("agent", "main"), ("kind", "chat")] == 5
    assert found["tailflip_store_entries", ("agent", "ops"), ("kind", "chat")] == 7
    assert found["tailflip_store_runs", ("agent", "main"), ("status", "running")] == 2
    assert found["tailflip_store_survey_timestamp_seconds",] == NOW_MS / 1000 - 5
    assert found["tailflip_gateway_forecast_heap_bytes",] == 512_000_000


def test_names_end_as_their_kind_and_unit_say():
    for name, family in FAMILIES.items():
        assert name.endswith("_total") == (family.kind == COUNTER), name
        assert not name.endswith(("_ms", "_mb", "_percent")), name
        assert family.meaning.endswith("."), name


PROMTOOL = shutil.which("promtool", path="/usr/bin:/usr/local/bin")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is in Debian's prometheus")
def test_promtool_has_nothing_to_say(fleet):
    record_night(fleet.fill(), is_over=False)
    text = scrape(find_sources())
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_a_ledger_the_rest_is_told_and_no_count_is_made_up(fleet):
    write_incident(fleet.root / "openclaw", size_bytes=10_000, now_ms=NOW_MS)
    found = scrape_all()
    assert succeeded(found, "counters") == 0
    assert all(succeeded(found, name) for name in COLLECTORS)
    assert not any(str(name).endswith("_total") for name, *_ in found)
    assert found["tailflip_gateway_up",] == 0
    assert not fleet.home.root.exists(), "reading makes nothing"


@pytest.mark.parametrize(
    "damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096], ids=str
)
def test_a_damaged_ledger_is_a_zero_and_the_processes_are_told_all_the_same(fleet, damage):
    record_night(fleet.fill())
    fleet.home.ledger.write_bytes(damage)
    found = scrape_all()
    for name in ("counters", "record", "incidents", "archives"):
        assert succeeded(found, name) == 0, name
    assert succeeded(found, "process") == succeeded(found, "filesystems") == 1
    assert found["tailflip_gateway_up",] == 0
    assert found["tailflip_guard_up",] == 0


def test_nothing_installed_and_nothing_on_record_is_told_too(fleet):
    found = scrape_all()
    assert succeeded(found, "build") == succeeded(found, "filesystems") == 1
    assert ("tailflip_gateway_up",) not in found


def test_every_gateway_on_record_has_its_own_metrics(fleet):
    for n in range(3):
        fleet.fill(f"gw{n}").lives.begin(
            make_life(f"l{n}", NOW_MS, guard=os.path.realpath(fleet.root / f"gw{n}"))
        )
    text = scrape(find_sources())
    for n in range(3):
        guard = os.path.realpath(fleet.root / f"gw{n}")
        assert f'tailflip_gateway_starts_total{{gateway="{guard}"}} 1\n' in text
        assert f'tailflip_gateway_up{{gateway="{guard}"}} 0\n' in text


def test_with_very_many_gateways_the_first_are_looked_at_and_all_are_counted(fleet):
    for n in range(MOST_GATEWAYS + 5):
        guard = os.path.realpath(fleet.root / f"gw{n}")
        history = History(Workspace(fleet.home, RealDisk()), guard)
        history.lives.begin(make_life(f"l{n}", NOW_MS, guard=guard))
    text = scrape(find_sources())
    assert text.count("\ntailflip_gateway_starts_total{") == MOST_GATEWAYS + 5
    assert text.count("\ntailflip_guard_up{") == MOST_GATEWAYS


def test_no_counter_falls_over_a_day_in_which_rows_are_deleted(fleet):
    """A scrape every twenty minutes, a death every forty, and rows are kept for no time at all."""
    history = fleet.fill()
    history.lives.begin(make_life("first", NOW_MS, guard=history.guard))
    last: dict[tuple[object, ...], float] = {}
    rose, rows = set(), []
    for minute in range(0, 24 * 60, 20):
        fleet.now_ms = NOW_MS + minute * MINUTE_MS
        if minute % 40 == 0:
            name = f"l{minute}"
            life = make_life(name, fleet.now_ms, guard=history.guard)
            history.lives.begin(life)
            ended_ms = fleet.now_ms + 1_000
            death = make_death(Cause.HANG if minute % 80 else Cause.V8_HEAP)
            incident = history.incidents.open(death, ended_ms)
            known = {"ended_ms": ended_ms, "death": death, "incident": incident.id}
            history.lives.end(life.model_copy(update=known), b"")
            history.incidents.close_all(ended_ms + 1)
            action = Action(
                id=name, kind="compact", store=f"{history.guard}/s.json", state=State.INTENDED,
                created_ms=ended_ms, details=Details(temps=()),
            )  # fmt: skip
            Ledger(history.workspace).begin(action)
            Ledger(history.workspace).advance(action, State.DONE, took_ms=50, freed_bytes=10)
        if minute % 120 == 0:
            history.facts.put("expired-ms", None)
            history.expire(fleet.now_ms + 24 * HOUR_MS, keep_days=0.01)
        rows.append(len(history.lives.read(10_000)))
        found = scrape_all()
        counters = {
            key: value
            for key, value in found.items()
            if str(key[0]).endswith(("_total", "_sum", "_count"))
        }
        assert counters.keys() >= last.keys()
        for key, value in last.items():
            assert counters[key] >= value, (minute, key)
            if counters[key] > value:
                rose.add(key)
        last = counters
    assert min(rows[8:]) < 5, "rows were deleted"
    assert last["tailflip_gateway_deaths_total", ("cause", "hang")] == 18
    assert {name for name, *_ in rose} >= {
        "tailflip_gateway_starts_total", "tailflip_gateway_deaths_total",
        "tailflip_gateway_down_seconds_total", "tailflip_incidents_total",
        "tailflip_actions_total", "tailflip_action_freed_bytes_total",
        "tailflip_action_duration_seconds_sum", "tailflip_action_duration_seconds_count",
    }  # fmt: skip


def test_kinds_of_counters_and_summaries_are_declared_so():
    kinds = {family.kind for family in FAMILIES.values()}
    assert kinds == {COUNTER, "gauge", SUMMARY}
