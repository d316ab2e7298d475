"""Any transcript: what the engine leaves of it is what the rules say, and undo gives it back."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.transcripts import (
    dump,
    header,
    image,
    make_turns,
    read_archive,
    slim,
    slim_by_model,
    text,
    unslim,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# What a head of 2 KiB may end in: characters of each length, escapes, halves of pairs.
FILL = ["a", "é", "€", "😀", "\n", '"', "\\", "\u0001", "\ud83d", "\ude00", "b" * 100]
ODD: list[Any] = [None, 1, "image", [], {"type": "image", "extra": {"type": "text"}}, {"text": 3}]


def make_text(rnd: random.Random) -> str:
    each = "".join(rnd.choices(FILL, k=rnd.randint(1, 4)))
    count = rnd.choice([0, 1, 30, 2047, 2048, 2049, 4096, 16383, 16384, 16385])
    around = ["".join(rnd.choices("aé😀\n", k=rnd.randint(0, 5))) for _ in range(2)]
    return around[0] + (each * count)[: 17 * 1024] + around[1]


def make_block(rnd: random.Random) -> Any:
    kind = rnd.randint(0, 5)
    if kind == 0:
        return rnd.choice(ODD)
    if kind <= 2:
        return image("QUJD" * rnd.choice([0, 1, 100]))
    more = {"mimeType": "y" * 70, "n": [{"text": "z" * 99}]} if kind == 3 else {}
    return {**text(make_text(rnd)), **more}


def make_content(rnd: random.Random) -> Any:
    if rnd.randint(0, 9) == 0:
        return rnd.choice([*ODD, "x" * 17000])
    return [make_block(rnd) for _ in range(rnd.randint(0, 3))]


WRITERS: list[Callable[[Any], str]] = [
    lambda record: json.dumps(record, separators=(",", ":")),
    lambda record: json.dumps(record, separators=(",", ":"), ensure_ascii=False),
    lambda record: " " + json.dumps(record) + "\t\r",
]


def write(record: Any, writer: Callable[[Any], str]) -> bytes:
    """One line; halves of pairs can only be written as escapes."""
    try:
        return writer(record).encode()
    except UnicodeEncodeError:
        return WRITERS[0](record).encode()


# Each makes of a good line one that does not read with certainty, or reads otherwise.
SPOIL: list[Callable[[bytes], bytes]] = [
    lambda line: line,
    lambda line: line,
    lambda line: line[:-3],
    lambda line: line + b"x",
    lambda line: line.replace(b'"role"', b'"r\\u006fle"'),
    lambda line: line.replace(b'"image"', b'"im\\u0061ge"'),
    lambda line: line.replace(b'"type"', b'"type":1,"type"', 1),
    lambda line: line.replace(b'"role"', b'"role":"user","role"', 1),
    lambda line: line.replace(b'"content"', b'"content":[],"content"', 1),
    lambda line: line.replace(b'"text"', b'"\xff"', 1),
    lambda line: line.replace(b'"data"', b'"data":"","data"', 1),
    lambda line: line.replace(b"QUJD", b"QU\x01D", 1),
    lambda line: line.replace(b'"timestamp"', b'"deep":' + b"[" * 600 + b"]" * 600 + b',"t"', 1),
    lambda line: line.replace(b'"timestamp"', b'"n":01,"t"', 1),
    lambda line: line.replace(b'"timestamp"', b'"n":-0.5e+3,"t"', 1),
    lambda line: b"[" + line + b"]",
    lambda _: b"",
    lambda _: b"  \r",
    lambda _: b"null",
    lambda _: b'{"type":"custom","id":"c","parentId":null}',
    lambda _: b'{"type":"compaction","id":"k","parentId":"1","firstKeptEntryId":"1"}',
]


def make_transcript(seed: int) -> bytes:
    rnd = random.Random(seed)
    lines = [write(header(), WRITERS[0])]
    ids = [""]
    is_straight, is_sound = rnd.random() < 0.6, rnd.random() < 0.5
    for n in range(1, rnd.randint(12, 60)):
        # Mostly one way; now and then a branch, a leaf that points elsewhere, or no parent.
        is_turned = not is_straight and rnd.randint(0, 14) == 0
        parent = rnd.choice(ids) if is_turned else ids[-1]
        record: dict[str, Any] = {"type": "message", "id": str(n), "parentId": parent or None}
        if not is_straight and rnd.randint(0, 19) == 0:
            record |= {"type": "leaf", "targetId": rnd.choice(ids) or None}
        if not is_straight and rnd.randint(0, 19) == 0:
            del record["id"]
        ids.append(str(n))
        record["timestamp"] = "t"
        role = rnd.choice(["user", "assistant", "toolResult", "assistant", "user", "system"])
        inner = {"role": role, "content": make_content(rnd)}
        if rnd.random() < 0.5:
            inner = dict(reversed(inner.items()))
        record["message"] = inner
        line = write(record, rnd.choice(WRITERS))
        lines.append(line if is_sound or rnd.randint(0, 24) else rnd.choice(SPOIL)(line))
    end = rnd.choice([b"\n", b"\n", b"", b'\n{"type":"mess', b"\n\n\n"])
    return b"\n".join(lines) + end


transcripts = st.integers(0, 2**32).map(make_transcript)


def check(data: bytes) -> None:
    done = slim(data)
    expected, images, results = slim_by_model(data)
    assert done.after == expected
    numbers = done.numbers
    assert (numbers["images"], numbers["results"]) == (images, results)
    assert numbers["bytes_after"] == done.measured["bytes_after"] == len(expected)
    assert {k: done.measured[k] for k in ("border", "lines", "images", "results")} == {
        k: numbers[k] for k in ("border", "lines", "images", "results")
    }
    for head, raw in read_archive(done.archive):
        assert data[head["at"] : head["at"] + head["bytes"]] == raw
    for tail in (b"", b'{"type":"message"}\n', b"torn"):
        assert unslim(done.after + tail, len(done.after), done.archive) == data + tail


@given(transcripts)
@example(b"")
@example(b"\n")
@example(dump(make_turns(5)))
@example(dump(make_turns(6), end="\r\n"))
@example(dump(make_turns(3)))
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_left_is_what_the_rules_say(data: bytes) -> None:
    """All bytes outside the named blocks and texts are the same, and undo gives back every one."""
    check(data)


@given(transcripts, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_anywhere_changes_nothing_else(data: bytes, damage: list[tuple[float, int]]) -> None:
    """Any bytes are overwritten: what does not read with certainty stays as it is."""
    broken = bytearray(data)
    for place, byte in damage:
        broken[int(place * (len(broken) - 1))] = byte
    check(bytes(broken))


def test_the_transcripts_tried_here_have_something_to_slim() -> None:
    """A law that holds because nothing ever happens is none."""
    slimmed = [slim_by_model(make_transcript(seed)) for seed in range(60)]
    assert sum(bool(images) for _, images, _ in slimmed) > 15
    assert sum(bool(results) for _, _, results in slimmed) > 8
