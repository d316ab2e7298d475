"""Formats and prints the output of `install` and `uninstall`."""

from __future__ import annotations

import sys
from difflib import unified_diff
from typing import TYPE_CHECKING

from tailflip.base.render import escape
from tailflip.flow.late import dataclass
from tailflip.install.apply import read_now
from tailflip.install.values import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tailflip.install.apply import Outcome
    from tailflip.install.record import Record
    from tailflip.install.values import Plan, PlannedFile
    from tailflip.observe.host.service import Service


@dataclass(frozen=True)
class Item:
    """One service or command, with its plan and what a checker says of it."""

    service: Service | None
    command: Sequence[str]
    plan: Plan
    changes: list[PlannedFile]
    complaints: list[str]


def format_items(
    items: Sequence[Item], outcomes: Sequence[Outcome], *, applied: bool, verbose: bool
) -> Iterator[str]:
    """Format the files that are written for each service, or would be.

    Args:
        items: the services with their plans.
        outcomes: what became of the plans, in the same order; none where nothing was applied.
        applied: whether it was asked to do it.
        verbose: whether the whole text of each file is shown.
    """
    failed = {outcome.subject for outcome in outcomes if outcome.undone}
    for item in items:
        is_done = applied and item.plan.subject not in failed
        yield from _format_item(item, applied=applied, is_done=is_done, verbose=verbose)
    if items and not any(item.changes or item.plan.commands for item in items):
        yield "everything is there already"
    elif items and not applied:
        yield "nothing was changed; add --verbose to see the whole files, --apply to do it"


def _format_item(item: Item, *, applied: bool, is_done: bool, verbose: bool) -> Iterator[str]:
    plan = item.plan
    release = item.service.release.text if item.service else None
    known = f"OpenClaw {escape(release)}" if release else "its release is not known"
    about = f", {known}" if item.service else ""
    yield f"{escape(plan.subject)} ({plan.scope} {plan.manager}{about}): {plan.mode}"
    if item.service is not None:
        yield f"  state directory: {escape(item.service.state_dir)}"
    for each in plan.files:
        is_new = each in item.changes
        state = "is there" if not is_new else "written" if applied else "to be written"
        yield f"  {escape(each.path)}: {each.why}; {state}"
        if verbose:
            yield from (f"    | {escape(line)}".rstrip() for line in _read_lines(each.data))
        elif is_new and not applied:
            yield from _format_difference(each)
    yield from (f"  then: {escape(' '.join(command))}" for command in plan.commands)
    started = f"{'' if applied else 'to be '}started, and at each boot"
    started = "not started" if applied and not is_done else started
    yield from (f"  {started}: {escape(name)}" for name in plan.enable)
    yield from (f"  note: {escape(note)}" for note in plan.notes)
    if item.changes and plan.mode is not Mode.WATCH and (is_done or not applied):
        yield f"  in force from the next start on; at once with: {escape(plan.next_step)}"


def _format_difference(file: PlannedFile) -> Iterator[str]:
    """Format the lines that go and come in a file that is there; a new one has none."""
    now = read_now(file.path)
    if now is None:
        return
    for line in list(unified_diff(_read_lines(now), _read_lines(file.data), n=0, lineterm=""))[2:]:
        if not line.startswith("@@"):
            yield f"    {line[0]} {escape(line[1:])}".rstrip()


def _read_lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()


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
    """Print what was left, and why."""
    for outcome in outcomes:
        for note in outcome.kept:
            print(f"note: {escape(outcome.subject)}: {escape(note)}", file=sys.stderr)
