"""Chooses the target of a verb: one installation at one moment, and which of its stores."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tailflip.base import clock
from tailflip.base.durable import RealDisk, explain_os_error
from tailflip.base.errors import CannotCreate, Usage
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.schema import Config
from tailflip.flow.late import dataclass
from tailflip.flow.observed import Store
from tailflip.ledger.history import History
from tailflip.observe.agents import AGENT_DATABASE, normalise_agent_id
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import (
    STORE_NAME,
    find_state_dir,
    locate,
    require_state_dir,
)
from tailflip.observe.next_start import find_gateway_env, find_next_start, find_owners
from tailflip.stores.formats import find_engine
from tailflip.stores.heap_limit import find_limit, find_told_limit
from tailflip.stores.ownership import find_claims
from tailflip.stores.proof.judge import judge_store
from tailflip.stores.settings import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tailflip.base.errors import TailflipError
    from tailflip.base.progress import Progress
    from tailflip.config.load import Loaded
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.fill import Fill
    from tailflip.flow.lives import Life
    from tailflip.flow.numbers import Measured
    from tailflip.flow.observed import Evidence, Gateway
    from tailflip.flow.outcomes import HeapLimit
    from tailflip.observe.installation import Installation
    from tailflip.observe.next_start import NextStart
    from tailflip.plan.policy import Policy
    from tailflip.stores.ownership import Claim

_STATE_DIR_ABOVE = 3  # STATE/agents/AGENT/sessions/sessions.json


@dataclass(frozen=True)
class Scene:
    """An installation at one moment; `stores` are those that the user chose.

    `env` is the gateway's environment, as far as it could be found, and `caller_env` that of who
    asks. `missing` are stores that should be there; empty when the
    user named stores. `kept` are not ours to write, and in neither of the two. `config` has the
    settings of this very gateway.
    """

    env: Mapping[str, str]
    installation: Installation
    gateway: Gateway
    stores: tuple[Store, ...]
    missing: tuple[Store, ...]
    now_ms: int
    kept: Mapping[Store, Claim] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    caller_env: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        last = _read_last_life(self.caller_env, self.installation)
        return find_next_start(self.installation, self.caller_env, self.gateway, last)

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of the release that will start next here."""
        return self.next_start.release.capabilities

    def read_evidence(
        self, store: Store, dropped_keys: frozenset[str], deaths: Sequence[tuple[int, int]]
    ) -> Evidence:
        """Gather proof of life and death about one store's entries; `deaths` as `judge_store`."""
        judged = judge_store(
            self.installation,
            store,
            self.gateway,
            self.now_ms,
            deaths,
            ends_chats=self.capabilities.leaves_running_chats,
        )
        return replace(judged.evidence, dropped_keys=dropped_keys)

    def survey(
        self, store: Store, policy: Policy, evidence: Evidence, on_progress: Progress
    ) -> Measured:
        """Measure one store under a policy."""
        engine = find_engine(store.path)
        return engine.survey(store.path, policy, evidence, self.now_ms, on_progress)

    def describe_fill(self, store: Store) -> Fill | None:
        """Read what fills one store beyond its entries; None where there is nothing else."""
        engine = find_engine(store.path)
        return engine.describe_fill(store.path, self.now_ms, self.installation.retention_ms)

    def find_heap_limit(self, history: History | None, given: str | None = None) -> HeapLimit:
        """Find the heap limit of this gateway; `given` is a person's word.

        Raises:
            Usage: the given limit is no size.
        """
        told = find_told_limit(self.config, given)
        if told is not None:
            return told
        owners = find_owners(self.installation.state_dir, self.gateway, self.caller_env)
        return find_limit(self.config, owners, history)

    def begin_heap_limit(
        self, history: History | None, given: str | None
    ) -> Callable[[], HeapLimit]:
        """Begin to find the heap limit, and return a function that waits for it.

        Node takes as long to answer as we take to survey a store of a hundred megabytes.

        Raises:
            Usage: the given limit is no size.
        """
        told = find_told_limit(self.config, given)
        if told is not None:
            return lambda: told
        found: list[HeapLimit] = []
        worker = threading.Thread(
            target=lambda: found.append(self.find_heap_limit(history)),
            name="tailflip-node",
            daemon=True,
        )
        worker.start()

        def wait() -> HeapLimit:
            worker.join()
            return found[0]

        return wait


def look(
    env: Mapping[str, str],
    *,
    paths: list[Path] | None = None,
    state_dir: Path | None = None,
    profile: str | None = None,
    agent: str | None = None,
    settings: Loaded | Config | None = None,
    is_lenient: bool = False,
) -> Scene:
    """Find the installation, its gateway and the chosen stores.

    Args:
        env: The gateway's environment, or a person's.
        paths: Paths of stores; the installation that they lie in is looked at.
        state_dir: The gateway's state directory.
        profile: OpenClaw's profile.
        agent: Choose this agent's store.
        settings: Those of the host, from which this gateway's are chosen, or its own. Their
            `gateway.state_dir` and `gateway.profile` count where neither was given.
        is_lenient: A configuration of the gateway that cannot be read counts as empty.

    Raises:
        Usage: options contradict each other, an agent has no store, or the stores are of
            several installations.
        CannotCreate: the directory that a person asks about is no state directory.
        StoreInvalid: no store is where the paths say.
    """
    if paths and agent is not None:
        raise Usage("give either paths of stores or --agent, not both")
    given = [path.absolute() for path in paths or ()]
    gone = find_gone(given)
    if gone and len(gone) == len(given):
        raise gone[0]
    if len(group_by_installation(given)) > 1:
        raise Usage(
            "these stores are of several installations, and each has a gateway of its own",
            hint="ask about one installation at a time; `compact` takes them all",
        )
    told = settings if isinstance(settings, Config) or settings is None else settings.config
    if told is not None and not given and state_dir is None and profile is None:
        state_dir, profile = told.gateway.state_dir, told.gateway.profile
    if told is None or told is settings:  # the environment is the gateway's
        found = _Found(env, _locate(env, given, state_dir, profile))
    else:
        found = _ask(env, given, state_dir, profile, is_lenient=is_lenient)
    installation = found.installation
    gateway = found.gateway or read_gateway(installation, env)
    stores = _choose_stores(installation, given, agent)
    missing = () if given or agent is not None else installation.missing
    kept = find_claims((*stores, *missing), installation.state_dir)
    return Scene(
        env=found.env,
        installation=installation,
        gateway=gateway,
        stores=tuple(store for store in stores if store not in kept),
        missing=tuple(store for store in missing if store not in kept),
        now_ms=clock.now_ms(),
        kept={store: claim for store, claim in kept.items() if os.path.lexists(store.path)},
        config=_choose_config(settings, env, installation, profile),
        caller_env=env,
    )


def find_gone(paths: Iterable[Path]) -> list[TailflipError]:
    """Tell of each store that a person named, and that is not there."""
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return [explain_os_error(path, error) for path in paths if not os.path.lexists(path)]


def group_by_installation(paths: Sequence[Path]) -> list[list[Path]]:
    """Group paths of stores by the installation that they lie in, in the order given."""
    groups: dict[str | None, list[Path]] = {}
    for path in paths:
        state_dir = _guess_state_dir(path.absolute())
        groups.setdefault(None if state_dir is None else os.path.realpath(state_dir), []).append(
            path
        )
    return list(groups.values())


def _read_last_life(env: Mapping[str, str], installation: Installation) -> Life | None:
    """Read the last life on record; None where there is none, or nobody can read it."""
    workspace = Workspace(Home.locate(env), RealDisk(), is_read_only=True)
    return History(workspace, os.path.realpath(installation.state_dir)).lives.recall_last()


class _Found(NamedTuple):
    """An installation, with the environment of its gateway; None where that was not looked for."""

    env: Mapping[str, str]
    installation: Installation
    gateway: Gateway | None = None


def _ask(
    env: Mapping[str, str],
    given: list[Path],
    state_dir: Path | None,
    profile: str | None,
    *,
    is_lenient: bool,
) -> _Found:
    """Find an installation for a person: with the gateway's own environment, not the person's.

    Raises:
        CannotCreate: the directory is no state directory.
    """
    own = find_gateway_env(_find_dir(env, given, state_dir, profile), None, env)
    installation = _locate(own, given, state_dir, profile, is_lenient=is_lenient)
    if not given and own == env:  # no definition starts a gateway there
        require_state_dir(installation.state_dir, installation.config_path)
    gateway = read_gateway(installation, env)
    living = find_gateway_env(installation.state_dir, gateway, env)
    if living == own:
        return _Found(own, installation, gateway)
    at = locate(living, state_dir=installation.state_dir, is_lenient=is_lenient)
    return _Found(living, at, gateway)


def _choose_stores(
    installation: Installation, given: list[Path], agent: str | None
) -> tuple[Store, ...]:
    """Choose the given stores, an agent's, or all.

    Raises:
        Usage: the agent has no store.
    """
    stores = installation.stores
    if given:
        known = {os.path.realpath(store.path): store.agent_id for store in stores}
        return tuple(
            Store(
                path,
                known.get(os.path.realpath(path), _guess_agent(path)),
                installation.state_dir,
            )
            for path in given
        )
    if agent is None:
        return stores
    chosen = tuple(s for s in stores if s.agent_id == normalise_agent_id(agent))
    if not chosen:
        raise Usage(
            f"no store of agent {agent} below {installation.state_dir}",
            hint=f"agents are: {', '.join(installation.agents)}",
        )
    return chosen


def _find_dir(
    env: Mapping[str, str], given: Sequence[Path], state_dir: Path | None, profile: str | None
) -> Path:
    """Find the state directory before anything in it is read; as `_locate` does."""
    guesses = [guess for path in given if (guess := _guess_state_dir(path)) is not None]
    if state_dir is None and profile is None and guesses:
        return guesses[0]
    return find_state_dir(env, state_dir, profile)


def _choose_config(
    settings: Loaded | Config | None,
    env: Mapping[str, str],
    installation: Installation,
    profile: str | None,
) -> Config:
    if settings is None or isinstance(settings, Config):
        return settings or Config()
    return choose(settings, env, installation.state_dir, profile).config


def _locate(
    env: Mapping[str, str],
    given: list[Path],
    state_dir: Path | None,
    profile: str | None,
    *,
    is_lenient: bool = False,
) -> Installation:
    """Find the installation; a given store's path tells where, if it lies in a state directory."""
    guesses = {guess for path in given if (guess := _guess_state_dir(path)) is not None}
    if state_dir is None and profile is None and len(guesses) == 1:
        return locate(env, state_dir=guesses.pop(), is_lenient=is_lenient)
    try:
        return locate(env, state_dir=state_dir, profile=profile, is_lenient=is_lenient)
    except CannotCreate:
        if not given or state_dir is not None or not given[0].parent.is_dir():
            raise
        # A store outside of any installation has no evidence beside itself.
        return locate(env, state_dir=given[0].parent, is_lenient=is_lenient)


def _guess_state_dir(path: Path) -> Path | None:
    above = path.parents
    lies_as_usual = (
        (above[0].name, path.name) in (("sessions", STORE_NAME), ("agent", AGENT_DATABASE))
        and len(above) > _STATE_DIR_ABOVE
        and above[2].name == "agents"
    )
    return above[_STATE_DIR_ABOVE] if lies_as_usual and above[_STATE_DIR_ABOVE].is_dir() else None


def _guess_agent(path: Path) -> str | None:
    return path.parent.parent.name if _guess_state_dir(path) is not None else None
