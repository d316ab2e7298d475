"""All gateways that tailflip can know of, a line each, the one that needs somebody most first.

A gateway is known by its record in the ledger, or by the definition of a service that starts it.
Each line is made by the reading that `status` makes; a gateway that cannot be read has a line too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.remembered import remembering
from tailflip.flow.late import dataclass
from tailflip.ledger.history import list_guards
from tailflip.observe.host.services import Places, find_services
from tailflip.report.reading import look_around, read_situation
from tailflip.report.status import State
from tailflip.report.subject import find_subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.base.workspace import Workspace
    from tailflip.flow.maintenance import Maintenance
    from tailflip.report.status import Memory, Situation, Stores, Verdict

# The worst first; what cannot be read may be as bad as what is down.
_ORDER = (State.DOWN, State.AT_RISK, State.WAITING, State.OK)


@dataclass(frozen=True)
class Member:
    """One gateway of the fleet. `verdict` None: it could not be read, for the reason `error`.

    `guard` names who guards it now: `run` or `watch`, or `gate` before its starts; "" for nobody.
    `situation` is the whole of what was read, for whoever words it anew.
    """

    state_dir: str
    service: str | None
    verdict: Verdict | None
    error: str = ""
    version: str | None = None
    port: int | None = None
    pid: int | None = None
    alive: bool | None = None
    guard: str = ""
    memory: Memory | None = None
    stores: Stores | None = None
    deaths_in_a_day: int = 0
    open_incidents: int = 0
    next_step: str = ""
    maintenance: Maintenance | None = None
    situation: Situation | None = None

    @property
    def is_grave(self) -> bool:
        """Say whether it needs somebody, or may."""
        return self.verdict is None or self.verdict.state is not State.OK


@dataclass(frozen=True)
class Fleet:
    """The gateways, the worst first; `gone` are on record, and no directory of theirs is left."""

    members: tuple[Member, ...]
    gone: tuple[str, ...]
    now_ms: int

    @property
    def is_grave(self) -> bool:
        """Say whether any gateway needs somebody."""
        return any(each.is_grave for each in self.members)


def read_fleet(workspace: Workspace, env: Mapping[str, str], now_ms: int) -> Fleet:
    """Read all gateways; each is read on its own, and one that fails stops no other.

    Raises:
        IoFailed: the ledger cannot be used.
    """
    with remembering():
        services = _list_services(env)
        known = list_guards(workspace)
        gone = tuple(each for each in known if each not in services and not Path(each).is_dir())
        names = [each for each in dict.fromkeys((*known, *services)) if each not in gone]
        members = [_read_member(each, services.get(each), now_ms) for each in names]
    return Fleet(tuple(sorted(members, key=_rank)), gone, now_ms)


def _list_services(env: Mapping[str, str]) -> dict[str, str]:
    """List the service that starts each gateway, by the real path of its state directory."""
    found: dict[str, str] = {}
    for service in find_services(env, Places.locate(env)):
        found.setdefault(os.path.realpath(service.state_dir), service.name)
    return found


def _read_member(guard: str, service: str | None, now_ms: int) -> Member:
    try:
        subject = find_subject(Path(guard), None)
        situation = read_situation(subject, look_around(subject, now_ms), now_ms)
    except (TailflipError, OSError) as e:
        told = e.message if isinstance(e, TailflipError) else str(e.strerror or e)
        return Member(guard, service, None, error=told)
    return _describe(situation, service)


def _describe(situation: Situation, service: str | None) -> Member:
    look = situation.look
    gateway = look.gateway
    return Member(
        state_dir=look.guard,
        service=service or look.service,
        verdict=situation.verdict,
        version=situation.version,
        port=look.port,
        pid=gateway.pid if gateway is not None else None,
        alive=gateway.alive if gateway is not None else None,
        guard=_name_guard(situation),
        memory=look.memory,
        stores=look.stores,
        deaths_in_a_day=situation.deaths_in_a_day,
        open_incidents=len(situation.incidents),
        next_step=situation.next_step,
        maintenance=look.maintenance,
        situation=situation,
    )


def _name_guard(situation: Situation) -> str:
    look, start = situation.look, situation.start
    if look.supervisor is not None:
        return look.supervisor.mode.value
    if look.installed is not None and look.installed.is_in_front:
        return look.installed.mode or "gate"
    return start.mode.value if start is not None else ""


def _rank(member: Member) -> tuple[int, int, str]:
    """Order by the verdict, then by what was found, then by name."""
    if member.verdict is None:
        return 0, 0, member.state_dir
    return _ORDER.index(member.verdict.state), -member.verdict.warnings, member.state_dir
