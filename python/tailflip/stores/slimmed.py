"""The manifest of a slimmed transcript: what the archive belongs to, and both digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.numbers import SlimNumbers
from tailflip.flow.values import Value
from tailflip.stores.extension import features
from tailflip.stores.notes import BY_HAND, MANIFEST, read_note, write_note

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.ledger.actions import Action


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
    write_note(workspace, action.id, MANIFEST, manifest)


def read_manifest(home: Home, action_id: str) -> SlimManifest:
    """Read one action's manifest.

    Raises:
        StoreInvalid: it is missing or damaged.
    """
    return read_note(home, action_id, MANIFEST, SlimManifest, what="manifest", hint=BY_HAND)
