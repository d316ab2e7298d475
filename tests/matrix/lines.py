"""One line a release: what was asked, how long it took, how it ended. Kept as JSON lines."""

from __future__ import annotations

import json
import re
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.observe.gateway.catalogue import order

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
MATRIX, HEAPS = FOLDER / "matrix.jsonl", FOLDER / "heaps.jsonl"
SIZES_MB = (8, 24, 110)  # of the stores that heaps are measured with
_LONGEST = 300  # characters of a reason
_FOLDER = re.compile(r"\S*/tailflip-matrix-\w+")


def name_of(size_mb: int) -> str:
    """Name the question for the smallest heap with a store of this size."""
    return f"smallest heap with {size_mb} MB"


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NOT_SERVED = "not served"  # tailflip itself says that it cannot do this yet
    NOT_THERE = "not there"  # the release has nothing to compare with
    NOT_ASKED = "not asked"  # something before it failed


class NotServed(Exception):
    """Tailflip says that it does not do this yet."""


class NotThere(Exception):
    """The release lacks what would be asked."""


class NotAsked(Exception):
    """What this needs has failed before."""


class OutOfTime(BaseException):
    """A step took too long; not an `Exception`, so that no step takes it for an answer."""


_ENDS = {NotServed: Outcome.NOT_SERVED, NotThere: Outcome.NOT_THERE, NotAsked: Outcome.NOT_ASKED}


@dataclass
class Answer:
    asked: str
    outcome: Outcome
    seconds: float
    told: str = ""


@dataclass
class Line:
    """Everything that was asked of one release."""

    release: str
    date: str
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    @contextmanager
    def asking(self, asked: str, seconds: float) -> Iterator[list[str]]:
        """Ask one thing, for so long at most; whatever it raises is its answer.

        Yields a list for words that tell how it went.
        """
        began, told, outcome = time.monotonic(), [], Outcome.OK
        try:
            with _within(seconds):
                yield told
        except OutOfTime:
            outcome, told = Outcome.FAILED, [f"not over after {seconds:.0f} s", *told]
        except Exception as error:  # noqa: BLE001 - a failing release is a line, not the end
            outcome = _ENDS.get(type(error), Outcome.FAILED)
            kind = "" if outcome is not Outcome.FAILED else f"{type(error).__name__}: "
            told = [*told, f"{kind}{error}"]
        words = _FOLDER.sub("DIR", " ".join("; ".join(told).split()))
        took = round(time.monotonic() - began, 1)
        self.answers.append(Answer(asked, outcome, took, _cut(words)))
        self.seconds = round(sum(each.seconds for each in self.answers), 1)
        print(f"  {asked}: {outcome}, {took} s {words}", flush=True)

    def went_well(self, asked: str) -> bool:
        return any(each.asked == asked and each.outcome is Outcome.OK for each in self.answers)

    def need(self, asked: str) -> None:
        """Raise NotAsked unless this went well; what lacks what it needs is not there either."""
        if any(each.asked == asked and each.outcome is Outcome.NOT_THERE for each in self.answers):
            raise NotThere(f"needs: {asked}")
        if not self.went_well(asked):
            raise NotAsked(f"needs: {asked}")

    @property
    def outcome(self) -> Outcome:
        """The worst of all answers."""
        all_of_them = {each.outcome for each in self.answers}
        for worst in (Outcome.FAILED, Outcome.NOT_ASKED, Outcome.NOT_SERVED):
            if worst in all_of_them:
                return worst
        return Outcome.OK


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    # Rings again, should the first one be lost in a callback that swallows everything.
    signal.setitimer(signal.ITIMER_REAL, seconds, 30)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Read the lines of a record, by release."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {line["release"]: line for line in sorted(lines, key=lambda x: order(x["release"]))}


def keep(path: Path, line: dict[str, Any]) -> None:
    """Put a release's line into a record, in place of an earlier one."""
    lines = read(path) | {line["release"]: line}
    ordered = sorted(lines.values(), key=lambda x: order(x["release"]))
    text = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in ordered)
    fresh = path.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


def as_row(line: Line) -> dict[str, Any]:
    return asdict(line) | {"outcome": line.outcome}
