"""The findings on record: a row opens, is refreshed now and then, and ends.

Findings with the same code and subject are the same finding. Its message may change with every
look (a size grows), and is updated at most once an hour.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tailflip.flow.findings import Finding
from tailflip.flow.late import dataclass
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Sequence

    # A change to make inside a transaction.
    Change = Callable[[sqlite3.Connection], object]

REFRESH_MS = 3_600_000
_MOST_FINDINGS = 1_000
_COLUMNS = "code, severity, subject, message, hint, evidence, first_ms, last_ms, ended_ms"


@dataclass(frozen=True)
class NotedFinding:
    """A finding with its first and last sight; `ended_ms` None while it stands."""

    finding: Finding
    first_ms: int
    last_ms: int
    ended_ms: int | None


class Findings(Table):
    """The findings about one gateway."""

    def note(self, found: Sequence[Finding], now_ms: int, codes: Collection[str]) -> bool:
        """Update the standing findings to those of a look; says whether it wrote.

        Args:
            found: the findings of the look.
            now_ms: when the look was.
            codes: every code that this look judged; findings of other codes stay.
        """
        changes = plan_changes(self._guard, self.read(), found, codes, now_ms)
        if changes:
            with self._writing() as db:
                for change in changes:
                    change(db)
        return bool(changes)

    def read(self, *, open_only: bool = True) -> tuple[NotedFinding, ...]:
        """Read findings: those that stand first, errors before warnings, then the newest."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM findings WHERE guard = ? AND (ended_ms IS NULL OR NOT ?) "  # noqa: S608 - our own constant
            "ORDER BY ended_ms IS NOT NULL, severity != 'error', first_ms DESC, rowid LIMIT ?",
            (self._guard, open_only, _MOST_FINDINGS),
        )
        return tuple(_parse(row) for row in rows)


def plan_changes(
    guard: str,
    noted: Sequence[NotedFinding],
    found: Iterable[Finding],
    codes: Collection[str],
    now_ms: int,
) -> list[Change]:
    """Compare the standing findings with those of a look; no changes when they are equal.

    Args:
        guard: the gateway of the findings.
        noted: all that stand.
        found: those of this look; of two with the same code and subject the first counts.
        codes: those that this look judged; findings under other codes stay.
        now_ms: when the look was.
    """
    standing = {(each.finding.code, each.finding.subject): each for each in noted}
    now: dict[tuple[str, str], Finding] = {}
    for finding in found:
        now.setdefault((finding.code, finding.subject), finding)
    changes: list[Change] = []
    for key, finding in now.items():
        old = standing.get(key)
        if old is None:
            changes.append(_open(guard, finding, now_ms))
        elif old.finding.severity != finding.severity or not 0 <= now_ms - old.last_ms < REFRESH_MS:
            changes.append(_refresh(guard, finding, now_ms))
    changes += [_end(guard, key, now_ms) for key in standing if key[0] in codes and key not in now]
    return changes


def _open(guard: str, finding: Finding, now_ms: int) -> Change:
    row = (guard, *_cells(finding), now_ms, now_ms)
    return lambda db: db.execute(
        f"INSERT INTO findings (guard, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",  # noqa: S608 - our own constant
        row,
    )


def _refresh(guard: str, finding: Finding, now_ms: int) -> Change:
    code, severity, subject, *rest = _cells(finding)
    return lambda db: db.execute(
        "UPDATE findings SET severity = ?, message = ?, hint = ?, evidence = ?, last_ms = ? "
        "WHERE guard = ? AND code = ? AND subject = ? AND ended_ms IS NULL",
        (severity, *rest, now_ms, guard, code, subject),
    )


def _end(guard: str, key: tuple[str, str], now_ms: int) -> Change:
    return lambda db: db.execute(
        "UPDATE findings SET ended_ms = ? "
        "WHERE guard = ? AND code = ? AND subject = ? AND ended_ms IS NULL",
        (now_ms, guard, *key),
    )


def _cells(finding: Finding) -> tuple[str, ...]:
    return (
        str(finding.code),
        str(finding.severity),
        finding.subject,
        finding.message,
        finding.hint,
        json.dumps(finding.evidence),
    )


def _parse(row: tuple[str, str, str, str, str, str, int, int, int | None]) -> NotedFinding:
    finding = Finding(*row[:5], evidence=tuple(json.loads(row[5])))
    return NotedFinding(finding, *row[6:])
