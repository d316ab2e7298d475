"""Writes and reads the notes in an action's archive: small JSON files, each with one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import StoreInvalid
from tailflip.flow.values import Value
from tailflip.stores.replace import write_file

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace

MANIFEST = "manifest.json"
BY_HAND = "nothing was changed; `zstdcat records.zst` in that folder shows what can still be read"

_V = TypeVar("_V", bound=Value)


def write_note(
    workspace: Workspace, action_id: str, name: str, value: Value, *, indent: int = 2
) -> None:
    """Write a note, and sync it, its name, and the names of what lies beside it."""
    disk, folder = workspace.disk, workspace.home.archive(action_id)
    text = value.model_dump_json(indent=indent) + "\n"
    write_file(disk, folder / name, text.encode())
    disk.fsync_dir(folder)
    disk.fsync_dir(folder.parent)


def read_note(
    home: Home, action_id: str, name: str, form: type[_V], *, what: str, hint: str | None = None
) -> _V:
    """Read a note.

    Args:
        home: where the archive is.
        action_id: whose.
        name: of the file.
        form: of its value.
        what: names it in the error.
        hint: what is left where it is damaged.

    Raises:
        StoreInvalid: it is missing or damaged.
    """
    path = home.archive(action_id) / name
    with naming(path):
        try:
            return form.model_validate_json(path.read_bytes())
        except ValidationError as e:
            raise StoreInvalid(f"{what} is damaged: {path}", hint=hint) from e
