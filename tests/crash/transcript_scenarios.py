"""What tailflip does to a transcript, small: slimmed, and put back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scenarios import NOW_MS, Scenario

from support.transcripts import dump, make_turns
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.outcomes import ActionKind
from tailflip.stores import archive
from tailflip.transcripts.slim import slim
from tailflip.transcripts.undo import undo

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.ledger.actions import Action

_ID = re.compile(rb"\d{8}T\d{6}Z-[0-9a-f]{6}")


def without_id(data: bytes) -> bytes:
    """A slimmed text names its archive, which is another in every run."""
    return _ID.sub(b"#", data)


class Slimming(Scenario):
    """`slim --apply`."""

    name = "slim"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.path = self.path.with_name("old.jsonl")

    def prepare(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.original = dump(make_turns(6))
        self.path.write_bytes(self.original)
        self.transcripts = self.list_transcripts()

    def do(self, disk: Disk) -> object:
        return slim(self.path, workspace=Workspace(self.home, disk), now_ms=NOW_MS)

    def find_slim(self) -> Action:
        (found,) = [a.action for a in self.list_kept() if a.action.kind == ActionKind.SLIM]
        return found

    def undo(self) -> None:
        workspace = Workspace(self.home, RealDisk())
        undo(workspace, self.find_slim(), apply=True, now_ms=NOW_MS + 1)

    def check_outcome(self) -> None:
        self.check_no_litter_at_home()
        if self.path.read_bytes() == self.original:
            assert self.list_kept() == ()
            self.do(RealDisk())
        assert without_id(self.path.read_bytes()) == without_id(self.final)
        archive.verify(Workspace(self.home, RealDisk()), self.find_slim().id)
        self.undo()
        assert self.path.read_bytes() == self.original
        assert self.list_transcripts() == self.transcripts


class Unslimming(Slimming):
    """`restore ACTION --apply` of a slimming, with something appended since."""

    name = "slim undone"

    def prepare(self) -> None:
        super().prepare()
        super().do(RealDisk())
        tail = b'{"type":"message","id":"new"}\n'
        self.whole = self.original + tail
        self.original = self.path.read_bytes() + tail
        self.path.write_bytes(self.original)

    def do(self, disk: Disk) -> object:
        action = self.find_slim()
        return undo(Workspace(self.home, disk), action, apply=True, now_ms=NOW_MS + 1)

    def check_outcome(self) -> None:
        assert self.path.read_bytes() in (self.original, self.whole)
        self.check_no_litter_at_home()
        archive.verify(Workspace(self.home, RealDisk()), self.find_slim().id)
        self.undo()
        assert self.path.read_bytes() == self.whole == self.final
        assert self.list_transcripts() == self.transcripts


TRANSCRIPTS: dict[str, type[Scenario]] = {each.name: each for each in (Slimming, Unslimming)}
