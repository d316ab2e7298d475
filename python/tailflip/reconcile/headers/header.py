"""Plans a new header for a transcript that has lost its own; reads only.

The header is the first line of a transcript, with the id of its session. Its id is in the name of
the file, its time in the first record, and its folder in the transcripts beside it.
A file that is not clearly a transcript gets no plan.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import StoreInvalid
from tailflip.base.regular import open_to_read
from tailflip.flow.late import dataclass
from tailflip.observe.agents import read_section
from tailflip.observe.records.file_names import name_kind
from tailflip.observe.records.heads import (
    RECORDS,
    NoJson,
    is_header,
    is_record,
    parse_line,
)
from tailflip.observe.records.transcript_files import list_transcripts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.observe.installation import Installation

_VERSION = 3  # of transcripts whose records have ids, in all releases with files
_LINE_BYTES = 1 << 20  # a longer line is not parsed
_LOOKED_AT = 200
_NEIGHBOURS = 20
_MARK = b"\xef\xbb\xbf"
_SPACES = b" \t\r\n\v\f"
_KEPT = "; it is left as it is"


@dataclass(frozen=True)
class NewHeader:
    """The new first line, and from which byte on the old file follows it.

    `rest` is 0 where the old first line is a record, or may be one: then it stays.
    """

    line: bytes
    rest: int


@dataclass(frozen=True)
class _Line:
    """A line without its end; `data` is only the begin of one that is longer than we parse."""

    data: bytes
    end: int
    is_whole: bool


def plan_header(path: Path, fd: int, cwd: str) -> NewHeader:
    """Plan the header of a transcript.

    Args:
        path: Its name has the session's id.
        fd: The open file; its position does not matter.
        cwd: The folder that the session works in.

    Raises:
        StoreInvalid: It is not clearly a transcript without a header; the message says why.
    """
    session = _find_session(path)
    lines = _read_lines(fd)
    first = next(lines, None)
    if first is None:
        raise StoreInvalid(f"transcript is empty: {path}{_KEPT}")
    value = _parse(first)
    if is_header(value):
        raise StoreInvalid(f"transcript has a header: {path}{_KEPT}")
    moment = _Moment()
    seen = _Seen(path)
    if isinstance(value, dict):
        seen.add(value)
        moment.take(value)
    for number, line in enumerate(lines):
        if number >= _LOOKED_AT:
            break
        if line.is_whole and line.data.strip(_SPACES):
            found = _parse(line)
            seen.add(found)
            moment.take(found)
    seen.require_clear()
    is_record_of_another_type = isinstance(value, dict) and value.get("type") != "session"
    is_kept = is_record_of_another_type or not (first.is_whole and first.data.strip(_SPACES))
    header = {
        "type": "session",
        "version": _VERSION,
        "id": session,
        "timestamp": moment.text or _format_time(os.fstat(fd).st_mtime_ns),
        "cwd": cwd,
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"))
    return NewHeader(text.encode("utf-8", "surrogateescape") + b"\n", 0 if is_kept else first.end)


def find_cwd(installation: Installation, path: Path) -> str:
    """Find a session's folder, as transcripts beside it say, else the agent's workspace."""
    near = nlargest(
        _NEIGHBOURS, list_transcripts(path.parent), key=lambda each: each[1].st_mtime_ns
    )
    for entry, _ in near:
        if entry.path == str(path):
            continue
        try:
            fd = open_to_read(entry.path, follows=False)
        except OSError:
            continue
        try:
            first = next(_read_lines(fd), None)
        except OSError:
            continue
        finally:
            os.close(fd)
        header: Any = _parse(first) if first is not None else None
        if is_header(header) and isinstance(header.get("cwd"), str) and header["cwd"]:
            return str(header["cwd"])
    return _find_workspace(installation, path)


def _find_workspace(installation: Installation, path: Path) -> str:
    """Find the workspace that the configuration names for the agent whose folder it is."""
    agent = path.parent.parent.name
    agents = read_section(installation.config, "agents")
    listed = agents.get("list")
    own = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    for each in (*(one for one in own if one.get("id") == agent), read_section(agents, "defaults")):
        named = each.get("workspace")
        if isinstance(named, str) and named:
            return os.path.expanduser(named)  # noqa: PTH111 - Path.expanduser may raise
    return str(installation.state_dir / "workspace")


def _find_session(path: Path) -> str:
    """Find the session's id in a name: `<id>`, `<id>-topic-<t>`, `<time>_<id>`.

    Raises:
        StoreInvalid: the name has none.
    """
    kind, session = name_kind(path.name)
    if session is None:
        raise StoreInvalid(f"no transcript by its name, but of kind {kind!r}: {path}{_KEPT}")
    return session.partition("-topic-")[0].rpartition("_")[2]


class _Seen:
    """What the first lines of a file are, and whether that makes it a transcript."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records = self._messages = self._others = 0

    def add(self, value: Any) -> None:
        """Count one line.

        Raises:
            StoreInvalid: it rules out that the header is all that is lost.
        """
        if is_header(value):
            raise StoreInvalid(
                f"transcript has a header further down: {self._path}{_KEPT}",
                hint="two transcripts may have run into one: compare it with a backup",
            )
        if is_record(value):
            self._records += 1
            self._messages += value["type"] == "message"
        elif isinstance(value, dict) and value.get("type") in RECORDS and "id" not in value:
            raise StoreInvalid(
                f"transcript is of an old form, without ids: {self._path}{_KEPT}",
                hint="put it back from a backup, or begin a new session with `/new`",
            )
        else:
            self._others += 1

    def require_clear(self) -> None:
        """Raise StoreInvalid unless most of what was seen are records, messages among them."""
        if not self._messages or self._others >= self._records:
            raise StoreInvalid(
                f"not clearly a transcript: {self._path}: of its first lines "
                f"{self._records} are records, and {self._others} are something else{_KEPT}",
                hint="put it back from a backup, or begin a new session with `/new`",
            )


class _Moment:
    """The time of the first record that has one."""

    def __init__(self) -> None:
        self.text = ""

    def take(self, value: Any) -> None:
        if self.text or not isinstance(value, dict):
            return
        told = value.get("timestamp")
        if isinstance(told, str):
            try:
                datetime.fromisoformat(told)
            except ValueError:
                return
            self.text = told


_NONE = object()  # a line that does not parse


def _parse(line: _Line) -> Any:
    if not line.is_whole:
        return _NONE
    try:
        return parse_line(line.data)
    except NoJson:
        return _NONE


def _read_lines(fd: int) -> Iterator[_Line]:
    """Read a file by lines, in constant memory, whatever their length."""
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        is_begin = True
        while data := file.readline(_LINE_BYTES):
            is_whole = data.endswith(b"\n") or len(data) < _LINE_BYTES
            more = data
            while not more.endswith(b"\n") and (more := file.readline(_LINE_BYTES)):
                pass
            data = data.removeprefix(_MARK) if is_begin else data
            is_begin = False
            yield _Line(data.removesuffix(b"\n"), file.tell(), is_whole)


def _format_time(at_ns: int) -> str:
    moment = datetime.fromtimestamp(at_ns / 1e9, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
