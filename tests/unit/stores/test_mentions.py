"""Names in files and texts, as Python asks for them; the engine's own tests try the writings."""

import os
import random

import pytest

from support.leftovers import LIVING, ORPHAN
from tailflip.stores.mentions import MOST_NAMES, Mentions, can_ask, compare


def test_what_occurs_in_a_file_or_a_text_is_found_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000 + LIVING.upper().encode() + b"y" * 300_000)
    mentions = Mentions([LIVING, ORPHAN, LIVING[:8]])
    with path.open("rb") as file:
        mentions.scan(file.fileno())
    assert set(mentions.found()) == {LIVING, LIVING[:8]}
    mentions.read(ORPHAN.encode())
    assert set(mentions.found()) == {LIVING, LIVING[:8], ORPHAN}


def test_two_texts_are_not_one():
    mentions = Mentions([ORPHAN])
    mentions.read(ORPHAN[:20].encode())
    mentions.read(ORPHAN[20:].encode())
    assert list(mentions.found()) == []


def test_any_bytes_are_read_as_python_would_search_them():
    """A model of the whole: every escape undone, lower case, then a plain search."""
    rng = random.Random(13)
    names = ["0123abcd", "0123abcd-ef", "23abcd-ef01"]
    for _ in range(300):
        text = "".join(rng.choices("0123abcdABCD-ef", k=rng.randrange(60)))
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(names) + text[place:]
        written = "".join(
            rng.choice((char, char, f"\\u{ord(char):04x}", f"\\\\u{ord(char):04X}"))
            for char in text
        )
        mentions = Mentions(names)
        mentions.read(written.encode())
        assert set(mentions.found()) == {name for name in names if name in text.lower()}


def test_a_name_that_cannot_be_looked_for_is_told_apart():
    refused = ("main", "größerer-name", "n" * 256, "a\\name-of-it")
    assert not any(map(can_ask, refused))
    assert can_ask(LIVING)
    for name in refused:
        with pytest.raises(ValueError, match="name"):
            Mentions([name])
    with pytest.raises(ValueError, match="too many"):
        Mentions([f"name-{n:08}" for n in range(MOST_NAMES + 1)])
    assert MOST_NAMES >= 2 * 4_096  # a batch of candidates, with what each was copied from


def test_a_file_is_a_prefix_up_to_its_last_byte(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 600_000)
    two.write_bytes(b"x" * 600_001)
    fds = [os.open(path, os.O_RDONLY) for path in (one, two)]
    try:
        assert compare(*fds)[0::2] == (600_000, True)
        assert compare(*reversed(fds))[0::2] == (600_001, False)
        assert compare(fds[0])[0::2] == (600_000, False)
        assert len(compare(fds[0])[1]) == 64
        with two.open("r+b") as file:
            file.seek(599_999)
            file.write(b"y")
        assert compare(*fds)[2] is False
    finally:
        for fd in fds:
            os.close(fd)
