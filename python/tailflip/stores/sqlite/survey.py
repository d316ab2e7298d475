"""Judges the units of a database by a policy, and counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip import _native
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RowNumbers, SurveyNumbers
from tailflip.flow.rules import Rule
from tailflip.stores.extension import translating
from tailflip.stores.policies import compile_policy
from tailflip.stores.sqlite.library import read_pages
from tailflip.stores.sqlite.units import RUNNING, gather, note_verdict, read_units, read_verdicts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from tailflip.flow.observed import Evidence
    from tailflip.plan.policy import Policy
    from tailflip.stores.sqlite.mark import Mark
    from tailflip.stores.sqlite.schema import Schema
    from tailflip.stores.sqlite.units import Target, Unit

DROP, EDIT = "drop", "edit"
# A row takes more than its texts: indexes, identities, state of the search. Measured on databases
# that 2026.9.6 imported: 1.29 for 95 MB, 1.39 for 11 MB.
PAGE_FACTOR = 1.25


class Told(NamedTuple):
    """What becomes of a target: `verb` is drop or edit. `rule` is as the archive names it.

    `end` is the end of its run, where that is to be written: status, end and length in ms.
    """

    verb: str
    rule: str
    end: tuple[str, int, int] | None = None

    @property
    def is_slim(self) -> bool:
        """Say whether what the gateway rebuilds goes."""
        return self.verb != DROP and Rule.SLIM in self.rule.split("+")


class Change(NamedTuple):
    """A target that does not stay as it is, and what becomes of it; `rowid` is for the record."""

    target: Target
    told: Told
    rowid: int
    session: str | None
    bytes: int


@dataclass(frozen=True)
class Surveyed:
    """A surveyed database, and the inputs by which a draft judges its units the same way again."""

    numbers: SurveyNumbers
    mark: Mark
    schema: Schema
    policy: Policy
    evidence: Evidence
    now_ms: int

    def judge_again(
        self, db: sqlite3.Connection, note: Callable[[Change], object]
    ) -> SurveyNumbers:
        """Note every change in temporary tables, call `note` with each, and count again."""
        judging = Judging(db, self.policy, self.evidence, self.now_ms)
        for unit, told in judging.verdicts():
            note_verdict(db, unit, (told.verb, told.rule, *(told.end or (None, None, None))))
            note(_change(unit, told))
        return judging.sum_up(self.numbers.bytes)

    def read_changes(self, db: sqlite3.Connection) -> Iterator[Change]:
        """Stream the changes that were noted."""
        for unit, (verb, rule, *end) in read_verdicts(db):
            told = Told(verb, rule, None if end[0] is None else (end[0], end[1], end[2]))
            yield _change(unit, told)


@dataclass
class Judging:
    """The judgement of all units: what does not stay as it is, then the numbers.

    `loaded_bytes` and `gone_bytes` count what a gateway loads of them, and what it will not any
    more.
    """

    db: sqlite3.Connection
    policy: Policy
    evidence: Evidence
    now_ms: int
    loaded_bytes: int = 0
    gone_bytes: int = 0
    rows: RowNumbers | None = None

    def verdicts(self) -> Iterator[tuple[Unit, Told]]:
        """Yield every unit that does not stay as it is; at the end, `rows` is known."""
        judge = _native.RowJudge(*compile_policy(self.policy, self.evidence, self.now_ms))
        gather(self.db)
        for page in read_units(self.db):
            self.loaded_bytes += sum(unit.loaded_bytes for unit in page)
            with translating():
                judge.offer([unit.row() for unit in page])
        for page in read_units(self.db):
            with translating():
                verdicts = judge.judge([unit.row() for unit in page])
            for unit, verdict in zip(page, verdicts, strict=True):
                if verdict is not None:
                    told = Told(*verdict)
                    if told.verb == DROP:
                        self.gone_bytes += unit.loaded_bytes
                        told = told._replace(end=self._find_end(unit))
                    elif told.is_slim:
                        self.gone_bytes += unit.bulk_bytes
                    yield unit, told
        with translating():
            self.rows = RowNumbers.model_validate_json(judge.finish())

    def _find_end(self, unit: Unit) -> tuple[str, int, int] | None:
        """Find the end of a run that goes: a window of its that stays elsewhere is told it."""
        over = self.evidence.over
        return None if over is None or unit.status != RUNNING else over.find(unit.judged)

    def sum_up(self, size_bytes: int) -> SurveyNumbers:
        """Say of a database of so many bytes in use what was counted of its rows."""
        rows = self.rows
        if rows is None:
            for _ in self.verdicts():
                pass
            return self.sum_up(size_bytes)
        removed = int(PAGE_FACTOR * (rows.bytes - rows.bytes_after))
        return SurveyNumbers(
            bytes=size_bytes,
            entries=rows.entries,
            digest="",
            wide=False,
            kinds=rows.kinds,
            running=rows.running,
            fields=(),
            jobs=rows.jobs,
            jobs_untracked=rows.jobs_untracked,
            duplicate=None,
            rules=rows.rules,
            entries_after=rows.entries_after,
            bytes_after=max(min(size_bytes, rows.bytes_after), size_bytes - removed),
            row_bytes=(self.loaded_bytes, self.loaded_bytes - self.gone_bytes),
        )


def _change(unit: Unit, told: Told) -> Change:
    return Change(unit.target, told, unit.rowid, unit.session, unit.bytes)


def measure_pages(db: sqlite3.Connection) -> int:
    """Return the bytes in use in a database, without its free pages."""
    pages, free, page_bytes = read_pages(db)
    return (pages - free) * page_bytes
