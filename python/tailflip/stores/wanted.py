"""Chooses what a restore puts back: which entries, of which actions, into which store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.durable import open_regular, resolve
from tailflip.base.errors import ArchiveDamaged, Usage
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import Selection
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Ledger
from tailflip.stores import archive
from tailflip.stores.generations import read_wanted
from tailflip.stores.ownership import choose_undone, find_claim, require_leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.ledger.actions import Action


@dataclass(frozen=True)
class Wanted:
    """The entries to put back, the actions they come from, and their store.

    `records` holds what of all actions together is to be put back, in the form of the store's own
    engine; None where each action's archive does.
    """

    store: Path
    actions: tuple[Action, ...]
    selection: Selection
    state_dir: Path | None = None
    damaged: tuple[archive.Damaged, ...] = ()
    records: Path | None = None

    def reading(self, home: Home) -> Iterator[AbstractContextManager[int]]:
        """Open one after the other what is to be put back, newest first."""
        if self.records is not None:
            yield open_regular(self.records)
            return
        for action in self.actions:
            yield archive.reading_records(home, action.id)


def choose(
    workspace: Workspace,
    *,
    action_id: str | None,
    keys: Sequence[str],
    jobs: Sequence[str],
    everything: bool,
    store: Path | None,
    is_wanted: Callable[[Action], bool],
) -> Wanted:
    """Find the actions that hold the wanted entries; all of one store."""
    narrow = Selection(keys=tuple(keys), jobs=tuple(jobs))
    if action_id is not None:
        action = archive.find_action(workspace, action_id)
        if action.took_nothing:
            hint = "its job is enabled as it was before; there is nothing to undo"
            if action.kind == ActionKind.RESTORE:
                hint = "to take out again what it put back, run `tailflip compact` or `reconcile`"
            raise Usage(f"a {action.kind} archives nothing: {action_id}", hint=hint)
        selection = narrow if keys or jobs else Selection(all=True)
        return Wanted(action.store_path, (action,), selection)
    if not (keys or jobs or everything):
        raise Usage("nothing to restore was named", hint="see `tailflip archive list`")
    listed = archive.list_actions(workspace, is_wanted)
    held = [each.action for each in listed if each.action.kind == ActionKind.COMPACT]
    if store is not None:
        held = [a for a in held if resolve(a.store_path) == resolve(store)]
    selection = Selection(all=True) if everything else narrow
    whole, damaged = _sort_out(workspace.home, held, selection)
    if not whole and damaged:
        names = ", ".join(f"{each.action} ({each.message})" for each in damaged)
        raise ArchiveDamaged(
            f"no whole archive holds that, and these are damaged: {names}",
            hint="`tailflip archive show ACTION` lists what can still be read of one",
        )
    if not whole:
        raise Usage(
            f"no archive holds that: looked in {workspace.home.archives}",
            hint="`tailflip archive show ACTION` names the keys that an action took",
        )
    stores = sorted({a.store for a in whole})
    if len(stores) > 1:
        raise Usage(
            f"archives of {len(stores)} stores hold that: {', '.join(stores)}",
            hint="say which with --store",
        )
    return Wanted(whole[0].store_path, whole, selection, damaged=damaged)


def widen(workspace: Workspace, wanted: Wanted, *, everything: bool) -> Wanted:
    """Add the later actions on a store on record: undoing all of them gives its bytes.

    Raises:
        OnRecord: The store has the bytes on record already, or the record cannot be read.
    """
    require_leave(wanted.store, wanted.state_dir, undoing=True)
    claim = find_claim(wanted.store, wanted.state_dir)
    if claim is None or not wanted.selection.all:
        return wanted
    since = min(action.created_ms for action in wanted.actions)
    later = [
        a
        for a in choose_undone(Ledger(workspace).read_all(), claim)
        if a.created_ms >= since and a.kind == ActionKind.COMPACT
    ]
    # Entries removed before the store went on record are not part of its bytes on record.
    named = () if everything and later else wanted.actions
    known = {action.id: action for action in (*named, *later)}
    newest_first = sorted(known.values(), key=lambda a: (a.created_ms, a.id), reverse=True)
    return replace(wanted, actions=tuple(newest_first))


def _sort_out(
    home: Home, actions: Sequence[Action], selection: Selection
) -> tuple[tuple[Action, ...], tuple[archive.Damaged, ...]]:
    """Separate the actions that hold the wanted entries from those whose archive is damaged."""
    held: list[Action] = []
    damaged: list[archive.Damaged] = []
    for action in actions:
        found = archive.find_damage(home, action.id)
        if found is not None:
            damaged.append(found)
        elif selection.all or _holds(home, action, selection):
            held.append(action)
    return tuple(held), tuple(damaged)


def _holds(home: Home, action: Action, selection: Selection) -> bool:
    return any(True for _ in read_wanted(home, action, selection))
