"""The collectors: each fills a few families from what was read of one gateway."""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import IoFailed
from tailflip.flow.findings import Code
from tailflip.flow.lives import BreakerState, Cause, DecisionKind
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.counters import Count, read_counters
from tailflip.ledger.database import Database
from tailflip.ledger.facts import SURVEY_FACT
from tailflip.observe.gateway.cgroup import read_limit
from tailflip.observe.gateway.vitals import read_tree
from tailflip.observe.host.space import read_space
from tailflip.report.metrics.answers import ask
from tailflip.report.metrics.families import Sample
from tailflip.report.metrics.telling import collect_alerts, collect_maintenance, list_destinations
from tailflip.stores.archive_weight import weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tailflip.flow.lives import Life
    from tailflip.report.metrics.sources import Sources

    Collector = Callable[[Sources], Iterable[Sample]]

_MOST_AGENTS = 100
_OTHER = "other"
_CAUSES = tuple(each.value for each in Cause)
_KINDS = tuple(each.value for each in ActionKind)
# The counts: metric, suffix, unit, label, and the values of it that are there from the beginning.
_COUNTED: dict[str, tuple[str, str, float, str, tuple[str, ...]]] = {
    Count.STARTS: ("gateway_starts_total", "", 1, "", ("",)),
    Count.DEATHS: ("gateway_deaths_total", "", 1, "cause", _CAUSES),
    Count.DOWN_MS: ("gateway_down_seconds_total", "", 1000, "", ("",)),
    Count.INCIDENTS: ("incidents_total", "", 1, "cause", _CAUSES),
    Count.ACTIONS: ("actions_total", "", 1, "kind", _KINDS),
    Count.ACTION_FAILURES: ("action_failures_total", "", 1, "kind", _KINDS),
    Count.FREED_BYTES: ("action_freed_bytes_total", "", 1, "kind", _KINDS),
    Count.ALERTS_SENT: ("alerts_sent_total", "", 1, "destination", ()),
    Count.ALERT_FAILURES: ("alert_failures_total", "", 1, "destination", ()),
    Count.ACTION_MS: ("action_duration_seconds", "_sum", 1000, "kind", _KINDS),
}


def collect_process(at: Sources) -> Iterator[Sample]:
    """Tell whether the gateway lives, and how much memory it has; the record is not needed."""
    make = at.make
    gateway = at.gateway
    supervisor = at.workspace.home.read_supervisor(at.guard)
    yield make("guard_up", supervisor is not None)
    if gateway is None or gateway.alive is None:
        return
    yield make("gateway_up", gateway.alive)
    if not gateway.alive or gateway.pid is None:
        return
    if gateway.started_ms is not None:
        yield make("gateway_start_timestamp_seconds", gateway.started_ms / 1000)
    vitals = read_tree(gateway.pid)
    if vitals.processes:
        yield make("gateway_resident_memory_bytes", vitals.rss_bytes)
        yield make("gateway_processes", vitals.processes)
    limit_bytes = read_limit(gateway.pid)
    if limit_bytes is not None:
        yield make("gateway_cgroup_limit_bytes", limit_bytes)


def collect_answers(at: Sources) -> Iterator[Sample]:
    """Ask a living gateway, and tell how it answered."""
    make, gateway, installation = at.make, at.gateway, at.installation
    if gateway is None or not gateway.alive or installation is None:
        return
    port = at.subject.config.gateway.port or installation.port
    answer, is_good = ask(installation, port, gateway)
    told = at.answers.note(at.guard, gateway, at.now_ms, answer, is_good=is_good)
    yield make("gateway_missed_answers", told.missed)
    if told.last_ms is not None:
        yield make("gateway_last_answer_timestamp_seconds", told.last_ms / 1000)
    if told.took_s is not None:
        yield make("gateway_answer_seconds", told.took_s)


def collect_record(at: Sources) -> Iterator[Sample]:
    """Tell what the situation says of lives, starts and limits."""
    make, told = at.make, at.situation
    mode = told.look.supervisor.mode if told.look.supervisor is not None else ""
    stores = at.installation.stores if at.installation is not None else ()
    era = "sqlite" if any(each.is_database for each in stores) else "json"
    yield make(
        "gateway_info", 1, openclaw_version=told.version or "", era=era if stores else "", mode=mode
    )
    yield make("at_risk", told.is_grave)
    lives = [told.life] if told.life is not None else []
    alive = told.look.gateway is not None and told.look.gateway.alive is True
    yield make("gateway_ready", alive and any(_is_ready(life) for life in lives))
    ends = [life.ended_ms for life in (*lives, *told.deaths) if life.ended_ms is not None]
    if ends:
        yield make("gateway_last_end_timestamp_seconds", max(ends) / 1000)
    memory = told.look.memory
    if memory.limit_bytes is not None:
        yield make("gateway_heap_limit_bytes", memory.limit_bytes)
    if memory.trend is not None:
        yield make("gateway_memory_exhaustion_timestamp_seconds", memory.trend.hits_ms / 1000)
    for state in BreakerState:
        yield make("breaker_state", told.breaker.state is state, state=state.value)
    decision, made_ms = told.decision, told.decided_ms or 0
    began_ms = max((life.started_ms for life in lives), default=0)
    if decision is not None and decision.at_ms is not None and made_ms > began_ms:
        is_start = decision.kind is not DecisionKind.END
        if is_start and not alive:
            yield make("next_start_timestamp_seconds", decision.at_ms / 1000)


def collect_incidents(at: Sources) -> Iterator[Sample]:
    """Count open incidents and what is wrong now."""
    make, told = at.make, at.situation
    yield make("incidents_open", len(told.incidents))
    unseen = sum(each.incident.acked_ms is None for each in told.incidents)
    yield make("incidents_unacknowledged", unseen)
    counts: dict[tuple[str, str], int] = {}
    known = {each.value for each in Code}
    for each in told.findings:
        code = str(each.finding.code)
        key = (code if code in known else _OTHER, str(each.finding.severity))
        counts[key] = counts.get(key, 0) + 1
    for (code, severity), number in sorted(counts.items()):
        yield make("findings", number, code=code, severity=severity)
    yield make("jobs_in_flight", len(at.subject.history.runs.read_open()))


def collect_stores(at: Sources) -> Iterator[Sample]:
    """Measure the stores, with one stat each."""
    make, sizes = at.make, dict[str, int]()
    for store in at.installation.stores if at.installation is not None else ():
        with suppress(OSError):
            name = store.agent_id or ""
            name = name if name in sizes or len(sizes) < _MOST_AGENTS else _OTHER
            sizes[name] = sizes.get(name, 0) + store.path.stat().st_size
    for name, size_bytes in sizes.items():
        yield make("store_size_bytes", size_bytes, agent=name)
    stores = at.situation.look.stores
    if stores is not None and stores.bytes_per_day is not None:
        yield make("store_growth_bytes_per_day", stores.bytes_per_day)


def collect_archives(at: Sources) -> Iterator[Sample]:
    """Weigh archives, and tell when actions were last taken."""
    make = at.make
    weighed = weigh(at.workspace)
    yield make("archive_size_bytes", sum(each.bytes for each in weighed))
    yield make("archives", len(weighed))
    last: dict[str, int] = {}
    for each in at.situation.actions:
        kind = str(each.action.kind)
        last[kind] = max(last.get(kind, 0), each.action.created_ms)
    for kind, at_ms in sorted(last.items()):
        yield make("last_action_timestamp_seconds", at_ms / 1000, kind=kind)


def collect_filesystems(at: Sources) -> Iterator[Sample]:
    """Measure the room on the disks that the gateway and tailflip write to."""
    make = at.make
    places = {
        "state": Path(at.guard),
        "tmp": Path(tempfile.gettempdir()),
        "own": at.workspace.home.root,
    }
    for which, path in places.items():
        for space in read_space(path):
            yield make("filesystem_avail_bytes", space.free_bytes, which=which)
            yield make("filesystem_size_bytes", space.total_bytes, which=which)


def collect_survey(at: Sources) -> Iterator[Sample]:
    """Tell what the last survey before a start found; nothing is surveyed for a scrape."""
    told = at.subject.history.facts.get(SURVEY_FACT)
    if not isinstance(told, dict):
        return
    yield at.make("store_survey_timestamp_seconds", told["at_ms"] / 1000)
    yield at.make("gateway_forecast_heap_bytes", told["heap_bytes"])
    counted = (("store_entries", "kind", "kinds"), ("store_runs", "status", "runs"))
    for family, label, part in counted:
        sums: dict[tuple[str, str], int] = {}
        for n, store in enumerate(told["stores"]):
            agent = store["agent"] if n < _MOST_AGENTS else _OTHER
            for name, count in store[part].items():
                sums[agent, name] = sums.get((agent, name), 0) + count
        for (agent, name), count in sums.items():
            yield at.make(family, count, **{"agent": agent, label: name})


COLLECTORS: dict[str, Collector] = {
    "process": collect_process,
    "record": collect_record,
    "incidents": collect_incidents,
    "stores": collect_stores,
    "archives": collect_archives,
    "filesystems": collect_filesystems,
    "answers": collect_answers,
    "survey": collect_survey,
    "alerts": collect_alerts,
    "maintenance": collect_maintenance,
}


def collect_build() -> Iterator[Sample]:
    """Tell which tailflip this is."""
    python = ".".join(map(str, sys.version_info[:3]))
    labels = {"version": find_version(), "python": python}
    yield Sample("tailflip_build_info", 1, labels)


def collect_counters(every: Sequence[Sources]) -> Iterator[Sample]:
    """Tell the counts of all gateways, those that are zero too.

    Raises:
        IoFailed: there is no ledger, or it cannot be used: its counts are then no zeros.
    """
    workspace = every[0].workspace
    if not Database(workspace).exists:
        raise IoFailed("there is no ledger")
    found: dict[str, dict[tuple[str, str], int]] = {each.guard: {} for each in every}
    destinations = {each.guard: list_destinations(each) for each in every}
    for counter in read_counters(workspace):
        found.setdefault(counter.guard, {})[counter.name, counter.label] = counter.value
    for guard, counts in found.items():
        for name, (metric, suffix, unit, label, values) in _COUNTED.items():
            first = destinations.get(guard, ()) if label == "destination" else values
            more = [each for counted, each in counts if counted == name and each not in first]
            for value in (*first, *more):
                labels = {"gateway": guard} | ({label: value} if label else {})
                number = counts.get((name, value), 0) / unit
                yield Sample(f"tailflip_{metric}", number, labels, suffix)
        for kind in _KINDS:
            number = counts.get((Count.ACTIONS, kind), 0)
            labels = {"gateway": guard, "kind": kind}
            yield Sample("tailflip_action_duration_seconds", number, labels, "_count")


@cache
def find_version() -> str:
    """Find our release by the name of its folder: Python's own way loads a reader of mail."""
    for folder in sys.path:
        with suppress(OSError):
            for each in Path(folder or ".").glob("tailflip-*.dist-info"):
                return each.name.removesuffix(".dist-info").partition("-")[2]
    return ""


def _is_ready(life: Life) -> bool:
    return life.ended_ms is None and life.ready_ms is not None
