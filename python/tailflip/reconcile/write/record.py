"""The record of one action on one of the gateway's own ledgers: `changes.json` in its archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import StoreInvalid
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.values import Value
from tailflip.stores import recovery

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


def read_record(home: Home, action_id: str, form: type[_R]) -> _R:
    """Read the record of one action.

    Raises:
        StoreInvalid: It is missing or damaged.
    """
    path = home.archive(action_id) / recovery.CHANGES
    with naming(path):
        try:
            return form.model_validate_json(path.read_bytes())
        except ValidationError as e:
            raise StoreInvalid(
                f"record of changes is damaged: {path}",
                hint=f"nothing was changed; `{recovery.BEFORE}` beside it is the whole old file",
            ) from e
