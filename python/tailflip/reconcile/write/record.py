"""The record of one action on one of the gateway's own ledgers: `changes.json` in its archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tailflip.flow.outcomes import ActionKind
from tailflip.flow.values import Value
from tailflip.stores import recovery
from tailflip.stores.notes import read_note

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home


class ChangeRecord(Value):
    """The fields of every record: action, ledger, reason. The record of each ledger adds fields."""

    version: int = 1
    action: str
    kind: ActionKind
    state_dir: str
    store: str
    created_ms: int
    words: tuple[str, ...]


_R = TypeVar("_R", bound=ChangeRecord)


def read_record(
    home: Home, action_id: str, form: type[_R], *, old: str = f"`{recovery.BEFORE}` beside it"
) -> _R:
    """Read the record of one action; `old` says for people where the whole old file is.

    Raises:
        StoreInvalid: It is missing or damaged.
    """
    return read_note(
        home,
        action_id,
        recovery.CHANGES,
        form,
        what="record of changes",
        hint=f"nothing was changed; {old} is the whole old file",
    )
