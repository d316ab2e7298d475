"""Findings about the heap that loading the stores takes, now and at the pace they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted, format_span, format_time
from tailflip.diagnose.findings.entry import Entry, Found
from tailflip.flow.findings import Code, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.conditions import StoreGrowth
    from tailflip.flow.outcomes import Forecast
    from tailflip.observe.installation import Installation

_TOLD_JOBS = 3


def _find_exhausted(forecast: Forecast, installation: Installation) -> Iterator[Found]:
    if forecast.over and forecast.limit_bytes is not None:
        yield Found(
            str(installation.state_dir),
            f"loading the stores needs about {format_bytes(forecast.heap_bytes)} of heap, "
            f"{_say_limit(forecast, forecast.limit_bytes)}: it is expected to die",
            _describe(forecast),
        )


def _find_close(forecast: Forecast, installation: Installation) -> Iterator[Found]:
    if forecast.close and forecast.limit_bytes is not None:
        share = 100 * forecast.heap_bytes / forecast.limit_bytes
        yield Found(
            str(installation.state_dir),
            f"loading the stores needs about {format_bytes(forecast.heap_bytes)} of heap, "
            f"{share:.0f} % of its limit; {_say_limit(forecast, forecast.limit_bytes)}: "
            "it may die at its next start, or once the stores grow a little",
            _describe(forecast),
        )


def _say_limit(forecast: Forecast, limit_bytes: int) -> str:
    limit = format_bytes(limit_bytes)
    return f"the gateway has {limit}" if forecast.limit_known else f"a guess gives it {limit}"


def _describe(forecast: Forecast) -> tuple[str, ...]:
    figures = f"{forecast.factor:g} bytes of heap per byte"
    if not forecast.release_known:
        figures += f", of the hungriest release that was measured: {forecast.doubt}"
    elif not forecast.measured:
        figures += ", of the nearest release that was measured; not measured for this one"
    return (f"limit from {forecast.source}", figures)


def _find_growing(growth: tuple[StoreGrowth, ...]) -> Iterator[Found]:
    for store in growth:
        yield Found(
            store.store,
            f"grows by {format_counted(round(store.entries_a_day), 'entry')} and "
            f"{format_bytes(int(store.bytes_a_day))} a day; on {format_time(store.hurts_ms)[:10]} "
            "the gateway's heap cannot load it any more "
            f"(at {format_bytes(store.hurts_at_bytes)})",
            (
                f"measured over {format_span(store.span_ms)}",
                *(
                    f"{title}: {format_counted(round(runs), 'run')} and "
                    f"{format_bytes(int(size))} a day"
                    for title, runs, size in store.jobs[:_TOLD_JOBS]
                ),
            ),
        )


ENTRIES = (
    Entry(
        Code.HEAP_FORECAST,
        Severity.ERROR,
        _find_exhausted,
        doc="The gateway is expected to run out of heap while it loads its stores.",
        hint="run `tailflip compact` to see what can go",
    ),
    Entry(
        Code.HEAP_CLOSE,
        Severity.WARNING,
        _find_close,
        doc="The forecast is within its own error of the limit: a few more runs decide.",
        hint="run `tailflip compact` to see what can go, before the gateway starts again",
    ),
    Entry(
        Code.STORE_GROWING,
        Severity.WARNING,
        _find_growing,
        doc="At the pace it grows, a store will be too big for the heap within 30 days.",
        hint=(
            "see `tailflip inspect` for what fills it; a shorter cron.sessionRetention, or "
            "`tailflip compact --apply`, keeps it small"
        ),
    ),
)
