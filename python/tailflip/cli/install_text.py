"""Formats and prints the output of `install` and `uninstall`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.base.render import escape
from tailflip.install.values import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tailflip.install.apply import Outcome
    from tailflip.install.record import Record
    from tailflip.install.values import Plan, PlannedFile
    from tailflip.observe.host.service import Service


@dataclass(frozen=True)
class Item:
    """One service, with its plan and its notes."""

    service: Service | None
    plan: Plan
    changes: list[PlannedFile]
    complaints: list[str]


def format_items(items: Sequence[Item], *, applied: bool) -> Iterator[str]:
    """Format the files that are written for each service, or would be."""
    for item in items:
        yield from _format_item(item, applied=applied)
    if items and not any(item.changes or item.plan.commands for item in items):
        yield "everything is there already"
    elif items and not applied:
        yield "nothing was changed; add --apply to do it"


def _format_item(item: Item, *, applied: bool) -> Iterator[str]:
    plan = item.plan
    about = f" on {item.service.release.text or '?'}" if item.service else ""
    yield f"{escape(plan.subject)} ({plan.scope} {plan.manager}{about}): {plan.mode}"
    if item.service is not None:
        yield f"  state directory: {escape(item.service.state_dir)}"
    for each in plan.files:
        yield from _format_file(each, is_new=each in item.changes, applied=applied)
    yield from (f"  then: {escape(' '.join(command))}" for command in plan.commands)
    yield from (f"  started, and at each boot: {escape(name)}" for name in plan.enable)
    yield from (f"  note: {escape(note)}" for note in plan.notes)
    if item.changes and plan.mode is not Mode.WATCH:
        yield f"  in force from the next start on; at once with: {escape(plan.next_step)}"


def _format_file(file: PlannedFile, *, is_new: bool, applied: bool) -> Iterator[str]:
    state = "is there" if not is_new else "written" if applied else "to be written"
    yield f"  {escape(file.path)}: {file.why}; {state}"
    if is_new and not applied:
        for line in file.data.decode("utf-8", "replace").splitlines():
            yield f"    | {escape(line)}".rstrip()


def format_record(record: Record, *, applied: bool) -> Iterator[str]:
    """Format the files that are taken away, or would be."""
    yield f"{escape(record.subject)} ({record.scope} {record.manager}): {record.mode}"
    for each in record.files:
        what = "removed" if each.before is None else "as it was before"
        yield f"  {escape(each.path)}: {what if applied else f'to be {what}'}"


def print_lines(lines: Iterable[str]) -> None:
    """Print data."""
    for line in lines:
        print(line)


def print_notes(outcomes: Sequence[Outcome]) -> None:
    """Print the failures of the service manager."""
    for outcome in outcomes:
        for note in outcome.notes:
            print(f"note: {escape(outcome.subject)}: {escape(note)}", file=sys.stderr)
