"""What the tables have in common: rows of one gateway, read and written one transaction a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import IoFailed
from tailflip.flow.values import Value
from tailflip.ledger.database import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from tailflip.base.workspace import Workspace

_V = TypeVar("_V", bound=Value)


class Table:
    """The rows of one gateway; `guard` is the real path of its state directory.

    A write returns only when it is on the medium. A ledger that is not there reads as empty;
    a write makes it.

    Raises (every method):
        IoFailed: the file cannot be used, or holds what we did not write.
        CannotCreate: no room, or no directory to make it in.
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
        """Read rows; none where nothing was ever recorded."""
        if not self._database.exists:
            return []
        with self._database.connected() as db:
            return db.execute(query, values).fetchall()

    def _parse(self, kind: type[_V], text: str) -> _V:
        """Read a value that a cell holds as JSON."""
        with self._expecting_own_rows():
            return kind.model_validate_json(text)

    @contextmanager
    def _expecting_own_rows(self) -> Iterator[None]:
        """Make values of rows.

        Raises:
            IoFailed: a row is not one that we wrote.
        """
        with naming(self._workspace.home.ledger):
            try:
                yield
            except ValidationError as e:
                raise IoFailed("the ledger holds a row that we did not write") from e
