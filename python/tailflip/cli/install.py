"""`tailflip install`: put tailflip before, around or beside a gateway's service."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock, platform_calls
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreInvalid, TailflipError, Usage
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.install_text import Item, format_items, print_lines, print_notes
from tailflip.cli.options import Apply, AsJson, end_with
from tailflip.config.telling import HEARTBEAT
from tailflip.diagnose.causes import GONE_PROGRAM
from tailflip.install.apply import install as apply_install
from tailflip.install.apply import list_changes
from tailflip.install.manager import (
    RealManager,
    is_manager_there,
    read_systemd_version,
    verify,
)
from tailflip.install.plan import choose_program, find_conflicts, plan_install, plan_own_service
from tailflip.install.record import read_records
from tailflip.install.unfinished import tell_not_installed
from tailflip.install.values import Facts, Mode
from tailflip.observe.gateway.release import find_missing_file, read_release
from tailflip.observe.host.services import Places, find_opaque_services, find_services
from tailflip.observe.installation import find_state_dir
from tailflip.stores.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.install.apply import Outcome
    from tailflip.observe.host.service import Scope, Service

ServiceName = Annotated[
    list[str] | None,
    typer.Option(
        "--service",
        metavar="NAME",
        help="Only this service, such as openclaw-gateway-work; may be repeated. Without it, "
        "every service that starts a gateway.",
        show_default=False,
    ),
]


def install(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="With --mode run: the gateway's command, if no service starts it yet.",
            show_default=False,
        ),
    ] = None,
    *,
    mode: Annotated[
        Mode,
        typer.Option(
            help="gate: look and heal before each start; nothing stays. run: be the gateway's "
            "parent. watch: stand beside it."
        ),
    ] = Mode.GATE,
    service: ServiceName = None,
    timer: Annotated[
        bool, typer.Option("--timer", help="Also reconcile every quarter of an hour (systemd).")
    ] = False,
    system: Annotated[
        bool, typer.Option("--system", help="With a command: a service of the system, as root.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the whole text of each file.")
    ] = False,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Put tailflip in front of the gateway's service. Names each file; --apply writes them.

    Finds the services of all profiles, the user's and the system's. Checks each text with the
    platform's own checker. `tailflip uninstall` takes every file away again. It takes effect at
    the gateway's next start; OpenClaw from 2026.8.1 on restarts its gateway for it.
    """
    home = Home.locate(os.environ)
    errors: list[TailflipError] = []
    if command:
        if mode is not Mode.RUN:
            raise Usage("a command goes with --mode run", hint="leave it out: services are found")
        items = [_plan_command(command, home, system=system)]
    else:
        items, errors = _plan_services(home, mode, service or [], timer=timer)
    refused = [
        StoreInvalid(
            f"{item.plan.subject}: the checker does not take what would be written: {line}",
            hint="please report it; nothing was written",
        )
        for item in items
        for line in item.complaints
    ]
    outcomes: list[Outcome] = []
    if apply and not refused:
        for item in items:
            manager = RealManager(os.environ, item.plan.manager)
            outcomes.append(
                apply_install(
                    item.plan,
                    workspace=Workspace(home, RealDisk()),
                    manager=manager,
                    now_ms=clock.now_ms(),
                )
            )
    unfinished = [
        tell_not_installed(item.plan, outcome, item.command)
        for item, outcome in zip(items, outcomes, strict=False)
        if outcome.undone
    ]
    failed = [*errors, *refused, *unfinished]
    if as_json:
        from tailflip.cli.answers.services import Install  # noqa: PLC0415 - for --json

        Install.to(
            applied=apply,
            services=[_describe(each) for each in items],
            outcomes=outcomes,
            failed=failed,
        ).say()
    else:
        print_lines(format_items(items, outcomes, applied=apply and not refused, verbose=verbose))
        print_notes(outcomes)
    end_with(failed)


def _plan_services(
    home: Home, mode: Mode, names: Sequence[str], *, timer: bool
) -> tuple[list[Item], list[TailflipError]]:
    places = Places.locate(os.environ)
    found = find_services(os.environ, places)
    chosen = [each for each in found if is_named(each.name, names)]
    opaque = find_opaque_services(places) if not chosen else []
    if opaque:
        raise Usage(
            f"{', '.join(opaque)} starts its gateway through a shell (`sh -c ...`): which one "
            "cannot be read from it",
            hint="write ExecStart without the shell (systemd has Environment= and "
            "WorkingDirectory=), or put `tailflip gate --` in front of `node` in it by hand",
        )
    if not chosen:
        own = "give the gateway's command: tailflip install --mode run -- openclaw gateway run"
        alone = "no service manager runs here: `tailflip run -- openclaw gateway run` guards it"
        is_there = is_manager_there(platform_calls.here.service_manager)
        raise Usage(
            f"no such service: {', '.join(names)}" if names else "no service starts a gateway here",
            hint=f"`openclaw gateway install` makes one; or {own}" if is_there else alone,
        )
    mine = {(each.subject, each.scope) for each in read_records(home)}
    items: list[Item] = []
    errors: list[TailflipError] = []
    for each in chosen:
        conflicts = find_conflicts(
            each,
            found,
            mode,
            home.read_supervisor(os.path.realpath(each.state_dir)),
            is_ours=(each.name, each.scope) in mine,
        )
        errors += conflicts
        if not conflicts:
            facts = replace(_gather_facts(places, each), addresses=_find_addresses(each, home))
            plan = plan_install(each, mode, facts, timer=timer)
            gone = find_missing_file(each.command, each.env)
            if gone is not None:
                said = f"{gone} is not there: no start can succeed"
                plan = replace(plan, notes=(*plan.notes, f"{said}; {GONE_PROGRAM}"))
            complaints = verify(plan, each, os.environ)
            items.append(Item(each, each.command, plan, list_changes(plan), complaints))
    return items, errors


def _plan_command(command: Sequence[str], home: Home, *, system: bool) -> Item:
    if platform_calls.here.service_manager != "systemd":
        raise Usage("a service of our own is offered for systemd only")
    places = Places.locate(os.environ)
    release = read_release(command, os.environ)
    state_dir = find_state_dir(release.env, None, release.profile)
    for other in find_services(os.environ, places):
        if other.state_dir == state_dir:
            raise Usage(
                f"{other.name} ({other.scope}) starts a gateway on that state directory already",
                hint=f"tailflip install --mode run --service {other.name}",
            )
    words = [shutil.which(command[0]) or command[0], *command[1:]]
    if not os.path.isabs(words[0]):  # noqa: PTH117
        raise Usage(f"program not found: {command[0]}")
    facts = _gather_facts(places, None)
    scope: Scope = "system" if system else "user"
    plan = plan_own_service(release, words, state_dir, facts, scope=scope, env=os.environ)
    mine = {(each.subject, each.scope) for each in read_records(home)}
    guarding = home.read_supervisor(os.path.realpath(state_dir))
    if guarding is not None and (plan.subject, plan.scope) not in mine:
        raise Usage(
            f"this gateway is guarded already, by tailflip {guarding.mode}, pid {guarding.pid}",
            hint="stop that one first",
        )
    return Item(None, command, plan, list_changes(plan), verify(plan, None, os.environ))


def _gather_facts(places: Places, service: Service | None) -> Facts:
    user_home = Path(os.environ.get("HOME") or Path.home())
    config_dir = places.systemd_user[0].parent.parent / "tailflip"
    return Facts(
        tailflip=choose_program(_own_path(), sys.executable, shutil.which("tailflip")),
        settings=_choose_settings(service),
        systemd_version=read_systemd_version(os.environ),
        unit_dirs={"user": places.systemd_user[0], "system": places.systemd_system[0]},
        config_dir=config_dir,
        agents_dir=places.launch_agents,
        data_dir=user_home / ".local" / "share" / "tailflip",
        logs_dir=user_home / "Library" / "Logs",
    )


def _find_addresses(service: Service, home: Home) -> dict[str, Path] | None:
    """Find the files with the addresses of those who are told of a gateway; None: nobody is."""
    workspace = Workspace(home, RealDisk())
    config = read_settings(
        os.environ, workspace, gateway_env=service.env, state_dir=service.state_dir
    ).config
    if not (config.alerts.is_on or config.heartbeat.is_on({})):
        return None
    named = {name: each.url_file for name, each in config.alerts.to.items()}
    named[HEARTBEAT] = config.heartbeat.url_file
    return {name: path for name, path in named.items() if path is not None and path.is_file()}


def _own_path() -> str:
    """Find the path of the started program, links kept."""
    return os.path.abspath(sys.argv[0])  # noqa: PTH100


def _choose_settings(service: Service | None) -> dict[str, str]:
    """Choose the variables that make a service look in the same places as we do."""
    env = os.environ
    settings = {name: env[name] for name in ("TAILFLIP_CONFIG",) if env.get(name)}
    theirs = service.env if service is not None else {"HOME": env.get("HOME", "")}
    is_same_user = service is None or service.scope == "user"
    here = Home.locate(env).root
    if env.get("TAILFLIP_STATE_DIR") or (is_same_user and here != Home.locate(theirs).root):
        settings["TAILFLIP_STATE_DIR"] = str(here)
    return settings


def is_named(name: str, names: Sequence[str]) -> bool:
    """Say whether a service was named; without names, all are."""
    return not names or name in names or name.removesuffix(".service") in names


def _describe(item: Item) -> dict[str, object]:
    service, plan = item.service, item.plan
    return {
        "name": plan.subject,
        "manager": plan.manager,
        "scope": plan.scope,
        "mode": plan.mode,
        "openclaw_version": service.release.text if service else None,
        "state_dir": service.state_dir if service else None,
        "files": [
            {
                "path": each.path,
                "why": each.why,
                "changes": each in item.changes,
                "text": each.data.decode("utf-8", "replace"),
            }
            for each in plan.files
        ],
        "enable": plan.enable,
        "commands": plan.commands,
        "notes": plan.notes,
        "next_step": plan.next_step,
        "complaints": item.complaints,
    }
