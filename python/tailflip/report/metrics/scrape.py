"""One scrape: each collector on its own, so that what cannot be read is a 0 and no failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.remembered import remembering
from tailflip.report.metrics.collectors import COLLECTORS, collect_build, collect_counters
from tailflip.report.metrics.families import Sample
from tailflip.report.metrics.text import write_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tailflip.report.metrics.sources import Sources

    Part = Callable[[], Iterable[Sample]]


def scrape(every: Sequence[Sources]) -> str:
    """Write the metrics of these gateways, from one look at all of them.

    A collector whose part cannot be read gives no sample of it, and a 0 as its success. With
    several gateways it succeeds if it does for each.
    """
    with remembering():
        return _scrape(every)


def _scrape(every: Sequence[Sources]) -> str:
    parts: list[tuple[str, list[Part]]] = [
        ("build", [collect_build]),
        ("counters", [lambda: collect_counters(every)]),
    ]
    for name, collect in COLLECTORS.items():
        parts.append((name, [lambda at=at, by=collect: by(at) for at in every]))  # type: ignore[misc]
    samples: list[Sample] = []
    about: list[Sample] = []
    for name, calls in parts:
        began_s = clock.monotonic_s()
        successes = [_try(call, samples) for call in calls]
        labels = {"collector": name}
        took_s = clock.monotonic_s() - began_s
        about += [
            Sample("tailflip_scrape_collector_success", float(all(successes)), labels),
            Sample("tailflip_scrape_collector_duration_seconds", took_s, labels),
        ]
    return write_metrics([*samples, *about])


def _try(collect: Part, samples: list[Sample]) -> bool:
    """Add what a collector finds, all or nothing; says whether it could."""
    try:
        found = list(collect())
    except Exception:  # noqa: BLE001 - a damaged ledger must not take the other metrics along
        return False
    samples += found
    return True
