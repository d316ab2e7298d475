"""Finds the service that starts a gateway through us, from its present definition on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.install.record import read_records
from tailflip.install.systemd import DROP_IN
from tailflip.install.values import Mode
from tailflip.observe.host.services import Places, find_services
from tailflip.report.status import Installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.base.state_dir import Home
    from tailflip.install.record import Record
    from tailflip.observe.host.service import Service


def find_installed(env: Mapping[str, str], home: Home, guard: str) -> Installed | None:
    """Find the gateway's service that starts through us, or was installed to.

    Args:
        env: a person's; it tells where service definitions lie.
        home: its records say what was installed.
        guard: the gateway's name: the real path of its state directory.

    Returns:
        None if no service of this gateway is ours, or its definition cannot be read.
    """
    try:
        services = find_services(env, Places.locate(env))
        records = read_records(home)
    except (TailflipError, OSError):
        return None
    own = [each for each in services if os.path.realpath(each.state_dir) == guard]
    found = [each for each in (_describe(one, records) for one in own) if each is not None]
    return next((each for each in found if each.is_in_front), found[0] if found else None)


def _describe(service: Service, records: list[Record]) -> Installed | None:
    record = next((each for each in records if _is_of(each, service)), None)
    path = _find_front(service)
    if path is None and record is None:
        return None
    return Installed(
        service=service.name,
        scope=service.scope,
        manager=service.manager,
        mode=record.mode.value if record is not None else None,
        path=str(path) if path is not None else None,
    )


def _is_of(record: Record, service: Service) -> bool:
    """Say whether a record is of a service's front; `watch` stands beside it, and has a process."""
    names = (record.manager, record.scope, record.subject)
    return names == (service.manager, service.scope, service.name) and record.mode is not Mode.WATCH


def _find_front(service: Service) -> Path | None:
    """Find the file that makes the service start through us."""
    if service.wrapper is not None:
        return service.wrapper
    for drop_in in service.drop_ins:
        if drop_in.name == DROP_IN:
            return drop_in
    return service.path if service.guarded_by_hand or _is_agent_of_ours(service) else None


def _is_agent_of_ours(service: Service) -> bool:
    """Look into the arguments of a launchd agent: `Service.command` leaves our part out."""
    if service.manager != "launchd":
        return False
    import plistlib  # noqa: PLC0415 - launchd's alone, and it loads an XML parser

    words = plistlib.loads(service.data)["ProgramArguments"]
    return any(Path(str(word)).name == "tailflip" for word in words)
