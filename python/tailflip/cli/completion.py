"""What a shell offers when a person presses Tab: actions, incidents, jobs and agents on record.

A shell that asks gets no error and changes nothing: what cannot be read is not offered.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - typer reads the annotations

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.units import format_time
from tailflip.base.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


Offer = tuple[str, str]


def offer_actions(incomplete: str) -> list[Offer]:
    """Offer the ids of actions, newest first, with what they did."""
    from tailflip.ledger.actions import Ledger  # noqa: PLC0415 - nobody presses Tab at a start

    offers: list[Offer] = []
    with _quietly():
        offers += [
            (each.id, f"{each.kind}, {format_time(each.created_ms)}")
            for each in Ledger(_workspace()).read_all()
        ]
    return _choose(offers, incomplete)


def offer_incidents(incomplete: str) -> list[Offer]:
    """Offer the numbers of incidents, newest first, with their causes."""
    from tailflip.report.subject import find_subject  # noqa: PLC0415

    offers: list[Offer] = []
    with _quietly():
        offers += [
            (each.id, f"{each.cause}, {format_time(each.opened_ms)}")
            for each in find_subject(None, None).history.incidents.read()
        ]
    return _choose(offers, incomplete)


def offer_alerts(incomplete: str) -> list[Offer]:
    """Offer the numbers of open alerts, with what they are about."""
    from tailflip.base import clock  # noqa: PLC0415
    from tailflip.report.subject import find_subject  # noqa: PLC0415

    offers: list[Offer] = []
    with _quietly():
        offers += [
            (str(each.number), f"{each.words.title}, {format_time(each.since_ms)}")
            for each in find_subject(None, None).history.alerts.read(clock.now_ms())
            if each.is_open
        ]
    return _choose(offers, incomplete)


def offer_jobs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of cron jobs, or their ids where they have no name."""
    from tailflip.observe.installation import locate  # noqa: PLC0415
    from tailflip.observe.records.reading import read_job_names  # noqa: PLC0415

    offers: list[Offer] = []
    with _quietly():
        place = locate(os.environ, state_dir=_state_dir(ctx))
        for job_id, name in read_job_names(place).items():
            offers.append((name or job_id, job_id))
    return _choose(offers, incomplete)


def offer_agents(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the agents that have a store."""
    from tailflip.stores.target import look  # noqa: PLC0415

    offers: list[Offer] = []
    with _quietly():
        scene = look(os.environ, state_dir=_state_dir(ctx), profile=ctx.params.get("profile"))
        offers += [(each.agent_id, "agent") for each in scene.stores if each.agent_id]
    return _choose(offers, incomplete)


@contextmanager
def _quietly() -> Iterator[None]:
    with suppress(TailflipError, OSError):
        yield


def _choose(offers: Iterable[Offer], incomplete: str) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]


def _workspace() -> Workspace:
    return Workspace(Home.locate(os.environ), RealDisk())


def _state_dir(ctx: Any) -> Path | None:
    found: Path | None = ctx.params.get("state_dir")
    return found
