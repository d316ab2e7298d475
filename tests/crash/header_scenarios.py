"""What tailflip does to a transcript that has lost its header, small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios import NOW_MS, Scenario

from support.headless import SESSION, make_messages, make_state
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Gateway
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.installation import locate
from tailflip.observe.records.heads import Head
from tailflip.observe.records.transcript_files import read_head
from tailflip.reconcile.headers.headless import heal_header
from tailflip.reconcile.headers.headless_undo import undo_header

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.ledger.actions import Action

NOBODY = Gateway(False, None, None, "test")
REST = make_messages(20)


class Heading(Scenario):
    """`reconcile headers --apply`: the header is written anew. `path` is the transcript."""

    name = "write a header"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.path = self.path.with_name(f"{SESSION}.jsonl")

    def prepare(self) -> None:
        make_state(self.path.parents[3])
        self.original = b"\0\0 gone\n" + REST
        self.path.write_bytes(self.original)
        self.transcripts = self.list_transcripts()

    def do(self, disk: Disk) -> object:
        workspace = Workspace(self.home, disk)
        workspace.create()
        return heal_header(
            self.path, self.locate(), NOBODY, workspace=workspace, apply=True, now_ms=NOW_MS
        )

    def locate(self):
        return locate({"HOME": "/nowhere"}, state_dir=self.path.parents[3])

    def list_actions(self) -> list[Action]:
        actions = Ledger(Workspace(self.home, RealDisk())).read_all()
        return [each for each in actions if each.state is not State.UNDONE]

    def take_back(self, disk: Disk) -> object:
        return undo_header(
            self.list_actions()[-1],
            self.locate(),
            NOBODY,
            workspace=Workspace(self.home, disk),
            apply=True,
            now_ms=NOW_MS + 1,
        )

    def check_outcome(self) -> None:
        assert self.path.read_bytes() in (self.original, self.final)
        self.check_no_litter_at_home()
        if self.path.read_bytes() == self.original:
            assert self.list_actions() == []
            self.do(RealDisk())
        assert read_head(self.path).head is Head.WHOLE
        assert self.path.read_bytes().partition(b"\n")[2] == REST
        (done,) = self.list_actions()
        assert (done.state, self.home.quarantined(done.id).read_bytes()) == (
            State.DONE, self.original
        )  # fmt: skip
        self.take_back(RealDisk())
        assert self.path.read_bytes() == self.original
        assert self.list_transcripts() == self.transcripts


class Unheading(Heading):
    """`restore ACTION --apply` of a header: the old bytes come back, the appended ones stay."""

    name = "take a header back"
    more = make_messages(1, "later")

    def prepare(self) -> None:
        super().prepare()
        self.damaged = self.original
        super().do(RealDisk())
        with self.path.open("ab") as file:
            file.write(self.more)
        self.original = self.path.read_bytes()

    def do(self, disk: Disk) -> object:
        return self.take_back(disk)

    def check_outcome(self) -> None:
        assert self.path.read_bytes() in (self.original, self.final)
        self.check_no_litter_at_home()
        if self.path.read_bytes() == self.original:
            self.do(RealDisk())
        assert self.path.read_bytes() == self.damaged + self.more == self.final
        assert sorted(p.read_bytes() for p in self.home.quarantine.iterdir()) == sorted(
            [self.damaged, self.original]
        )


HEADERS: dict[str, type[Scenario]] = {each.name: each for each in (Heading, Unheading)}
