"""Chooses the gateway that a question is about: the named one, or the one on record."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError, Usage
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import load
from tailflip.ledger.history import History, read_guards
from tailflip.observe.installation import find_state_dir, locate

if TYPE_CHECKING:
    from tailflip.config.load import Config
    from tailflip.observe.installation import Installation


@dataclass(frozen=True)
class Subject:
    """A gateway's record, and its present installation; None where `problem` forbids to read it."""

    history: History
    installation: Installation | None
    config: Config
    notes: tuple[str, ...] = ()
    problem: str = ""


def find_subject(state_dir: Path | None, profile: str | None) -> Subject:
    """Find the gateway by flags, else settings, else the environment, else the record.

    A service has its own environment. A person who asks without it means the gateway that was
    guarded last. So that gateway is taken when the state directory that we find has no record.

    Raises:
        Usage: a profile name that OpenClaw would refuse.
        ConfigInvalid: our own settings are wrong.
        IoFailed: the ledger cannot be used.
    """
    env = os.environ
    workspace, config = Workspace(Home.locate(env), RealDisk()), load(env).config
    named = state_dir is not None or profile is not None
    if not named:
        state_dir, profile = config.gateway.state_dir, config.gateway.profile
    guard = os.path.realpath(find_state_dir(env, state_dir, profile))
    known = read_guards(workspace)
    notes: list[str] = []
    if not named and known and guard not in known:
        notes.append(f"nothing is on record about {guard}; this is what was guarded last")
        guard, state_dir, profile = known[0], Path(known[0]), None
    others = [other for other in known if other != guard]
    if others:
        notes.append(f"also on record (--state-dir): {', '.join(others)}")
    history = History(workspace, guard)
    try:
        installation = locate(env, state_dir=state_dir, profile=profile)
    except Usage:
        raise
    except TailflipError as e:
        # The configuration may be broken: the record is read all the same.
        problem = f"{e.message}; {e.hint}" if e.hint else e.message
        return Subject(history, None, config, tuple(notes), problem)
    return Subject(history, installation, config, tuple(notes))
