"""Decides whether a file is ours to write: before every write, and again before the rename.

A file that a gateway has on record (`observe.records.receipts` says where) is not written and its
transcripts are not moved. One exception: the very bytes on record may be given back. That ends
the exit 78 that an older tailflip, or somebody else, caused by a change.
A file whose record cannot be read counts as on record.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.durable import open_regular, resolve
from tailflip.base.errors import OnRecord
from tailflip.base.own_hashes import begin_sha256
from tailflip.flow.late import dataclass
from tailflip.flow.observed import KeptFile
from tailflip.flow.outcomes import STORE_KINDS, ActionKind
from tailflip.ledger.actions import State
from tailflip.observe.agents import is_agent_database
from tailflip.observe.records.receipts import (
    DEFERRED_IMPORT,
    Receipts,
    find_state_dirs,
    read_receipts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tailflip.flow.observed import Store
    from tailflip.ledger.actions import Action
    from tailflip.observe.records.recorded import Receipt

_CHUNK_BYTES = 1 << 18
_QUARANTINED = "quarantined_databases"
_LIVE_ACTIONS = (State.COMMITTED, State.DONE)


@dataclass(frozen=True)
class Claim:
    """The reason why a file is not ours to write: a record names it, or none can be ruled out."""

    path: Path
    state_dir: Path
    receipt: Receipt | None
    problem: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Say whether an import waits for plugins, and the file for the import."""
        return self.receipt is not None and self.receipt.kind == DEFERRED_IMPORT

    @property
    def is_changed(self) -> bool:
        """Say whether the file has other bytes than those on record; reads it whole."""
        digest = self.receipt.sha256 if self.receipt is not None else None
        return digest is not None and read_sha256(self.path) not in (digest, None)

    @property
    def reason(self) -> str:
        """Say why, for people."""
        if self.receipt is None:
            return f"it cannot be told whether a gateway has it on record: {self.problem}"
        if self.receipt.taken_over:
            return (
                "its content was taken over into a database, and the file is what "
                f"`openclaw doctor` reads: {self.receipt.place}"
            )
        return f"a gateway has it on record, and may not start if it changes: {self.receipt.place}"

    @property
    def hint(self) -> str:
        """Name the step that ends the claim."""
        if self.receipt is None:
            return (
                "repair that first (`openclaw doctor`), or run as the user the gateway runs as; "
                "the gateway itself is not kept from starting"
            )
        if self.receipt.plugins:
            return (
                f"its import waits for the plugins {', '.join(self.receipt.plugins)}: run "
                "`openclaw update repair`, then `openclaw doctor --fix`"
            )
        return "stop the gateway and run `openclaw doctor --fix`; it takes the file over"

    def to_error(self) -> OnRecord:
        """Make the refusal."""
        return OnRecord(f"left alone: {self.path}: {self.reason}", hint=self.hint)


class Owners:
    """The records of the state directories of some files, read once."""

    def __init__(self, *paths: Path, state_dir: Path | None = None) -> None:
        folders = dict.fromkeys(each for path in paths for each in find_state_dirs(path, state_dir))
        self._all: tuple[Receipts, ...] = tuple(read_receipts(each) for each in folders)

    def find(self, path: Path) -> Claim | None:
        """Find who has a file on record; None if nobody has."""
        for each in self._all:
            receipt = each.find(path)
            if receipt is not None and not _is_of_living(path, receipt):
                return Claim(path, each.state_dir, receipt)
        for each in self._all:
            if each.problem is not None:
                return Claim(path, each.state_dir, None, each.problem)
        return None

    def may_move(self, kept: Claim | None, old: Path, new: Path) -> bool:
        """Say whether a transcript may be renamed; `kept` is the claim on its store.

        Beside a store on record no transcript may go or come: 2026.9.6 misses the one and
        refuses the other. A transcript on record may come back, with the same bytes.
        """
        claim = self.find(new)
        if kept is None and claim is None and self.find(old) is None:
            return True
        digest = claim.receipt.sha256 if claim is not None and claim.receipt is not None else None
        return digest is not None and read_sha256(old) == digest


def _is_of_living(path: Path, receipt: Receipt) -> bool:
    """Say whether a record names an agent's database as one that is in use, by its inode or size.

    The database stays the same file when it is changed, and its own gateway changes it too. One
    that is on record as quarantined is not in use.
    """
    return is_agent_database(path) and _QUARANTINED not in receipt.place


def find_claim(path: Path, state_dir: Path | None = None) -> Claim | None:
    """Find the claim on a file that a gateway has on record."""
    return Owners(path, state_dir=state_dir).find(path)


def find_claims(stores: Iterable[Store], state_dir: Path) -> dict[Store, Claim]:
    """Find which of an installation's stores are not ours to write."""
    stores = tuple(stores)
    owners = Owners(*(store.path for store in stores), state_dir=state_dir)
    found = ((store, owners.find(store.path)) for store in stores)
    return {store: claim for store, claim in found if claim is not None}


def require_leave(
    path: Path, state_dir: Path | None, *, new: Path | None = None, undoing: bool = False
) -> None:
    """Refuse to write a file that is on record.

    Args:
        path: the file.
        state_dir: of the installation it belongs to, where that is known.
        new: what is about to be renamed over it; the bytes on record may be.
        undoing: the bytes are not there yet; they are compared later, as `new`.

    Raises:
        OnRecord: the file is not ours to write.
    """
    claim = find_claim(path, state_dir)
    if claim is None:
        return
    digest = claim.receipt.sha256 if claim.receipt is not None else None
    if digest is not None:
        if new is not None and read_sha256(new) == digest:
            return
        if undoing and claim.is_changed:
            return
    raise claim.to_error()


def choose_undone(actions: Iterable[Action], claim: Claim) -> tuple[Action, ...]:
    """Choose the actions to undo, newest first, so that a store has the bytes on record again.

    Empty where we did not change the store since it is on record.
    """
    at_ms = claim.receipt.recorded_ms if claim.receipt is not None else None
    store = resolve(claim.path)
    done = [
        action
        for action in actions
        if action.state in _LIVE_ACTIONS
        and action.kind in STORE_KINDS
        and resolve(action.store_path) == store
        and (at_ms is None or action.created_ms >= at_ms)
    ]
    done.sort(key=lambda action: (action.created_ms, action.id), reverse=True)
    undone = {source for action in done for source in action.details.sources}
    return tuple(a for a in done if a.kind != ActionKind.RESTORE and a.id not in undone)


def describe_kept(claim: Claim, actions: Iterable[Action]) -> KeptFile:
    """Describe for `check` a file that is not ours to write."""
    undone = choose_undone(actions, claim) if claim.is_waiting else ()
    return KeptFile(
        path=claim.path,
        reason=claim.reason,
        hint=claim.hint,
        waits=claim.is_waiting,
        plugins=claim.receipt.plugins if claim.receipt is not None else (),
        sha256=claim.receipt.sha256 if claim.receipt is not None else None,
        is_changed=bool(undone) or (claim.is_waiting and claim.is_changed),
        is_unknown=claim.receipt is None,
        undo=undone[-1].id if undone else None,
    )


def read_sha256(path: Path) -> str | None:
    """Digest a file as the gateway does; None if it cannot be read."""
    try:
        with open_regular(path) as fd:
            digest = begin_sha256(os.fstat(fd).st_size)
            offset = 0
            while chunk := os.pread(fd, _CHUNK_BYTES, offset):
                digest.update(chunk)
                offset += len(chunk)
    except OSError:
        return None
    return digest.hexdigest()
