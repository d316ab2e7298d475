"""`tailflip serve`: the page and the metrics, until it is ended or nobody asks any more.

It does without Typer: it may stay for weeks, and is to be small.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ConfigInvalid, Usage
from tailflip.base.listening import Address, parse_address
from tailflip.base.openclaw_units import parse_length_option
from tailflip.base.sockets import adopt, listen
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.light import read_options
from tailflip.report.page.base import HEADERS
from tailflip.report.page.door import Door
from tailflip.report.page.http import Answer
from tailflip.report.page.routes import Routes
from tailflip.report.page.server import Server
from tailflip.report.page.token import make_token
from tailflip.stores.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.cli.light import Given
    from tailflip.config.serving import ServeSettings
    from tailflip.report.page.http import Request

_QUIET_S = 600.0
_TOKEN = "serve.token"  # noqa: S105 - a file's name


def run_serve(argv: list[str]) -> int:
    """Serve until a signal or the end of a quiet time; both are ends as wished."""
    given = read_options("serve", argv)
    if given is None:
        from tailflip.cli.app import read_options_slowly  # noqa: PLC0415 - help and mistakes only

        given = read_options_slowly("serve", argv)
    if given is None:  # help was all that was asked for
        return 0
    log.start("info")
    named = given.last("state_dir")
    state_dir, profile = None if named is None else Path(named), given.last("profile")
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    loaded = read_settings(os.environ, workspace, state_dir=state_dir, profile=profile)
    for mistake in loaded.mistakes:
        log.warning("a setting is wrong", why=mistake)
    settings, fd = loaded.config.serve, _read_fd(given)
    quiet_s = _read_quiet_s(given, is_adopted=fd is not None)
    log.start(loaded.config.log.level)
    address = _choose_address(given.last("listen"), settings)
    with adopt(fd) if fd is not None else listen(address, workspace.disk) as listener:
        token = None
        if listener.family != socket.AF_UNIX:
            token = make_token(find_token_file(settings, workspace), workspace.disk)
        routes = Routes(state_dir, profile)
        answer = guard(Door(token, settings.host_names), routes)
        server = Server([listener], answer, HEADERS, quiet_s=quiet_s, on_idle=routes.forget)
        log.info("serving the page and metrics", at=_name(listener), link="tailflip page")
        return _serve(server)


def _choose_address(given: str | None, settings: ServeSettings) -> Address:
    """Choose where to listen.

    Raises:
        Usage: what was given is no address.
        ConfigInvalid: others could reach it, and no setting says that they may.
    """
    try:
        address = parse_address(settings.listen if given is None else given)
    except ValueError as e:
        raise Usage(f"--listen {e}, found {given}") from e
    if not address.is_loopback and not settings.beyond_loopback:
        raise ConfigInvalid(
            f"others than this host could reach {given}: nothing listens",
            hint="serve.beyond_loopback = true says that they may, with the token",
        )
    return address


def _serve(server: Server) -> int:
    why = "nobody asked for a while"
    try:
        server.run()
    except KeyboardInterrupt:
        why = "asked to stop"
    log.info("serving ends", why=why)
    return 0


def _name(listener: socket.socket) -> str:
    """Name where a socket listens; port 0 has become one that was free."""
    at = listener.getsockname()
    return str(at) if listener.family == socket.AF_UNIX else Address(*at[:2]).url


def find_token_file(settings: ServeSettings, workspace: Workspace) -> Path:
    """Find the file of the token; its folder is made where it is tailflip's own."""
    if settings.token_file is not None:
        return settings.token_file
    path = workspace.home.root / _TOKEN
    if not path.exists():
        workspace.create()
    return path


def guard(door: Door, routes: Routes) -> Callable[[Request], Answer]:
    """Give what answers requests: refused at the door, or answered; a bug is told in one word."""

    def answer(request: Request) -> Answer:
        try:
            return door.refuse(request) or routes.answer(request)
        except Exception as e:  # noqa: BLE001 - one question must not end the others'
            log.error("a question could not be answered", path=request.path, error=type(e).__name__)
            return Answer.of_status(500)

    return answer


def _read_fd(given: Given) -> int | None:
    text = given.last("fd")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 6:  # noqa: PLR2004 - no process has a million
        raise Usage(f"--fd wants the number of a socket, found {text}")
    return int(text)


def _read_quiet_s(given: Given, *, is_adopted: bool) -> float | None:
    text = given.last("end_after")
    if text is None:
        return _QUIET_S if is_adopted else None
    return parse_length_option("--end-after", text) / 1000
