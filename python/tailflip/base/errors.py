"""The errors of tailflip, each class with its exit code.

    TailflipError
    ├── Usage            64  bad arguments
    ├── StoreInvalid     65  the store is not valid, or of a kind we do not touch; bytes intact
    │   ├── OnRecord         a gateway has the file on record, or may have
    │   └── ArchiveDamaged   an archive is not what was written
    ├── Unavailable      69  a service we need cannot be reached
    ├── InternalError    70  a bug of ours, or a panic in the extension
    ├── CannotCreate     73  no room for archive and new store, or no state directory
    ├── IoFailed         74  a read or write failed; the original is in place
    ├── TryLater         75  lock held, gateway running, store changed under us (retry helps)
    ├── NoPermission     77  permission
    ├── ConfigInvalid    78  configuration: key path, rule, value found
    └── Interrupted     130  Ctrl-C ended the verb; every store is wholly old or wholly new
        └── Terminated      SIGTERM (143) ended it

`TryLater` alone sets `retry`: trying again may help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class TailflipError(Exception):
    """An error a person can act on: one line, and a hint with the next step."""

    exit_code = 70
    retry = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Usage(TailflipError):
    """Bad arguments."""

    exit_code = 64


class StoreInvalid(TailflipError):
    """The store is not valid, or of a kind we do not touch. Its bytes are intact."""

    exit_code = 65


class OnRecord(StoreInvalid):
    """A gateway has the file on record, or may have: tailflip does not write it."""


class ArchiveDamaged(StoreInvalid):
    """An archive is not what was written; the store was not touched."""


class Unavailable(TailflipError):
    """A service we need cannot be reached."""

    exit_code = 69


class InternalError(TailflipError):
    """A bug of ours."""

    exit_code = 70


class CannotCreate(TailflipError):
    """No room for archive and new store, or no state directory."""

    exit_code = 73


class IoFailed(TailflipError):
    """A read or write failed; the original is in place."""

    exit_code = 74


class TryLater(TailflipError):
    """Lock held, gateway busy, or the store changed under us."""

    exit_code = 75
    retry = True


class StoreChanged(TryLater):
    """The store is no longer the one that was read; a fresh attempt may succeed at once."""


class NoPermission(TailflipError):
    """Permission denied."""

    exit_code = 77


class ConfigInvalid(TailflipError):
    """A configuration value is wrong; `problems` are the mistakes, where there are several."""

    exit_code = 78
    problems: tuple[str, ...] = ()

    @classmethod
    def listing(cls, problems: Iterable[str], *, hint: str | None = None) -> ConfigInvalid:
        """Make the error of several mistakes; each is one line where people read it."""
        found = tuple(problems)
        error = cls("; ".join(found), hint=hint)
        error.problems = found
        return error


class Interrupted(TailflipError):
    """Ctrl-C ended the verb; every store is wholly old or wholly new."""

    exit_code = 130


class Terminated(Interrupted):
    """SIGTERM ended the verb; every store is wholly old or wholly new."""

    exit_code = 143
