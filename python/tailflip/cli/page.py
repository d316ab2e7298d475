"""`tailflip page`: a link to the page, good for one browser and two minutes."""

from __future__ import annotations

import os
import socket
import sys

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.listening import Address, parse_address
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.cli.serve import find_token_file
from tailflip.cli.settings import read_and_tell
from tailflip.report.page.token import make_token, sign_link

_PATIENCE_S = 2.0


def page(*, state_dir: StateDir = None, profile: Profile = None) -> None:
    """Print a link to the page that `tailflip serve` answers with; it is good once.

    The browser that opens it within two minutes may look for a week.
    """
    settings = read_and_tell(state_dir, profile).config.serve
    address = parse_address(settings.listen)
    if not is_listening(address):
        print(
            f"note: nobody listens on {settings.listen} now: start `tailflip serve`",
            file=sys.stderr,
        )
    if address.path:
        print(f"curl --unix-socket {address.path} http://localhost/")
        return
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    token = make_token(find_token_file(settings, workspace), workspace.disk)
    print(f"{address.url}/?t={sign_link(token, clock.now_ms())}")


def is_listening(address: Address) -> bool:
    """Say whether somebody listens there; it costs a connection that asks nothing."""
    if address.path:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place: str | tuple[str, int] = address.path
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        made, place = socket.socket(family, socket.SOCK_STREAM), (address.host, address.port)
    with made:
        made.settimeout(_PATIENCE_S)
        return made.connect_ex(place) == 0
