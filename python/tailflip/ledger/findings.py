"""Which findings stand, since when: a row opens, is refreshed now and then, and ends.

A finding is the same one as long as its code and subject are; its message may change
with every look (a size grows), and is then brought up to date at most once an hour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.flow.findings import Finding
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Sequence

    # What makes one change inside a transaction.
    Change = Callable[[sqlite3.Connection], object]

REFRESH_MS = 3_600_000
_MOST_FINDINGS = 1_000
_COLUMNS = "code, severity, subject, message, hint, evidence, first_ms, last_ms, ended_ms"


@dataclass(frozen=True)
class NotedFinding:
    """A finding with when it was first and last seen; `ended_ms` None while it stands."""

    finding: Finding
    first_ms: int
    last_ms: int
    ended_ms: int | None


class Findings(Table):
    """The findings about one gateway."""

    def note(self, found: Sequence[Finding], now_ms: int, codes: Collection[str]) -> bool:
        """Bring what stands up to date with what a look found; says whether it wrote.

        Args:
            found: what was found.
            now_ms: when.
            codes: every code that this look judged; only of these may findings end.
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
    """Compare what stands with what was found; no changes when both say the same.

    Args:
        guard: whose findings they are.
        noted: all that stand.
        found: what this look found; of two with the same code and subject the first counts.
        codes: what this look judged; what stands under another code is left alone.
        now_ms: when it looked.
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
