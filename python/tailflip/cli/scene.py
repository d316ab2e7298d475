"""What a verb works on: the options that choose stores, and what is known about them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip import clock, native
from tailflip.durable import naming, open_regular
from tailflip.errors import CannotCreate, TailflipError, Usage
from tailflip.flow import Store
from tailflip.observe.evidence import read_evidence
from tailflip.observe.gateway import read_gateway
from tailflip.observe.grammar import parse_size_bytes
from tailflip.observe.heap import read_heap_limit
from tailflip.observe.installation import STORE_NAME, locate, normalise_agent_id
from tailflip.render import format_error

if TYPE_CHECKING:
    from tailflip.cli.progress import OnProgress
    from tailflip.flow import Evidence, Gateway
    from tailflip.native import Surveyed
    from tailflip.observe.installation import Installation
    from tailflip.plan.policy import Policy

StorePaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="STORE",
        help="Paths of sessions.json files; without any, the stores of all agents.",
        show_default=False,
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="OpenClaw's state directory, if it is not where OpenClaw would look."
    ),
]
OneStore = Annotated[
    Path | None,
    typer.Option("--store", metavar="PATH", help="Which store, if archives of several hold that."),
]
Profile = Annotated[
    str | None, typer.Option(metavar="NAME", help="OpenClaw's profile, as in its --profile.")
]
Agent = Annotated[str | None, typer.Option(metavar="ID", help="Only this agent's store.")]
HeapLimit = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="The gateway's heap limit, such as 2gb; without it, its node is asked.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this, only say what.")]

_STATE_DIR_ABOVE = 3  # STATE/agents/AGENT/sessions/sessions.json


@dataclass(frozen=True)
class Scene:
    """An installation at one moment; `stores` are those that the user chose.

    `missing` are stores that should be there; empty when the user named what to look at.
    """

    installation: Installation
    gateway: Gateway
    stores: tuple[Store, ...]
    missing: tuple[Store, ...]
    now_ms: int

    @property
    def others_bytes(self) -> int:
        """Size of the installation's stores that were not chosen, but are loaded with them."""
        chosen = {os.path.realpath(store.path) for store in self.stores}
        total = 0
        for store in self.installation.stores:
            if os.path.realpath(store.path) not in chosen and store.path.is_file():
                total += store.path.stat().st_size
        return total

    def read_evidence(self, store: Store, dropped_keys: frozenset[str]) -> Evidence:
        """Gather proof of life and death about one store's entries."""
        found = read_evidence(self.installation, store, self.gateway, self.now_ms)
        return replace(found, dropped_keys=dropped_keys)

    def survey(
        self, store: Store, policy: Policy, evidence: Evidence, on_progress: OnProgress
    ) -> Surveyed:
        """Measure one store under a policy."""
        with naming(store.path), open_regular(store.path) as fd:
            size_bytes = os.fstat(fd).st_size
            return native.survey(
                fd, policy, evidence, self.now_ms, lambda d: on_progress("survey", d, size_bytes)
            )

    def find_heap_limit(self, given: str | None) -> tuple[int | None, str]:
        """Take the limit that was given, else ask the gateway's node.

        Raises:
            Usage: what was given is no size.
        """
        if given is None:
            return read_heap_limit(os.environ, pid=self.gateway.pid)
        try:
            return parse_size_bytes(given), "--heap-limit"
        except ValueError as e:
            raise Usage(
                f"--heap-limit is not a size: {given}", hint="write it as 2gb or 512mb"
            ) from e


def look(
    paths: list[Path] | None, state_dir: Path | None, profile: str | None, agent: str | None
) -> Scene:
    """Find the installation, its gateway and the chosen stores.

    Raises:
        Usage: options contradict each other, or an agent has no store.
    """
    if paths and agent is not None:
        raise Usage("give either paths of stores or --agent, not both")
    given = [path.absolute() for path in paths or ()]
    installation = _locate(given, state_dir, profile)
    stores = installation.stores
    if given:
        known = {os.path.realpath(store.path): store.agent_id for store in stores}
        stores = tuple(
            Store(path, known.get(os.path.realpath(path), _guess_agent(path))) for path in given
        )
    elif agent is not None:
        stores = tuple(s for s in stores if s.agent_id == normalise_agent_id(agent))
        if not stores:
            raise Usage(
                f"no store of agent {agent} below {installation.state_dir}",
                hint=f"agents are: {', '.join(installation.agents)}",
            )
    gateway = read_gateway(installation, os.environ)
    missing = () if given or agent is not None else installation.missing
    return Scene(installation, gateway, stores, missing, clock.now_ms())


def end_with(errors: list[TailflipError]) -> None:
    """Print what went wrong with single stores, and exit with the first one's code."""
    for error in errors:
        print(format_error(error), file=sys.stderr)
    if errors:
        raise typer.Exit(errors[0].exit_code)


def _locate(given: list[Path], state_dir: Path | None, profile: str | None) -> Installation:
    """Find the installation; a path given by hand says where it is, if it lies as they do."""
    guesses = {guess for path in given if (guess := _guess_state_dir(path)) is not None}
    if state_dir is None and profile is None and len(guesses) == 1:
        return locate(os.environ, state_dir=guesses.pop())
    try:
        return locate(os.environ, state_dir=state_dir, profile=profile)
    except CannotCreate:
        if not given or state_dir is not None or not given[0].parent.is_dir():
            raise
        # A store far from any installation: there is no other evidence than itself.
        return locate(os.environ, state_dir=given[0].parent)


def _guess_state_dir(path: Path) -> Path | None:
    above = path.parents
    lies_as_usual = (
        path.name == STORE_NAME
        and len(above) > _STATE_DIR_ABOVE
        and above[0].name == "sessions"
        and above[2].name == "agents"
    )
    return above[_STATE_DIR_ABOVE] if lies_as_usual and above[_STATE_DIR_ABOVE].is_dir() else None


def _guess_agent(path: Path) -> str | None:
    return path.parent.parent.name if _guess_state_dir(path) is not None else None
