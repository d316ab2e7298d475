"""The settings of a guarded gateway: a mistake in them keeps no gateway down.

A start goes on with the last good settings, else without the wrong ones, and says so: in the log,
and as a finding that `status` and `check` tell until a start without a mistake.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.errors import TailflipError
from tailflip.config.load import load
from tailflip.observe.gateway.release import read_release
from tailflip.stores.settings import choose, read_settings, remember
from tailflip.supervise.context import GuardedGateway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.base.workspace import Workspace
    from tailflip.config.load import Loaded


def prepare_gateway(
    command: Sequence[str], env: Mapping[str, str], flags: Mapping[str, str], workspace: Workspace
) -> GuardedGateway:
    """Find out which gateway a command starts, with its settings; tells mistakes in them.

    Raises:
        ConfigInvalid: a flag is wrong.
        Usage: the name of a profile is none.
    """
    release = read_release(command, env)
    state_dir = flags.get("gateway.state_dir")
    loaded = read_settings(
        env,
        workspace,
        flags=flags,
        gateway_env=release.env,
        state_dir=None if state_dir is None else Path(state_dir).expanduser(),
        profile=flags.get("gateway.profile") or release.profile,
    )
    gateway = GuardedGateway.prepare(command, env, loaded.config, workspace.disk)
    log.set_level(gateway.config.log.level)
    _tell(gateway, loaded)
    return gateway


def reload_settings(gateway: GuardedGateway, flags: Mapping[str, str]) -> None:
    """Read the settings again; invalid ones change nothing."""
    try:
        loaded = load(gateway.env, flags)
        loaded = choose(loaded, gateway.release.env, gateway.state_dir, gateway.profile)
    except TailflipError as e:
        log.error("settings are not valid, the old ones stay", error=e)
        return
    gateway.config = loaded.config
    log.set_level(gateway.config.log.level)
    _tell(gateway, loaded)
    log.info("settings were read again")


def _tell(gateway: GuardedGateway, loaded: Loaded) -> None:
    """Log mistakes and put them on record; settings without one are the last good ones."""
    is_mended = False
    with suppress(TailflipError, OSError):
        is_mended = remember(gateway.history, loaded)
    if is_mended:
        from tailflip.flow.findings import Code  # noqa: PLC0415 - most starts had no mistake

        gateway.record.note((), (Code.SETTINGS_WRONG,))
    if not loaded.mistakes:
        return
    from tailflip.diagnose.findings.inputs import Inputs  # noqa: PLC0415 - a mistake alone pays
    from tailflip.supervise.noted import note  # noqa: PLC0415

    for text in loaded.mistakes:
        log.error("the settings cannot be read in full", found=text)
    log.error(f"{loaded.what_counts}; the gateway is started all the same")
    note(gateway, Inputs(mistakes=loaded.mistakes))
