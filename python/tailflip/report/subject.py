"""Chooses the gateway that a question is about: the named one, or the one on record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, TailflipError, Usage
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.late import dataclass
from tailflip.ledger.history import History, read_guards
from tailflip.observe.gateway.signs import find_definitions
from tailflip.observe.installation import find_state_dir, locate, require_state_dir
from tailflip.stores.settings import choose, read_settings

if TYPE_CHECKING:
    from tailflip.config.load import Config
    from tailflip.observe.installation import Installation


@dataclass(frozen=True)
class Subject:
    """A gateway's record, and its present installation; None where `problem` forbids to read it.

    `mistakes` are those in our own settings.
    """

    history: History
    installation: Installation | None
    config: Config
    notes: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()
    problem: str = ""
    cure: str = ""


def find_subject(
    state_dir: Path | None, profile: str | None, *, is_read_only: bool = False
) -> Subject:
    """Find the gateway by flags, else settings, else the environment, else the record.

    A service has its own environment. A person who asks without it means the gateway that was
    guarded last. So that gateway is taken when the state directory that we find has no record.

    Args:
        state_dir: as a person named it.
        profile: likewise.
        is_read_only: the ledger is not brought to the present schema either.

    Raises:
        Usage: a profile name that OpenClaw would refuse.
        CannotCreate: the named directory is no state directory, and nothing is on record of it.
        IoFailed: the ledger cannot be used.
    """
    env = os.environ
    workspace = Workspace(Home.locate(env), RealDisk(), is_read_only=is_read_only)
    settings = read_settings(env, workspace, state_dir=state_dir, profile=profile)
    config = settings.config
    named = state_dir is not None or profile is not None
    if not named:
        state_dir, profile = config.gateway.state_dir, config.gateway.profile
    guard = os.path.realpath(find_state_dir(env, state_dir, profile))
    known = read_guards(workspace)
    notes = [*settings.mistakes, settings.what_counts] if settings.mistakes else []
    if not named and known and guard not in known:
        notes.append(f"nothing is on record about {guard}; this is what was guarded last")
        guard, state_dir, profile = known[0], Path(known[0]), None
        config = choose(settings, env, state_dir).config
    others = [other for other in known if other != guard]
    if others:
        notes.append(f"also on record (--state-dir): {', '.join(others)}")
    history = History(workspace, guard)
    try:
        installation = locate(env, state_dir=state_dir, profile=profile)
        if named and guard not in known and not any(find_definitions(Path(guard), env)):
            require_state_dir(installation.state_dir, installation.config_path)
    except Usage:
        raise
    except TailflipError as e:
        if isinstance(e, CannotCreate) and named and guard not in known:
            raise  # neither a gateway nor a record of one
        # The configuration may be broken: the record is read all the same.
        cure = e.hint or ""
        return Subject(history, None, config, tuple(notes), settings.mistakes, e.message, cure)
    return Subject(history, installation, config, tuple(notes), settings.mistakes)
