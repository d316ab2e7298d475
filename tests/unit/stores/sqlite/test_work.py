"""A draft says what is to be done, and a byte that is not as it was written is found."""

from __future__ import annotations

import pytest

from tailflip.base.errors import StoreInvalid
from tailflip.stores.sqlite.work import Step, Verb, WorkReader, WorkWriter

STEPS = [
    (Step(Verb.DELETE, "agent:main:a", 10, "digest"), [b""]),
    (Step(Verb.EDIT, "agent:main:b", 5, "other"), [b"new ", b"entry"]),
    (Step(Verb.INSERT, "agent:main:c", 3), [b'{"line":1}\n{"line":', b"2}\n"]),
]


def write(path):
    with path.open("w+b") as file:
        work = WorkWriter(file.fileno(), "/a/database")
        for step, chunks in STEPS:
            work.add(step, chunks, sum(map(len, chunks)))
        return work.finish(7, 900)


def test_what_was_written_is_read(tmp_path):
    written = write(tmp_path / "draft")
    with (tmp_path / "draft").open("rb") as file:
        reader = WorkReader(file.fileno())
        assert reader.store == "/a/database"
        found = []
        for step in reader.steps():
            lines = list(reader.lines()) if step.verb is Verb.INSERT else None
            found.append((step, lines))
        assert found == [
            (STEPS[0][0], None),
            (STEPS[1][0], None),
            (STEPS[2][0], [b'{"line":1}', b'{"line":2}']),
        ]
        assert reader.verify() == written
    assert (written.entries, written.bytes) == (7, 900)


def test_a_byte_that_changed_is_found(tmp_path):
    path = tmp_path / "draft"
    write(path)
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 4
        path.write_bytes(changed)
        with path.open("rb") as file, pytest.raises(StoreInvalid):
            WorkReader(file.fileno()).verify()


@pytest.mark.parametrize("size", [0, 10, -20])
def test_a_draft_that_breaks_off_is_none(tmp_path, size):
    path = tmp_path / "draft"
    write(path)
    path.write_bytes(path.read_bytes()[:size])
    with path.open("rb") as file, pytest.raises(StoreInvalid):
        WorkReader(file.fileno()).verify()


def test_more_or_fewer_bytes_than_promised_are_refused(tmp_path):
    with (tmp_path / "draft").open("w+b") as file:
        work = WorkWriter(file.fileno(), "/a")
        with pytest.raises(OSError, match="more or fewer"):
            work.add(STEPS[1][0], [b"too many"], 3)
