"""Gathers the facts about candidates, and judges them; reads, and changes nothing."""

from __future__ import annotations

import json
import os
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tailflip.base.durable import open_regular
from tailflip.base.errors import TailflipError
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import is_gone, read_owner
from tailflip.observe.gateway.process import booted_ms, is_alive, started_ms
from tailflip.observe.holders import NOT_KNOWN, find_holder
from tailflip.observe.host.open_files import read_open_files
from tailflip.reclaim.patterns import SMALL, Class
from tailflip.reclaim.proofs import NO_PREFIX, Facts, find_reason
from tailflip.reclaim.references import Named, find_named
from tailflip.stores.lock import TRANSCRIPT_STALE_MS
from tailflip.stores.mentions import can_ask, compare
from tailflip.stores.transcripts import is_in_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tailflip.observe.host.open_files import OpenFiles
    from tailflip.reclaim.census import Candidate, Place
    from tailflip.reclaim.proofs import Ages
    from tailflip.stores.target import Scene

CHUNK = 4_096  # candidates in memory at a time
_CLOCK_SLACK_MS = 5_000
_MOST_LINE_BYTES = 64 << 10
_MOST_SMALL_BYTES = 64 << 20
_MARK = "openclaw-"


class Judged(NamedTuple):
    """One candidate: the class as which it may go, or the reason to keep it."""

    candidate: Candidate
    kind: Class
    reason: str | None
    prefix_of: Path | None = None


@dataclass(frozen=True)
class Judge:
    """What candidates are judged by."""

    scene: Scene
    ages: Ages

    def judge_all(
        self, place: Place | None, found: Iterable[Candidate], newest: frozenset[Path]
    ) -> Iterator[list[Judged]]:
        """Judge candidates of one folder, as many at a time as fit into memory."""
        rest = iter(found)
        while chunk := list(islice(rest, CHUNK)):
            yield self.judge(place, chunk, newest)

    def judge(
        self, place: Place | None, chunk: Sequence[Candidate], newest: frozenset[Path]
    ) -> list[Judged]:
        """Judge candidates of one folder at this moment."""
        devices = frozenset(each.identity.device for each in chunk)
        users = read_open_files(devices, (_MARK,))
        kinds = {each.kind for each in chunk}
        named = Named()
        if kinds & {Class.COPIES, Class.HISTORY}:
            named = find_named(self.scene, _list_names(chunk))
        return [
            self._judge(each, self._gather(each, place, users, named, newest), named)
            for each in chunk
        ]

    def _judge(self, candidate: Candidate, facts: Facts, named: Named) -> Judged:
        kind = candidate.kind
        if kind is not Class.COPIES:
            return Judged(candidate, kind, find_reason(kind, facts, self.ages))
        reason = find_reason(kind, facts._replace(is_prefix=True), self.ages)
        target = candidate.target
        if reason is not None or target is None:
            return Judged(candidate, kind, reason or NO_PREFIX)
        stays = candidate.parsed.pattern.is_backup or _name_session(target) in named.names
        if stays and _is_prefix(candidate, target):
            return Judged(candidate, kind, None, target)
        # Nobody else has these bytes, and nothing names them: so they are history.
        return Judged(candidate, Class.HISTORY, find_reason(Class.HISTORY, facts, self.ages))

    def _gather(
        self,
        candidate: Candidate,
        place: Place | None,
        users: OpenFiles,
        named: Named,
        newest: frozenset[Path],
    ) -> Facts:
        gateway, mark = self.scene.gateway, candidate.parsed.mark
        at_ms = candidate.ctime_ms if candidate.kind is Class.CAPTURES else candidate.mtime_ms
        before_start: bool | None = None
        if gateway.alive is False:
            before_start = True
        elif gateway.alive and gateway.started_ms is not None:
            before_start = at_ms + _CLOCK_SLACK_MS < gateway.started_ms
        is_small = candidate.parsed.pattern is SMALL
        why = None if place is None else place.why
        return Facts(
            age_ms=self.scene.now_ms - at_ms,
            is_own=candidate.uid == os.geteuid(),
            links=candidate.links,
            why=why or candidate.trouble or _doubt_path(candidate),
            before_start=before_start,
            before_boot=at_ms < booted_ms() - _CLOCK_SLACK_MS,
            is_gateway_dead=gateway.alive is False,
            writer_lives=_writer_lives(candidate, self.scene.now_ms),
            is_open=_is_open(candidate, users),
            hidden=users.hidden,
            is_target_whole=self._is_target_whole(candidate, place, is_small=is_small),
            is_locked=_is_locked(candidate),
            is_named=mark in named.names if can_ask(mark) else None,
            doubt=named.doubt,
            is_newest=candidate.path in newest,
        )

    def _is_target_whole(
        self, candidate: Candidate, place: Place | None, *, is_small: bool
    ) -> bool | None:
        target = candidate.target
        if candidate.kind is not Class.DEBRIS or not candidate.parsed.pattern.needs_target:
            return True
        if target is None:
            return None
        if is_small:
            if target.name == self.scene.installation.config_path.name:
                return self.scene.installation.problem is None and target.exists()
            return _is_small_whole(target)
        if target.suffix == ".jsonl":
            return _begins_whole(target)
        return target in (() if place is None else place.stores)


def _list_names(chunk: Sequence[Candidate]) -> Iterator[str]:
    for each in chunk:
        yield each.parsed.mark
        if each.kind is Class.COPIES and each.target is not None:
            yield _name_session(each.target)


def _name_session(transcript: Path) -> str:
    return transcript.name.removesuffix(".jsonl")


def _writer_lives(candidate: Candidate, now_ms: int) -> bool | None:
    """Say whether the process lives that a name, a lock or an owner's database tells of."""
    if candidate.kind is Class.CAPTURES:
        holder = find_holder(candidate.path / "owner.sqlite")
        return None if holder == NOT_KNOWN else holder is not None
    if candidate.parsed.pattern.has_lock:
        try:
            owner = read_owner(candidate.path)
        except OSError:
            return None
        return owner is not None and not is_gone(owner, now_ms, TRANSCRIPT_STALE_MS)
    pid = candidate.parsed.pid
    if pid is None or not is_alive(pid, None):
        return False
    began = started_ms(pid)
    # A process that began after the file was written last has only its pid from the writer.
    return None if began is None else began <= candidate.mtime_ms + _CLOCK_SLACK_MS


def _is_open(candidate: Candidate, users: OpenFiles) -> bool:
    if candidate.kind is Class.CAPTURES:
        return users.uses_folder(str(candidate.path))
    return (candidate.identity.device, candidate.identity.inode) in users.inodes


def _is_locked(candidate: Candidate) -> bool:
    if candidate.kind not in (Class.COPIES, Class.HISTORY):
        return False
    target = candidate.target or candidate.path.with_name(f"{candidate.parsed.mark}.jsonl")
    return is_in_use(target)


def _doubt_path(candidate: Candidate) -> str | None:
    """Say why a file may not be what its name says, or cannot be written down."""
    try:
        str(candidate.path).encode()
    except UnicodeEncodeError:
        return "its path is no text"
    if candidate.parsed.pattern.has_header and not _begins_whole(candidate.path):
        return "it does not begin as a transcript does"
    return None


def _is_small_whole(target: Path) -> bool:
    """Say whether a small file of the gateway's can be read as what it is."""
    try:
        with open_regular(target) as fd:
            size = os.fstat(fd).st_size
            if target.suffix != ".json" or not 0 < size <= _MOST_SMALL_BYTES:
                return size > 0
            json.loads(os.pread(fd, size, 0))
    except (OSError, TailflipError, ValueError, RecursionError):
        return False
    return True


def _begins_whole(transcript: Path) -> bool:
    """Say whether a transcript has the header without which the gateway throws it away."""
    try:
        with open_regular(transcript) as fd:
            line, found, _ = os.pread(fd, _MOST_LINE_BYTES, 0).partition(b"\n")
        header = json.loads(line) if found else None
    except (OSError, TailflipError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("type") == "session"


def _is_prefix(candidate: Candidate, target: Path) -> bool:
    """Say whether the other file begins with all bytes of this one."""
    try:
        with open_regular(candidate.path) as own, open_regular(target) as other:
            if candidate.bytes == 0 or os.fstat(other).st_size < candidate.bytes:
                return False
            size, _, is_prefix = compare(own, other)
            return is_prefix and size == candidate.bytes
    except (OSError, TailflipError):
        return False
