"""Transcripts as the gateway writes them, and a model of what slimming leaves of one.

The model is written from the rules alone: it parses whole lines, holds everything in memory, and
shares no line with the engine.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tailflip import _native

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = b'{"type":"text","text":"[image data removed - already processed by model]"}'
NAME = "20260101T000000Z-abcdef"
LONG, HEAD, DEPTH = 16 * 1024, 2 * 1024, 512


def header(session: str = "s1") -> dict[str, Any]:
    """The first line."""
    return {"type": "session", "version": 3, "id": session, "timestamp": "t", "cwd": "/w"}


def message(n: int, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A record that follows the one before."""
    parent = f"{n - 1:08x}" if n > 1 else None
    about = {"role": role, "content": content, **more}
    return {
        "type": "message", "id": f"{n:08x}", "parentId": parent, "timestamp": "t", "message": about,
    }  # fmt: skip


def image(data: str = "QUJD" * 20) -> dict[str, Any]:
    """An image block."""
    return {"type": "image", "data": data, "mimeType": "image/png"}


def text(said: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": said}


def make_turns(
    turns: int, *, picture: str = "QUJD" * 400, tool: str = "line of output\n" * 2_000
) -> list[dict[str, Any]]:
    """Turns of a question with an image, a tool result and an answer."""
    records, n = [header()], 0
    for turn in range(turns):
        for role, content in (
            ("user", [text(f"look {turn}"), image(picture)]),
            ("assistant", [{"type": "toolCall", "id": f"c{turn}", "name": "x", "arguments": {}}]),
            ("toolResult", [text(tool)]),
            ("assistant", [text(f"done {turn}")]),
        ):
            n += 1
            records.append(message(n, role, content))
    return records


def dump(records: list[dict[str, Any]], end: str = "\n") -> bytes:
    """Write records as the gateway does."""
    return "".join(
        json.dumps(each, separators=(",", ":"), ensure_ascii=False) + end for each in records
    ).encode()


# ---------------------------------------------------------------- the engine, on bytes in memory


@contextmanager
def in_memory(data: bytes = b"") -> Iterator[int]:
    """A file without a name."""
    fd = os.memfd_create("transcript")
    try:
        os.pwrite(fd, data, 0)
        yield fd
    finally:
        os.close(fd)


def read(fd: int) -> bytes:
    """All of a file."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


@dataclass
class Done:
    """What the engine made of a transcript."""

    numbers: dict[str, Any]
    measured: dict[str, Any]
    after: bytes
    archive: bytes


def slim(data: bytes) -> Done:
    """Slim bytes with the engine, and prove by its own means that it can be undone."""
    control = _native.Control()
    with in_memory(data) as fd, in_memory() as out, in_memory() as kept:
        measured = json.loads(_native.transcript_measure(fd, NAME, control))
        numbers = json.loads(_native.transcript_slim(fd, out, kept, NAME, 0, control))
        size = numbers["bytes_after"]
        proof = json.loads(_native.transcript_unslim(out, size, -1, kept, fd, NAME, control))
        assert proof["digest"] == numbers["digest"]
        assert proof["digest_after"] == numbers["digest_after"]
        assert (proof["bytes"], proof["appended"]) == (len(data), 0)
        assert proof["lines"] == numbers["lines"]
        return Done(numbers, measured, read(out), read(kept))


def unslim(after: bytes, size: int, archive: bytes) -> bytes:
    """Put a slimmed transcript of `size` bytes, and what follows it, together again."""
    control = _native.Control()
    with in_memory(after) as fd, in_memory(archive) as kept, in_memory() as out:
        _native.transcript_unslim(fd, size, out, kept, -1, NAME, control)
        return read(out)


# ---------------------------------------------------------------- the model

_STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_SPACE = re.compile(rb"[ \t\r]*")
_UNIT = re.compile(rb"\\u([0-9a-fA-F]{4})|\\.|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*", re.DOTALL)


class Unsure(Exception):
    """A line that does not read with certainty."""


@dataclass
class Node:
    """A value: `raw` of a string, members of an object, items of an array; else nothing."""

    start: int
    end: int = 0
    raw: bytes | None = None
    members: list[tuple[bytes, Node]] | None = None
    items: list[Node] | None = None

    def get(self, *names: bytes) -> dict[bytes, Node]:
        """The members of these names.

        Raises:
            Unsure: one is there twice, or a name has an escape.
        """
        found: dict[bytes, Node] = {}
        for name, value in self.members or ():
            if b"\\" in name or (name in names and name in found):
                raise Unsure
            if name in names:
                found[name] = value
        return found


def parse(line: bytes) -> Node:
    """Parse a whole line; raises `Unsure` for what is not JSON."""
    try:
        line.decode()
    except UnicodeDecodeError:
        raise Unsure from None
    if b"[" * (DEPTH + 1) in line:  # too deep for us to recurse, too
        raise Unsure
    node = _value(line, _skip(line, 0), 0)
    if _skip(line, node.end) != len(line):
        raise Unsure
    return node


def _skip(line: bytes, at: int) -> int:
    found = _SPACE.match(line, at)
    assert found is not None
    return found.end()


def _value(line: bytes, at: int, depth: int) -> Node:
    first = line[at : at + 1]
    if first in (b"{", b"["):
        if depth == DEPTH:
            raise Unsure
        return _container(line, at, depth + 1, is_object=first == b"{")
    if first == b'"':
        found = _STRING.match(line, at)
        if found is None:
            raise Unsure
        return Node(at, found.end(), raw=found[1])
    found = _SCALAR.match(line, at)
    if found is None:
        raise Unsure
    return Node(at, found.end())


def _container(line: bytes, at: int, depth: int, *, is_object: bool) -> Node:
    node = Node(at, members=[] if is_object else None, items=None if is_object else [])
    close = b"}" if is_object else b"]"
    at = _skip(line, at + 1)
    if line[at : at + 1] == close:
        node.end = at + 1
        return node
    while True:
        name = b""
        if is_object:
            found = _STRING.match(line, at)
            if found is None:
                raise Unsure
            name, at = found[1], _skip(line, found.end())
            if line[at : at + 1] != b":":
                raise Unsure
            at = _skip(line, at + 1)
        value = _value(line, at, depth)
        if node.members is not None:
            node.members.append((name, value))
        elif node.items is not None:
            node.items.append(value)
        at = _skip(line, value.end)
        mark = line[at : at + 1]
        if mark == close:
            node.end = at + 1
            return node
        if mark != b",":
            raise Unsure
        at = _skip(line, at + 1)


@dataclass
class Line:
    """A line that reads: its record, and the edits that its content allows."""

    start: int
    kind: bytes | None = None
    role: bytes | None = None
    id: bytes | None = None
    parent: bytes | None = None
    target: bytes | None = None
    edits: list[tuple[int, int, bytes]] = field(default_factory=list)
    images: int = 0
    results: int = 0


def _plain(node: Node | None, longest: int | None = None) -> bytes | None:
    if node is None or node.raw is None:
        return None
    if b"\\" in node.raw or (longest is not None and len(node.raw) > longest):
        raise Unsure
    return node.raw


def read_line(raw: bytes, start: int) -> Line | None:
    """Read a line; None for one that does not read, or is blank."""
    try:
        node = parse(raw)
        if node.members is None:
            return None
        return _read_record(raw, node, start)
    except Unsure:
        return None


def _read_record(raw: bytes, node: Node, start: int) -> Line:
    top = node.get(b"type", b"id", b"parentId", b"targetId", b"message")
    line = Line(start, kind=_plain(top.get(b"type")), id=_plain(top.get(b"id"), 96))
    line.parent = _plain(top.get(b"parentId"), 96)
    line.target = _plain(top.get(b"targetId"))
    about = top.get(b"message")
    if about is None or about.members is None:
        return line
    inner = about.get(b"role", b"content")
    line.role = _plain(inner.get(b"role"))
    content = inner.get(b"content")
    for block in content.items or () if content is not None else ():
        if block.members is None:
            continue
        parts = block.get(b"type", b"text")
        kind, said = _plain(parts.get(b"type")), parts.get(b"text")
        if kind == b"image":
            line.edits.append((block.start, block.end, MARKER))
        elif kind == b"text" and said is not None and said.raw is not None:
            cut = _cut(said.raw)
            if cut is not None:
                at, chars = cut
                pointer = f"\\n[tailflip: {chars} characters of an old tool result are in archive "
                line.edits.append((said.start + 1 + at, said.end - 1, f"{pointer}{NAME}]".encode()))
    if line.kind != b"message" or line.role not in (b"user", b"toolResult"):
        line.edits = []
    if line.role == b"user":
        line.edits = [each for each in line.edits if each[2] == MARKER]
    line.images = sum(each[2] == MARKER for each in line.edits)
    line.results = len(line.edits) - line.images
    return line


def _cut(raw: bytes) -> tuple[int, int] | None:
    """Where the head of a long text ends, and the characters after it; None for a short text."""
    size = chars = cut_at = cut_chars = 0
    half = False
    for unit in _UNIT.finditer(raw):
        if size <= HEAD and not half:
            cut_at, cut_chars = unit.start(), chars
        code = int(unit[1], 16) if unit[1] else None
        half = code is not None and 0xD800 <= code < 0xDC00
        if code is None:
            size += 1 if unit[0].startswith(b"\\") else len(unit[0])
        elif 0xD800 <= code < 0xE000:
            size += 2
        else:
            size += len(chr(code).encode())
        chars += code is None or not 0xDC00 <= code < 0xE000
    return (cut_at, chars - cut_chars) if size > LONG else None


def find_border(roles: list[tuple[bytes | None, int]]) -> int | None:
    """The gateway's own rule, in its own order."""
    starts: list[int] = []
    current, replied = None, False
    for role, at in roles:
        if role == b"user":
            if current is not None and replied:
                starts.append(current)
            current, replied = at, False
        elif role == b"toolResult":
            current = at if current is None else current
        elif role == b"assistant" and current is not None:
            replied = True
    if current is not None and replied:
        starts.append(current)
    return starts[-3] if len(starts) > 3 else None


def _speakers(lines: list[Line]) -> list[tuple[bytes | None, int]]:
    return [(each.role, each.start) for each in lines if each.kind == b"message"]


def _walk(lines: list[Line]) -> list[Line] | None:
    """The way from the last record to the root, forwards; None if no record has an id."""
    known = [each for each in lines if each.kind != b"session"]
    wanted, way = None, []
    is_begun = False
    for each in reversed(known):
        if each.id is None or (is_begun and each.id != wanted):
            continue
        is_begun = True
        if each.kind == b"leaf":
            wanted = each.target
        else:
            way.append(each)
            wanted = each.parent
        if wanted is None or len(wanted) > 96:
            break
    return way[::-1] if is_begun else None


def slim_by_model(data: bytes) -> tuple[bytes, int, int]:
    """What is left of a transcript, the images replaced, and the texts cut."""
    lines: list[Line] = []
    at = 0
    for raw in data.split(b"\n"):
        line = read_line(raw, at)
        if line is not None:
            lines.append(line)
        at += len(raw) + 1
    border = find_border(_speakers(lines))
    way = _walk(lines)
    if way is not None and border is not None:
        other = find_border(_speakers(way))
        border = None if other is None else min(border, other)
    out, at = [], 0
    images = results = 0
    for line in lines if border is not None else ():
        if line.start == 0 or line.start >= border:
            continue
        images, results = images + line.images, results + line.results
        for start, end, new in line.edits:
            out += [data[at : line.start + start], new]
            at = line.start + end
    return b"".join([*out, data[at:]]), images, results


def read_archive(data: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """The records of an archive, by the extension's reader."""
    with in_memory(data) as fd:
        reader = _Reader(fd)
        return [(head, reader.read()) for head in reader]


class _Reader:
    def __init__(self, fd: int) -> None:
        self.native = _native.ArchiveReader(fd)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while headers := self.native.next_headers(1):
            yield json.loads(headers[0])

    def read(self) -> bytes:
        pieces = []
        while piece := self.native.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
