"""The manifest of a slimmed transcript: what the archive belongs to, and both digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import StoreInvalid
from tailflip.flow.numbers import SlimNumbers
from tailflip.flow.values import Value
from tailflip.stores.extension import features
from tailflip.stores.replace import write_file

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.ledger.actions import Action

_BY_HAND = "nothing was changed; `zstdcat records.zst` in that folder shows what can still be read"


class SlimManifest(Value):
    """What an archive of a transcript's lines holds; `manifest.json` beside the records."""

    version: int = 1
    action: str
    kind: str
    store: str
    created_ms: int
    engine: str
    numbers: SlimNumbers


def write_manifest(workspace: Workspace, action: Action, numbers: SlimNumbers) -> None:
    """Write the manifest of an action, and sync the names of it and of the records."""
    manifest = SlimManifest(
        action=action.id,
        kind=action.kind,
        store=action.store,
        created_ms=action.created_ms,
        engine=features(),
        numbers=numbers,
    )
    directory = workspace.home.archive(action.id)
    text = manifest.model_dump_json(indent=2) + "\n"
    write_file(workspace.disk, directory / "manifest.json", text.encode())
    workspace.disk.fsync_dir(directory)
    workspace.disk.fsync_dir(directory.parent)


def read_manifest(home: Home, action_id: str) -> SlimManifest:
    """Read one action's manifest.

    Raises:
        StoreInvalid: it is missing or damaged.
    """
    path = home.archive(action_id) / "manifest.json"
    with naming(path):
        try:
            return SlimManifest.model_validate_json(path.read_bytes())
        except ValidationError as e:
            raise StoreInvalid(f"manifest is damaged: {path}", hint=_BY_HAND) from e
