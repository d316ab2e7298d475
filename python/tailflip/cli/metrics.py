"""`tailflip metrics`: the metrics of `serve` on standard output, or in a file for node_exporter."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk, naming
from tailflip.base.errors import CannotCreate, IoFailed, TryLater
from tailflip.cli.options import Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.report.metrics.scrape import scrape
from tailflip.report.metrics.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.durable import Disk
    from tailflip.report.metrics.sources import Sources

_NAME = "tailflip.prom"
_FOR_ALL = 0o644  # node_exporter has a user of its own


def metrics(
    *,
    textfile: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write tailflip.prom into this folder, for node_exporter's textfile collector.",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    profile: Profile = None,
) -> None:
    """Print how the gateways fare, as metrics for Prometheus; changes nothing of theirs.

    `tailflip serve` answers with the same at /metrics.
    """
    every = find_sources(state_dir, profile)
    _refuse_unknown(every)
    text = scrape(every)
    if textfile is None:
        print(text, end="")
    else:
        write_file(textfile, text.encode(), RealDisk())


def write_file(folder: Path, data: bytes, disk: Disk) -> None:
    """Write the file beside its place and rename it: a reader has the whole old or new one.

    Raises:
        CannotCreate: there is no such folder, or no room.
        NoPermission: it may not be written.
    """
    if not folder.is_dir():
        raise CannotCreate(f"no such folder: {folder}; nothing was written")
    beside = folder / f".{_NAME}.tmp"
    with naming(beside):
        if os.path.lexists(beside):  # of one that was killed
            disk.unlink(beside)
        fd = disk.open_new(beside, _FOR_ALL)
        try:
            disk.set_owner(fd, _FOR_ALL, os.geteuid(), os.getegid())  # whatever the umask
            disk.write(fd, data)
        finally:
            os.close(fd)
        disk.rename(beside, folder / _NAME)


def _refuse_unknown(every: Sequence[Sources]) -> None:
    """Refuse a directory that is no gateway's; a ledger that fails is told in the metrics."""
    try:
        _ = every[0].subject
    except (IoFailed, TryLater):
        return
