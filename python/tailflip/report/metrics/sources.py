"""What a scrape reads: each part when a collector asks for it, and at most once."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import read_guards
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import find_state_dir, locate
from tailflip.report.metrics.answers import Answers
from tailflip.report.metrics.families import Sample
from tailflip.report.reading import look_around, read_situation
from tailflip.report.subject import find_subject

if TYPE_CHECKING:
    from tailflip.flow.observed import Gateway
    from tailflip.observe.installation import Installation
    from tailflip.report.status import Situation
    from tailflip.report.subject import Subject

MOST_GATEWAYS = 8


class Sources:
    """One gateway, as `status` reads it; the ledger is opened for reading alone.

    Raises (what needs the ledger):
        TailflipError: the ledger, or the gateway's directory, cannot be used.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        profile: str | None = None,
        answers: Answers | None = None,
    ) -> None:
        """Name the gateway as a person would; without a name it is found as `status` finds it."""
        self._named = (state_dir, profile)
        self.answers = Answers() if answers is None else answers
        self.now_ms = clock.now_ms()
        self.workspace = Workspace(Home.locate(os.environ), RealDisk(), is_read_only=True)

    @cached_property
    def subject(self) -> Subject:
        """The gateway's record and installation."""
        return find_subject(*self._named, is_read_only=True)

    @cached_property
    def situation(self) -> Situation:
        """How the gateway fares: the value of `tailflip status`."""
        return read_situation(self.subject, look_around(self.subject, self.now_ms), self.now_ms)

    @cached_property
    def guard(self) -> str:
        """The real path of the gateway's state directory, known with a damaged ledger too."""
        try:
            return self.subject.history.guard
        except TailflipError:
            return os.path.realpath(find_state_dir(os.environ, *self._named))

    @cached_property
    def installation(self) -> Installation | None:
        """The installation; None where it cannot be read."""
        try:
            return self.subject.installation
        except TailflipError:
            pass
        try:
            return locate(os.environ, state_dir=Path(self.guard))
        except TailflipError:
            return None

    @cached_property
    def gateway(self) -> Gateway | None:
        """The gateway's process; it is looked at also where the record cannot be read."""
        try:
            return self.situation.look.gateway
        except TailflipError:
            at = self.installation
            return None if at is None else read_gateway(at, os.environ)

    def make(self, name: str, value: float, **labels: str) -> Sample:
        """Make a sample of this gateway."""
        return Sample(f"tailflip_{name}", float(value), {"gateway": self.guard, **labels})


def find_sources(
    state_dir: Path | None = None, profile: str | None = None, answers: Answers | None = None
) -> tuple[Sources, ...]:
    """Find the gateways to tell of: the named one, else that of `status` and others on record.

    Args:
        state_dir: as a person names it.
        profile: likewise.
        answers: what is remembered from one scrape to the next.
    """
    first = Sources(state_dir, profile, answers)
    if state_dir is not None or profile is not None:
        return (first,)
    try:
        known = read_guards(first.workspace)
    except TailflipError:
        return (first,)
    others = [Sources(Path(each), answers=answers) for each in known if each != first.guard]
    return (first, *others[: MOST_GATEWAYS - 1])
