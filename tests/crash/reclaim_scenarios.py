"""Giving room on the disk back, and putting back what was taken, small."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from scenarios import DONE, NOW_MS, Scenario

from support.leftovers import LIVING, Leftovers
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TryLater
from tailflip.base.workspace import Workspace
from tailflip.flow.outcomes import ActionKind
from tailflip.reclaim import undo
from tailflip.reclaim.patterns import Class
from tailflip.reclaim.proofs import Ages
from tailflip.reclaim.reclaiming import reclaim
from tailflip.stores.lock import hold
from tailflip.stores.target import look

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk

DAY_MS = 86_400_000
FILES = (Class.DEBRIS, Class.COPIES, Class.HISTORY)  # captures lie in folders of the machine


class Reclaiming(Scenario):
    """`reclaim --apply`: debris, a copy and history."""

    name = "reclaim"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.env = {
            "HOME": str(root),
            "PATH": str(root / "bin"),
            "OPENCLAW_STATE_DIR": str(root / "openclaw"),
            "OPENCLAW_GATEWAY_PORT": "1",  # nobody listens there
        }

    def prepare(self) -> None:
        left = Leftovers(self.path)
        self.debris = {left.put_temporary(n).name for n in range(2)}
        kept = (left.put_checkpoint(0), *left.put_history())
        self.kept = {path.name: path.read_bytes() for path in kept}
        living = (self.path, left.folder / f"{LIVING}.jsonl")
        self.living = {path.name: path.read_bytes() for path in living}

    def learn(self) -> None:
        assert self.act(RealDisk()) == DONE
        assert self.list_names() == set(self.living)

    def list_names(self) -> set[str]:
        return {path.name for path in self.path.parent.iterdir()}

    def age(self) -> None:
        """Make all files old: whoever put the tree there wrote them now."""
        at = (NOW_MS - 30 * DAY_MS) / 1000
        for path in self.path.parent.iterdir():
            os.utime(path, (at, at))

    def take(self, disk: Disk) -> None:
        self.age()
        found = reclaim(
            look(self.env), Workspace(self.home, disk), classes=FILES, ages=Ages(), apply=True
        )
        assert found.gone is not None
        if found.gone.skipped:
            raise TryLater(str(found.gone.skipped))

    def put_back(self, disk: Disk) -> None:
        workspace = Workspace(self.home, disk)
        for kept in self.list_kept():
            is_undoable = kept.action.kind is ActionKind.RECLAIM
            if is_undoable and undo.read_manifest(self.home, kept.action.id).kind in FILES[1:]:
                undo.undo(workspace, kept.action, apply=True, now_ms=NOW_MS + 1)

    def do(self, disk: Disk) -> object:
        return self.take(disk)

    def check_litter(self) -> None:
        for lock in self.root.rglob("*.lock"):
            if b"}" not in lock.read_bytes():
                os.utime(lock, (1, 1))
        assert [name for name in self.list_names() if name.startswith(".tailflip")] == []
        with hold(self.path, RealDisk(), timeout_s=0.1):
            pass

    def check_living(self) -> None:
        for name, data in self.living.items():
            assert (self.path.parent / name).read_bytes() == data

    def check_outcome(self) -> None:
        self.check_living()
        self.check_no_litter_at_home()
        there = self.list_names()
        for name in there & set(self.kept):
            assert (self.path.parent / name).read_bytes() == self.kept[name]
        # Whatever went by now comes back.
        self.put_back(RealDisk())
        assert self.list_names() - self.debris == set(self.living) | set(self.kept)
        for name, data in self.kept.items():
            assert (self.path.parent / name).read_bytes() == data
        # A second run goes on to the end.
        self.take(RealDisk())
        assert self.list_names() == set(self.living)
        self.check_living()


class Unreclaiming(Reclaiming):
    """`restore ACTION --apply` of each of them."""

    name = "reclaim undone"

    def prepare(self) -> None:
        super().prepare()
        self.take(RealDisk())

    def learn(self) -> None:
        assert self.act(RealDisk()) == DONE
        assert self.list_names() == set(self.living) | set(self.kept)

    def do(self, disk: Disk) -> object:
        return self.put_back(disk)


RECLAIMS: dict[str, type[Scenario]] = {each.name: each for each in (Reclaiming, Unreclaiming)}
