"""Findings about a gateway's host: disk, archives, service, port, configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted, format_span, format_time
from tailflip.diagnose.findings.entry import Entry, Found
from tailflip.flow.findings import Code, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.conditions import DwindlingRoom
    from tailflip.flow.observed import ArchiveUse, GoneProgram
    from tailflip.observe.gateway.listener import Listener
    from tailflip.observe.host.space import Space
    from tailflip.observe.installation import Installation


def _find_scarce_disk(spaces: tuple[Space, ...]) -> Iterator[Found]:
    for space in spaces:
        if space.is_low:
            left = (
                f"its file system has room for {format_counted(space.free_files or 0, 'more file')}"
                if space.lacks_files
                else f"{format_bytes(space.free_bytes)} of {format_bytes(space.total_bytes)} "
                "are free on its file system"
            )
            severity = Severity.ERROR if space.is_scarce else Severity.WARNING
            then = "nothing can be saved there" if space.is_scarce else "saves will soon fail"
            yield Found(str(space.path), f"{left}: {then}", severity=severity)


def _find_dwindling(dwindling: tuple[DwindlingRoom, ...]) -> Iterator[Found]:
    for each in dwindling:
        yield Found(
            each.path,
            f"its file system has {format_bytes(each.free_bytes)} left, and loses "
            f"{format_bytes(int(each.bytes_a_day))} a day: full on "
            f"{format_time(each.full_ms)[:10]}",
            (f"measured over {format_span(each.span_ms)}",),
        )


def _find_archives_beyond(archives: ArchiveUse) -> Iterator[Found]:
    facts = []
    if archives.too_old:
        old = format_counted(archives.too_old, "archive", "is", "are")
        facts.append(f"{old} older than archive.keep ({archives.keep})")
    if archives.is_too_large:
        facts.append(
            f"{format_counted(archives.count, 'archive', 'takes', 'take')} "
            f"{format_bytes(archives.bytes)}, more than archive.max_size ({archives.max_size})"
        )
    if facts:
        yield Found(
            str(archives.path),
            "; ".join(facts),
            hint=(
                f"`tailflip archive expire --beyond-limits` shows {archives.may_go} that would go, "
                f"with {format_bytes(archives.may_go_bytes)}; `run`, `gate` and `watch` delete "
                "them by themselves"
            )
            if archives.may_go
            else _NONE_MAY_GO,
        )


def _find_gone_program(gone_programs: tuple[GoneProgram, ...]) -> Iterator[Found]:
    for each in gone_programs:
        whose = "tailflip in front of the gateway" if each.is_ours else "the gateway's service"
        yield Found(
            str(each.definition),
            f"{whose} starts {each.program}, which is not there: no start can succeed",
            hint="`tailflip install --apply` writes it anew, `tailflip uninstall --apply` takes it "
            "away"
            if each.is_ours
            else "",
        )


def _find_stranger(listeners: tuple[Listener, ...], installation: Installation) -> Iterator[Found]:
    port = installation.port
    for listener in listeners:
        if listener.is_gateway is False:
            yield Found(
                f"port {port}",
                f"port {port} is held by {listener}, which is no gateway: "
                "no gateway can start on it",
                hint=f"stop pid {listener.pid}, or give the gateway another port (gateway.port)",
            )


def _find_bad_retention(installation: Installation) -> Iterator[Found]:
    problem = installation.retention_problem
    if problem is not None:
        message = f"{problem}; the gateway silently takes 24h"
        yield Found(str(installation.config_path), message)


_NONE_MAY_GO = (
    "none goes by itself: they are the newest of their store, or a gateway has their store on "
    "record; see `tailflip archive list`, or raise the limit"
)
ENTRIES = (
    Entry(
        Code.DISK_FULL,
        Severity.ERROR,
        _find_scarce_disk,
        doc="The next save fails for want of room, and the gateway dies of it. Below 500 MB it is "
        "a warning.",
        hint="`tailflip reclaim` shows what OpenClaw left that may go, with proof",
    ),
    Entry(
        Code.DISK_AHEAD,
        Severity.WARNING,
        _find_dwindling,
        doc="At the pace of the last days a disk will be full within a week.",
        hint="`tailflip reclaim` shows what OpenClaw left that may go, with proof",
        rather=Code.DISK_FULL,
    ),
    Entry(
        Code.ARCHIVES_BEYOND,
        Severity.WARNING,
        _find_archives_beyond,
        doc="Archives of tailflip are older, or take more room, than its settings allow.",
        hint="`tailflip archive expire --beyond-limits` shows what would go",
    ),
    Entry(
        Code.PROGRAM_GONE,
        Severity.ERROR,
        _find_gone_program,
        doc="The program that the gateway's service starts is not there, perhaps after an update.",
        hint="`openclaw gateway install --force` writes the service anew",
    ),
    Entry(
        Code.PORT_TAKEN,
        Severity.ERROR,
        _find_stranger,
        doc="A program that is no gateway holds the gateway's port.",
        hint="stop that program, or give the gateway another port (gateway.port)",
    ),
    Entry(
        Code.RETENTION_INVALID,
        Severity.WARNING,
        _find_bad_retention,
        doc="The configured retention of finished runs is no length of time.",
        hint='write a duration such as "24h", or false to keep finished runs',
    ),
)
