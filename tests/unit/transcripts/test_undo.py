"""Undoing a slimming: byte for byte, with what was appended since, or refused with the reason."""

from __future__ import annotations

import pytest

from support.transcripts import dump, make_turns, message, text
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ArchiveDamaged, StoreInvalid, TailflipError
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger, State
from tailflip.transcripts.slim import slim
from tailflip.transcripts.undo import list_slims, undo

NOW_MS = 1_800_000_000_000


class Slimmed:
    """A transcript that was slimmed."""

    def __init__(self, tmp_path):
        self.workspace = Workspace(Home(tmp_path / "own"), RealDisk())
        self.workspace.create()
        self.path = tmp_path / "old.jsonl"
        self.original = dump(make_turns(8), end="\r\n")
        self.path.write_bytes(self.original)
        self.action = self.slim(0)
        self.after = self.path.read_bytes()

    def slim(self, later_ms):
        done = slim(self.path, workspace=self.workspace, now_ms=NOW_MS + later_ms)
        found = Ledger(self.workspace).find(done.report.action_id)
        assert found is not None
        return found

    def undo(self, action=None, *, apply=True):
        return undo(self.workspace, action or self.action, apply=apply, now_ms=NOW_MS + 60_000)


@pytest.fixture
def there(tmp_path):
    return Slimmed(tmp_path)


@pytest.mark.parametrize("tail", [b"", b'{"type":"message","id":"n"}\n', b"torn", b"\n\n"])
def test_every_byte_comes_back_and_what_was_appended_stays(there, tail):
    with there.path.open("ab") as file:
        file.write(tail)
    told = there.undo(apply=False)
    assert there.path.read_bytes() == there.after + tail
    done = there.undo()
    assert there.path.read_bytes() == there.original + tail
    assert (told.lines, told.appended, told.bytes_after) == (
        10,
        len(tail),
        len(there.original + tail),
    )
    assert done.report is not None
    assert list_slims(Ledger(there.workspace).read_all()) == ()
    assert there.undo().report is None, "it is there already"


def test_a_transcript_that_was_rewritten_is_refused_and_stays(there):
    for changed in (
        there.after[:-1],
        b"x" + there.after[1:],
        b"",
        there.after.replace(b"t", b"u", 1),
    ):
        there.path.write_bytes(changed)
        with pytest.raises(StoreInvalid, match="rewritten since it was slimmed"):
            there.undo()
        assert there.path.read_bytes() == changed


def test_a_transcript_that_is_gone_is_told(there):
    there.path.unlink()
    with pytest.raises(TailflipError):
        there.undo()
    assert list(there.path.parent.glob("*.tmp")) == []


def test_one_slimmed_twice_is_undone_newest_first(there):
    more = [
        message(1000 + n, role, [text(said)])
        for n, (role, said) in enumerate(
            [("user", "more"), ("toolResult", "z" * 40_000), ("assistant", "so")] * 5
        )
    ]
    for n, each in enumerate(more):
        each["parentId"] = "00000020" if n == 0 else more[n - 1]["id"]
    appended = dump(more)
    with there.path.open("ab") as file:
        file.write(appended)
    newer = there.slim(1_000)
    with pytest.raises(StoreInvalid, match="slimmed again") as refused:
        there.undo()
    assert newer.id in (refused.value.hint or "")
    assert [each.id for each in list_slims(Ledger(there.workspace).read_all())] == [
        newer.id, there.action.id,
    ]  # fmt: skip
    there.undo(newer)
    assert there.path.read_bytes() == there.after + appended
    there.undo()
    assert there.path.read_bytes() == there.original + appended


@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
def test_a_damaged_archive_is_found_before_anything_is_changed(there, place):
    records = there.workspace.home.records(there.action.id)
    broken = bytearray(records.read_bytes())
    broken[int(len(broken) * place)] ^= 1
    records.write_bytes(broken)
    with pytest.raises(ArchiveDamaged):
        there.undo()
    assert there.path.read_bytes() == there.after
    assert [each.state for each in Ledger(there.workspace).read_all()] == [State.DONE]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 1}'])
def test_a_damaged_manifest_is_told(there, damage):
    (there.workspace.home.archive(there.action.id) / "manifest.json").write_bytes(damage)
    with pytest.raises(StoreInvalid, match="manifest is damaged"):
        there.undo()
    assert there.path.read_bytes() == there.after
