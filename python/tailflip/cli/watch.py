"""`tailflip watch`: stand beside a gateway that others start and stop."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import Usage
from tailflip.base.openclaw_units import parse_length_option, parse_time_option
from tailflip.base.sdnotify import Notifier
from tailflip.base.state_dir import Home, Presence
from tailflip.cli.options import AsJson, Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.config.load import load
from tailflip.observe.installation import locate, require_state_dir
from tailflip.supervise.page_door import page_on_demand
from tailflip.supervise.watch import Told, Watch, Where


def watch(
    *,
    state_dir: StateDir = None,
    profile: Profile = None,
    interval: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time between two rounds; without it, reconcile.interval_s counts (15m).",
            show_default=False,
        ),
    ] = None,
    max_lifetime: Annotated[
        str | None,
        typer.Option(metavar="TIME|false", help="As for `reconcile`.", show_default=False),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after so many rounds.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Stand beside a living gateway: end runs that are over, and report what is wrong.

    Looks every 15 minutes, and soon after a store or the cron store changed. Takes the
    gateway's own lock for the rename; where a store keeps changing, for the whole rewrite. A run
    in flight is never touched. The cron store, the task ledger and databases are not written.
    SIGTERM ends the watch, SIGHUP makes it look at once.
    """
    if max_lifetime is not None:
        parse_time_option("--max-lifetime", max_lifetime)  # a round would only log it
    interval_s = _parse_interval(interval)
    env = os.environ
    config = load(env).config
    log.start(config.log.level)
    installation = locate(
        env,
        state_dir=state_dir or config.gateway.state_dir,
        profile=profile or config.gateway.profile,
    )
    require_state_dir(installation.state_dir, installation.config_path)
    where = Where(env, state_dir, profile, max_lifetime, interval_s)
    home, disk = Home.locate(env), RealDisk()
    watching = Watch(where, home, disk, Notifier.from_env(env), tell=_answer if as_json else None)
    guard = os.path.realpath(installation.state_dir)
    with (
        watching.catching_signals(),
        home.supervise(guard, Presence.WATCH, clock.now_ms(), disk),
        page_on_demand(config.serve, guard, disk),
    ):
        watching.run(rounds)


def _answer(told: Told) -> None:
    """Print what a round did and found as one line of JSON."""
    from tailflip.cli.answers.base import fail  # noqa: PLC0415 - for --json
    from tailflip.cli.answers.verbs import Watch as Round  # noqa: PLC0415 - for --json

    if told.error is not None:
        fail(["watch"], told.error)
    if told.work is None:
        return
    work, result = told.work, told.work.result
    Round.to(
        at_ms=work.scene.now_ms,
        applied=work.terms.apply,
        steps=result.steps,
        findings=[*result.findings, *told.around],
        gateway=work.scene.gateway,
        notes=result.notes,
        failed=result.errors,
    ).say_line()


def _parse_interval(text: str | None) -> float | None:
    if text is None:
        return None
    length_ms = parse_length_option("--interval", text)
    if length_ms < 1_000:  # noqa: PLR2004 - the least of `reconcile.interval_s`
        raise Usage(f"--interval is less than a second: {text}", hint="write it as 15m")
    return length_ms / 1_000
