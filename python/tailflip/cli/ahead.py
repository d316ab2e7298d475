"""Prints what is ahead in another release, for `check --release` and `preflight --release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.render import escape, format_forecast
from tailflip.report.ahead import format_meetings, format_verdict

if TYPE_CHECKING:
    from tailflip.flow.ahead import Ahead


def print_ahead(ahead: Ahead) -> None:
    """Print the verdict first, then what to do next, then all that will be met."""
    print(escape(format_verdict(ahead)))
    step = next((each.step for each in ahead.grave if each.step), "")
    if step:
        print(f"next: {escape(step)}")
    print()
    for line in format_meetings(ahead.meetings):
        print(escape(line))
    if ahead.forecast is not None:
        print(f"stores in {escape(ahead.release)}: {format_forecast(ahead.forecast)}")
