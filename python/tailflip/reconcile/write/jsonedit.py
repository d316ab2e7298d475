"""Edits single members of a JSON text; every other byte stays as it is.

Parsing the text and writing it anew would keep the meaning, but change the form of numbers and
escapes. So the text is cut at the member, and the result is parsed again and compared with the
edits.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tailflip.base.errors import InternalError, StoreInvalid
from tailflip.flow.late import dataclass
from tailflip.observe.records.cron import read_job_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True)
class Edit:
    """Set one member of a job, or with `MISSING` take it out; `path` leads to it."""

    job_id: str
    path: tuple[str, ...]
    value: object


@dataclass(frozen=True)
class _Member:
    """One member: from its name's quote to the end of its value, and the value alone."""

    name: str
    start: int
    value: int
    end: int


def edit_jobs(text: bytes, edits: Sequence[Edit]) -> bytes:
    """Apply edits to the text of a cron store; a job that is not there is left out.

    Raises:
        StoreInvalid: It is not plain JSON of the expected shape, or names something twice.
    """
    source, jobs = _read(text)
    pieces: list[str] = []
    done = 0
    for start, end, job_id in jobs:
        piece = source[start:end]
        for edit in edits:
            if edit.job_id == job_id:
                piece = _edit(piece, 0, edit.path, edit.value)
        pieces += [source[done:start], piece]
        done = end
    new = "".join([*pieces, source[done:]])
    _check(source, new, edits)
    return new.encode()


def read_member(text: bytes, job_id: str, path: Sequence[str]) -> object:
    """Read one member of a job; `MISSING` where there is none.

    Raises:
        StoreInvalid: As for `edit_jobs`.
    """
    source, jobs = _read(text)
    for start, end, known in jobs:
        if known == job_id:
            value: object = json.loads(source[start:end])
            for name in path:
                value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
            return value
    return MISSING


def _read(text: bytes) -> tuple[str, list[tuple[int, int, str]]]:
    """Decode the text, refuse one that is not plain, and find each job's span and id."""
    try:
        source = text.decode()
        json.loads(source, object_pairs_hook=_refuse_doubles, parse_constant=_refuse_constant)
        root = {member.name: member for member in _members(source, _skip(source, 0))}
        jobs = list(_elements(source, root["jobs"].value)) if "jobs" in root else []
    except (ValueError, RecursionError, IndexError) as e:
        raise StoreInvalid(
            "cron store is not plain JSON; nothing was changed",
            hint="let the gateway write it once, for instance with `openclaw cron list`",
        ) from e
    found = []
    for start, end in jobs:
        job = json.loads(source[start:end])
        job_id = read_job_id(job)
        if job_id is not None:
            found.append((start, end, job_id))
    ids = [job_id for _, _, job_id in found]
    if len(set(ids)) != len(ids):
        raise StoreInvalid("two jobs of the cron store have the same id; nothing was changed")
    return source, found


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that occurs twice: readers differ in which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _refuse_constant(name: str) -> None:
    """Refuse NaN and infinities, which Python reads and the gateway does not."""
    raise ValueError(f"not JSON: {name}")


def _edit(text: str, at: int, path: tuple[str, ...], value: object) -> str:
    """Edit the object that starts at `at`."""
    members = list(_members(text, at))
    place = next((i for i, m in enumerate(members) if m.name == path[0]), None)
    if len(path) > 1:
        if place is None:
            return (
                text if value is MISSING else _insert(text, at, members, path[0], {path[1]: value})
            )
        if text[members[place].value] != "{":
            if value is MISSING:
                return text
            raise StoreInvalid(f"{path[0]} of a job is not an object; nothing was changed")
        return _edit(text, members[place].value, path[1:], value)
    if place is None:
        return text if value is MISSING else _insert(text, at, members, path[0], value)
    if value is MISSING:
        return _delete(text, at, members, place)
    member = members[place]
    return text[: member.value] + json.dumps(value) + text[member.end :]


def _delete(text: str, at: int, members: list[_Member], place: int) -> str:
    member = members[place]
    if place:
        return text[: members[place - 1].end] + text[member.end :]
    if len(members) > 1:
        return text[: member.start] + text[members[1].start :]
    # Without members `{}` is left, as JSON.stringify writes it.
    return text[: at + 1] + text[_skip(text, member.end) :]


def _insert(text: str, at: int, members: list[_Member], name: str, value: object) -> str:
    """Add a member at the end, indented as its neighbours are."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    indent = line[: len(line) - len(line.lstrip())]
    before = text[at + 1 : members[0].start] if members else f"\n{indent}  "
    inner = json.dumps(value, indent=2).replace("\n", before if "\n" in before else "\n")
    new = f"{json.dumps(name)}: {inner}"
    if members:
        end = members[-1].end
        return f"{text[:end]},{before}{new}{text[end:]}"
    return f"{text[: at + 1]}{before}{new}\n{indent}{text[_skip(text, at + 1) :]}"


def _members(text: str, at: int) -> Iterator[_Member]:
    """Yield the members of the object that starts at `at`."""
    if text[at] != "{":
        raise ValueError("not an object")
    at = _skip(text, at + 1)
    while text[at] != "}":
        start = at
        name, at = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, at) + 1)
        _, at = _DECODER.raw_decode(text, value)
        yield _Member(name, start, value, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the elements of the array that starts at `at`."""
    if text[at] != "[":
        raise ValueError("not an array")
    at = _skip(text, at + 1)
    while text[at] != "]":
        start = at
        _, at = _DECODER.raw_decode(text, at)
        yield start, at
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _check(old: str, new: str, edits: Sequence[Edit]) -> None:
    """Compare the meaning of the new text with the edits, applied to parsed values."""
    meant = json.loads(old)
    by_id = {read_job_id(job): job for job in meant.get("jobs", [])}
    for edit in edits:
        target: Any = by_id.get(edit.job_id)
        for name in edit.path[:-1]:
            if isinstance(target, dict) and edit.value is not MISSING:
                target.setdefault(name, {})
            target = target.get(name) if isinstance(target, dict) else None
        if isinstance(target, dict):
            if edit.value is MISSING:
                target.pop(edit.path[-1], None)
            else:
                target[edit.path[-1]] = edit.value
    if json.loads(new) != meant:
        raise InternalError("an edit of the cron store is not what was meant; nothing was changed")
