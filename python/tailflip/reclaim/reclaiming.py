"""Looks at all that a gateway leaves behind, and takes away what is proven: the whole way.

Debris and captures go first, for that needs next to no room; then copies and history. Nothing is
held in memory but one batch of files and the sums.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base.durable import resolve
from tailflip.flow.late import dataclass
from tailflip.reclaim import census
from tailflip.reclaim.acting import Gone, Hands
from tailflip.reclaim.judging import Judge
from tailflip.reclaim.patterns import Class
from tailflip.stores import recovery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.reclaim.census import Candidate, Place
    from tailflip.reclaim.judging import Judged
    from tailflip.reclaim.proofs import Ages
    from tailflip.stores.target import Scene

# What is only told, below the state directory: its form, and what gives its room back.
TOLD = (
    ("logs/*.log", "the service's own output: stop the service, then empty it"),
    ("logs/cache-trace.jsonl", "tracing that somebody switched on: switch it off"),
    ("logs/anthropic-payload.jsonl", "tracing that somebody switched on: switch it off"),
    ("logs/raw-stream.jsonl", "tracing that somebody switched on: switch it off"),
    ("session-sqlite-import-archive/**/*", "`openclaw update cleanup`, once the update is good"),
    ("state/*.bak", "`openclaw update cleanup`, once the update is good"),
    ("agents/*/agent/*.sqlite*", "`openclaw doctor --session-sqlite compact`"),
    ("state/*.sqlite*", "`openclaw doctor --session-sqlite compact`"),
)


@dataclass
class Sum:
    """Files, their bytes, and the time at which the oldest was written last."""

    files: int = 0
    bytes: int = 0
    oldest_ms: int | None = None

    def add(self, candidate: Candidate) -> None:
        """Count one more."""
        self.files += 1
        self.bytes += candidate.bytes
        at = candidate.mtime_ms
        self.oldest_ms = at if self.oldest_ms is None else min(self.oldest_ms, at)


@dataclass(frozen=True)
class Told:
    """Files that are told by their size alone, and what gives their room back."""

    what: str
    files: int
    bytes: int
    how: str


@dataclass
class Reclaimed:
    """What may go by class, what stays by reason, and what went; `gone` None: nothing was done."""

    may_go: dict[Class, Sum] = field(default_factory=dict)
    stays: dict[tuple[Class, str], Sum] = field(default_factory=dict)
    told: tuple[Told, ...] = ()
    gone: Gone | None = None
    notes: tuple[str, ...] = ()

    def count(self, judged: Judged) -> None:
        """Count one more."""
        if judged.reason is None:
            self.may_go.setdefault(judged.kind, Sum()).add(judged.candidate)
        else:
            self.stays.setdefault((judged.kind, judged.reason), Sum()).add(judged.candidate)


def reclaim(
    scene: Scene,
    workspace: Workspace,
    *,
    classes: Sequence[Class],
    ages: Ages,
    until_free: int | None = None,
    apply: bool,
) -> Reclaimed:
    """Find what may go; with `apply`, take it away.

    Raises:
        TryLater: another tailflip is at work.
        CannotCreate: there is no room even for the record of what goes.
    """
    found = Reclaimed(told=tuple(_tell(scene)))
    hands = Hands(workspace, scene, until_free)
    if not apply:
        _go_through(scene, classes, ages, found, None)
        return found
    with workspace.claim():
        found.notes = recovery.settle_all(workspace)
        found.gone = Gone.nothing()
        _go_through(scene, classes, ages, found, hands)
    return found


def _go_through(
    scene: Scene,
    classes: Sequence[Class],
    ages: Ages,
    found: Reclaimed,
    hands: Hands | None,
) -> None:
    judge = Judge(scene, ages)
    for kinds in ((Class.DEBRIS,), (Class.CAPTURES,), (Class.COPIES, Class.HISTORY)):
        wanted = [kind for kind in kinds if kind in classes]
        if not wanted or (hands is not None and hands.has_enough()):
            continue
        for place, newest in _list_places(scene, kinds):
            stream = census.walk_small(scene) if place is None else census.walk(place)
            chosen = (each for each in stream if each.kind in kinds)
            for judged in judge.judge_all(place, chosen, newest):
                _take(judged, wanted, found, hands)


def _take(
    judged: Sequence[Judged], wanted: Sequence[Class], found: Reclaimed, hands: Hands | None
) -> None:
    for kind in wanted:
        of_kind = [each for each in judged if each.kind is kind]
        for each in of_kind:
            found.count(each)
        if hands is not None and found.gone is not None:
            hands.take(kind, [each for each in of_kind if each.reason is None], found.gone)


def _list_places(
    scene: Scene, kinds: Sequence[Class]
) -> Iterator[tuple[Place | None, frozenset[Path]]]:
    if Class.CAPTURES in kinds:
        places = census.list_captures(scene)
        newest = _find_newest(each for place in places for each in census.walk(place))
        yield from ((place, newest) for place in places)
        return
    for place in census.list_sessions(scene):
        backups = (e for e in census.walk(place) if e.parsed.pattern.is_backup)
        yield place, _find_newest(backups)
    if Class.DEBRIS in kinds:
        yield None, frozenset()


def _find_newest(candidates: Iterator[Candidate]) -> frozenset[Path]:
    """Find the newest of each form."""
    newest: dict[str, Candidate] = {}
    for each in candidates:
        what = each.parsed.pattern.what
        if what not in newest or newest[what].mtime_ms < each.mtime_ms:
            newest[what] = each
    return frozenset(each.path for each in newest.values())


def _tell(scene: Scene) -> Iterator[Told]:
    """Sum up what is only told."""
    state_dir = resolve(scene.installation.state_dir)
    for pattern, how in TOLD:
        files = size = 0
        for path in state_dir.glob(pattern):
            with suppress(OSError):
                info = os.lstat(path)
                if path.is_file() and not path.is_symlink():
                    files, size = files + 1, size + info.st_size
        if files:
            yield Told(pattern, files, size, how)
