"""The guarded gateway: its command, its installation, and its record.

`gate`, `preflight` and `run` begin with a `GuardedGateway`.
In the ledger and on disk a gateway is named by the real path of its state directory; the
columns and files that hold this name are called `guard`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.late import dataclass
from tailflip.ledger.history import History
from tailflip.observe.gateway.heap import HeapOwner
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.release import read_release
from tailflip.observe.installation import find_state_dir, locate, owns
from tailflip.stores.heap_limit import find_started_limit
from tailflip.supervise.best_effort import BestEffortHistory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.config.load import Config
    from tailflip.flow.observed import Gateway
    from tailflip.flow.outcomes import HeapLimit
    from tailflip.observe.gateway.release import Release
    from tailflip.observe.installation import Installation


@dataclass
class GuardedGateway:
    """A command and its installation.

    `env` is ours; the gateway's is `release.env`. `history` raises when the ledger fails;
    `record` goes on without it.
    """

    command: tuple[str, ...]
    env: Mapping[str, str]
    config: Config
    release: Release
    state_dir: Path
    home: Home
    disk: Disk
    history: History

    def __post_init__(self) -> None:
        self.record = BestEffortHistory(self.history)

    @classmethod
    def prepare(
        cls,
        command: Sequence[str],
        env: Mapping[str, str],
        config: Config,
        disk: Disk | None = None,
    ) -> GuardedGateway:
        """Find out which gateway a command starts."""
        release = read_release(command, env)
        profile = config.gateway.profile or release.profile
        state_dir = find_state_dir(release.env, config.gateway.state_dir, profile)
        home = Home.locate(env)
        disk = disk or RealDisk()
        history = History(Workspace(home, disk), os.path.realpath(state_dir))
        return cls(tuple(command), env, config, release, state_dir, home, disk, history)

    @property
    def name(self) -> str:
        """Name this gateway: the real path of its state directory."""
        return self.history.guard

    @property
    def profile(self) -> str | None:
        """OpenClaw's profile, from our settings or from the command."""
        return self.config.gateway.profile or self.release.profile

    def look_at_release(self) -> None:
        """Look again at the release that the command starts: it may have been updated."""
        self.release = read_release(self.command, self.env)

    def locate(self) -> Installation | None:
        """Locate the installation, with the gateway's next port; None before its first start.

        The port is taken from our settings, else from the command, else from its configuration.
        """
        given = self.config.gateway
        try:
            found = locate(self.release.env, state_dir=given.state_dir, profile=self.profile)
        except (TailflipError, OSError):
            return None
        return replace(found, port=given.port or self.release.port or found.port)

    def owns(self, path: str) -> bool:
        """Say whether a store or ledger on record is one of this gateway's."""
        return owns(path, self.name, self.locate())

    def find_other(self, at: Installation | None = None) -> Gateway | None:
        """Find a living gateway on the state directory, or the process that holds its port.

        `at` is a fresh result of `locate`, to spare looking again.
        """
        installation = at or self.locate()
        if installation is None:
            return None
        try:
            found = read_gateway(installation, self.release.env)
        except OSError as e:
            # The gateway's own lock keeps two apart: start it also where we may not look.
            log.error("cannot look for another gateway", error=e)
            return None
        # A start needs no proof that no gateway lives: wait for one that is found.
        return found if found.alive or found.in_the_way else None

    def find_heap_limit(self) -> HeapLimit:
        """Find the heap limit of what our command starts; node is asked once."""
        release = self.release
        # A shell may set another heap inside.
        doubt = None if release.is_found else "what the command starts is not known"
        owner = HeapOwner.of_ours("", release.env, release.node, release.command, doubt)
        return find_started_limit(self.config, owner, self.history)
