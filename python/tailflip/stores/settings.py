"""Chooses the settings of the gateway at hand, on a host that may have several.

All verbs come here: a section of the file, `[gateways.NAME]`, is chosen by the gateway's state
directory or profile, whoever asks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.config.load import load
from tailflip.ledger.facts import SETTINGS_FACT
from tailflip.ledger.history import History
from tailflip.observe.installation import find_state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.config.load import Loaded, OfGateway


def read_settings(
    env: Mapping[str, str],
    workspace: Workspace,
    *,
    flags: Mapping[str, str] | None = None,
    gateway_env: Mapping[str, str] | None = None,
    state_dir: Path | None = None,
    profile: str | None = None,
) -> Loaded:
    """Read the settings of a gateway, for a caller that goes on in spite of mistakes in them.

    Where the file has a mistake, the text with which the gateway was last started counts.

    Args:
        env: ours.
        workspace: where the last good text is on record.
        flags: as for `load`.
        gateway_env: the gateway's environment, where it is not ours.
        state_dir: as a person named it.
        profile: as a person, or the gateway's command, named it.

    Raises:
        ConfigInvalid: a flag is wrong.
        Usage: the name of a profile is none.
    """
    where = env if gateway_env is None else gateway_env
    loaded = load(env, flags, goes_on=True)
    if loaded.mistakes and loaded.text is None:
        guard = os.path.realpath(find_place(loaded, where, state_dir, profile))
        last_good = _recall(History(workspace, guard))
        if last_good is not None:
            loaded = load(env, flags, goes_on=True, last_good=last_good)
    return choose(loaded, where, find_place(loaded, where, state_dir, profile), profile)


def find_place(
    loaded: Loaded, env: Mapping[str, str], state_dir: Path | None, profile: str | None
) -> Path:
    """Find the state directory: by what was named, else by the settings, else by environment."""
    told = loaded.config.gateway
    if state_dir is None and profile is None:
        return find_state_dir(env, told.state_dir, told.profile)
    return find_state_dir(env, state_dir, profile)


def choose(
    loaded: Loaded, env: Mapping[str, str], state_dir: Path, profile: str | None = None
) -> Loaded:
    """Choose the section of the gateway with this state directory or profile, if it has one."""
    real = os.path.realpath(state_dir)
    for name, own in loaded.gateways.items():
        if _find_own(own, env) == real or (own.state_dir is None and own.profile == profile):
            return loaded.choose(name)
    return loaded


def remember(history: History, loaded: Loaded) -> bool:
    """Put the settings of a start on record; says whether a mistake on record is gone.

    Raises:
        IoFailed: the ledger cannot be used.
        CannotCreate: it cannot be made.
    """
    known = history.facts.get(SETTINGS_FACT)
    fact = known if isinstance(known, dict) else {}
    is_wrong = bool(loaded.mistakes)
    text = fact.get("text") if loaded.text is None else loaded.text.decode("utf-8-sig")
    if not is_wrong and not loaded.found:
        text = None
    if (text, is_wrong) != (fact.get("text"), fact.get("is_wrong", False)):
        history.facts.put(SETTINGS_FACT, {"text": text, "is_wrong": is_wrong})
    return bool(fact.get("is_wrong")) and not is_wrong


def _find_own(own: OfGateway, env: Mapping[str, str]) -> str | None:
    """Find the state directory that a section is about; None where it names no valid one."""
    home = {name: value for name, value in env.items() if name != "OPENCLAW_STATE_DIR"}
    if own.state_dir is None and own.profile is None:
        return None
    return os.path.realpath(find_state_dir(home, own.state_dir, own.profile))


def _recall(history: History) -> bytes | None:
    try:
        fact = history.facts.get(SETTINGS_FACT)
    except TailflipError:
        return None
    text = fact.get("text") if isinstance(fact, dict) else None
    return text.encode() if isinstance(text, str) else None
