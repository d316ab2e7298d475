"""Chooses the target of a verb: one installation at one moment, and which of its stores."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import CannotCreate, Usage
from tailflip.base.openclaw_units import parse_size_bytes
from tailflip.flow.observed import Store
from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import STORE_NAME, locate, normalise_agent_id
from tailflip.observe.next_start import find_next_start
from tailflip.stores.formats import find_engine
from tailflip.stores.ownership import find_claims
from tailflip.stores.proof.judge import judge_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.config.load import Config
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.numbers import Measured
    from tailflip.flow.observed import Evidence, Gateway
    from tailflip.observe.installation import Installation
    from tailflip.observe.next_start import NextStart
    from tailflip.plan.policy import Policy
    from tailflip.stores.ownership import Claim

_STATE_DIR_ABOVE = 3  # STATE/agents/AGENT/sessions/sessions.json


@dataclass(frozen=True)
class Scene:
    """An installation at one moment; `stores` are those that the user chose.

    `env` is the gateway's environment. `missing` are stores that should be there; empty when the
    user named stores. `kept` are not ours to write, and in neither of the two.
    """

    env: Mapping[str, str]
    installation: Installation
    gateway: Gateway
    stores: tuple[Store, ...]
    missing: tuple[Store, ...]
    now_ms: int
    kept: Mapping[Store, Claim] = field(default_factory=dict)

    @property
    def others_bytes(self) -> int:
        """Size of the installation's other stores, which the gateway loads with the chosen ones."""
        chosen = {os.path.realpath(store.path) for store in (*self.stores, *self.kept)}
        others = [
            store
            for store in self.installation.stores
            if os.path.realpath(store.path) not in chosen and store.path.is_file()
        ]
        kept = find_claims(others, self.installation.state_dir) if others else {}
        return sum(store.path.stat().st_size for store in others if store not in kept)

    @cached_property
    def next_start(self) -> NextStart:
        """The release that will start next here, where no command names it."""
        return find_next_start(self.installation, self.env)

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of the release that will start next here."""
        return self.next_start.release.capabilities

    def read_evidence(
        self, store: Store, dropped_keys: frozenset[str], deaths: Sequence[tuple[int, int]]
    ) -> Evidence:
        """Gather proof of life and death about one store's entries; `deaths` as `judge_store`."""
        judged = judge_store(self.installation, store, self.gateway, self.now_ms, deaths)
        return replace(judged.evidence, dropped_keys=dropped_keys)

    def survey(
        self, store: Store, policy: Policy, evidence: Evidence, on_progress: Progress
    ) -> Measured:
        """Measure one store under a policy."""
        engine = find_engine(store.path)
        return engine.survey(store.path, policy, evidence, self.now_ms, on_progress)

    def begin_heap_limit(self, given: str | None, config: Config) -> Callable[[], HeapLimit]:
        """Begin to find the heap limit, and return a function that waits for it.

        The limit is the one given, else the one set, else that of the node that starts next.
        Node takes as long to answer as we take to survey a store of a hundred megabytes.

        Raises:
            Usage: the given limit is no size.
        """
        told = _read_given(given, config)
        if told is not None:
            return lambda: told
        found: list[HeapLimit] = []

        def ask() -> None:
            limit_bytes, source = self.next_start.find_heap_limit(self.gateway.pid)
            found.append(HeapLimit(limit_bytes, source, config.heal.margin))

        worker = threading.Thread(target=ask, name="tailflip-node", daemon=True)
        worker.start()

        def wait() -> HeapLimit:
            worker.join()
            return found[0]

        return wait


def _read_given(given: str | None, config: Config) -> HeapLimit | None:
    """Read the heap limit that a person gave, now or in the settings."""
    margin = config.heal.margin
    if given is None:
        set_bytes = config.gateway.heap_limit_bytes
        return None if set_bytes is None else HeapLimit(set_bytes, "gateway.heap_limit", margin)
    try:
        return HeapLimit(parse_size_bytes(given), "--heap-limit", margin)
    except ValueError as e:
        raise Usage(f"--heap-limit is not a size: {given}", hint="write it as 2gb or 512mb") from e


def look(
    env: Mapping[str, str],
    *,
    paths: list[Path] | None = None,
    state_dir: Path | None = None,
    profile: str | None = None,
    agent: str | None = None,
    config: Config | None = None,
) -> Scene:
    """Find the installation, its gateway and the chosen stores.

    Args:
        env: The gateway's environment, or a person's.
        paths: Paths of stores; the installation that they lie in is looked at.
        state_dir: The gateway's state directory.
        profile: OpenClaw's profile.
        agent: Choose this agent's store.
        config: Its `gateway.state_dir` and `gateway.profile` count where neither was given.

    Raises:
        Usage: options contradict each other, or an agent has no store.
    """
    if paths and agent is not None:
        raise Usage("give either paths of stores or --agent, not both")
    if config is not None and not paths and state_dir is None and profile is None:
        state_dir, profile = config.gateway.state_dir, config.gateway.profile
    given = [path.absolute() for path in paths or ()]
    installation = _locate(env, given, state_dir, profile)
    stores = installation.stores
    if given:
        known = {os.path.realpath(store.path): store.agent_id for store in stores}
        stores = tuple(
            Store(
                path,
                known.get(os.path.realpath(path), _guess_agent(path)),
                installation.state_dir,
            )
            for path in given
        )
    elif agent is not None:
        stores = tuple(s for s in stores if s.agent_id == normalise_agent_id(agent))
        if not stores:
            raise Usage(
                f"no store of agent {agent} below {installation.state_dir}",
                hint=f"agents are: {', '.join(installation.agents)}",
            )
    gateway = read_gateway(installation, env)
    missing = () if given or agent is not None else installation.missing
    kept = find_claims((*stores, *missing), installation.state_dir)
    return Scene(
        env=env,
        installation=installation,
        gateway=gateway,
        stores=tuple(store for store in stores if store not in kept),
        missing=tuple(store for store in missing if store not in kept),
        now_ms=clock.now_ms(),
        kept={store: claim for store, claim in kept.items() if os.path.lexists(store.path)},
    )


def _locate(
    env: Mapping[str, str], given: list[Path], state_dir: Path | None, profile: str | None
) -> Installation:
    """Find the installation; a given store's path tells where, if it lies in a state directory."""
    guesses = {guess for path in given if (guess := _guess_state_dir(path)) is not None}
    if state_dir is None and profile is None and len(guesses) == 1:
        return locate(env, state_dir=guesses.pop())
    try:
        return locate(env, state_dir=state_dir, profile=profile)
    except CannotCreate:
        if not given or state_dir is not None or not given[0].parent.is_dir():
            raise
        # A store outside of any installation has no evidence beside itself.
        return locate(env, state_dir=given[0].parent)


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
