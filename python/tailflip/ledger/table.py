"""The base class of tables: rows of one gateway, with one transaction for each call."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import IoFailed
from tailflip.flow.values import Value
from tailflip.ledger.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.base.workspace import Workspace

_V = TypeVar("_V", bound=Value)


class Table:
    """The rows of one gateway; `guard` is the real path of its state directory.

    A write returns when it is on the medium. A missing ledger reads as empty; a write makes it.

    Raises (every method):
        IoFailed: the file cannot be used, or has rows that tailflip did not write.
        CannotCreate: no room, or no directory for the file.
    """

    def __init__(self, workspace: Workspace, guard: str) -> None:
        self._workspace = workspace
        self._guard = guard
        self._database = Database(workspace)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction."""
        if not self._database.exists:
            self._workspace.create()
        with self._database.writing() as db:
            yield db

    def _read(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Read rows; none where there is no ledger, or an older one without that table."""
        if not self._database.exists:
            return []
        with self._database.connected() as db:
            try:
                return db.execute(query, values).fetchall()
            except sqlite3.OperationalError as e:
                # Only a ledger that is read alone is not brought to the present schema.
                if self._workspace.is_read_only and "no such table" in str(e):
                    return []
                raise

    def _parse(self, kind: type[_V], text: str) -> _V:
        """Parse a value from a cell's JSON."""
        with self._expecting_own_rows():
            return kind.model_validate_json(text)

    @contextmanager
    def _expecting_own_rows(self) -> Iterator[None]:
        """Turn errors of parsing rows into `IoFailed`.

        Raises:
            IoFailed: tailflip did not write the row.
        """
        with naming(self._workspace.home.ledger):
            try:
                yield
            except ValidationError as e:
                raise IoFailed("the ledger holds a row that we did not write") from e
