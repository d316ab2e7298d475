"""Finds the command that will start an installation's gateway, where none was given.

A service definition of this state directory starts its gateway at boot and after a death; the
`openclaw` on a person's PATH may be another one. So the definition counts where there is one, and
the PATH where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.observe.gateway.heap import read_heap_limit
from tailflip.observe.gateway.release import Release, read_release
from tailflip.observe.gateway.signs import find_definitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.observe.installation import Installation


@dataclass(frozen=True)
class NextStart:
    """The command that starts the gateway, and the release that it starts."""

    command: tuple[str, ...]
    release: Release

    def find_heap_limit(self, pid: int | None) -> tuple[int | None, str]:
        """Find the heap limit of the command's node; `pid` is of a living gateway."""
        release = self.release
        return read_heap_limit(release.env, release.node, pid=pid, flags=self.command)


def find_next_start(installation: Installation, env: Mapping[str, str]) -> NextStart:
    """Find the command that starts an installation's gateway; reads small files.

    If services start different releases, it is unknown which is next.
    """
    starts = [
        NextStart(service.command, service.release)
        for service in find_definitions(installation, env)
        if service.release.version is not None
    ]
    if len({start.release.version for start in starts}) > 1:
        return NextStart((), read_release((), env))
    if starts:
        return starts[0]
    command = ("openclaw",)
    return NextStart(command, read_release(command, env))
