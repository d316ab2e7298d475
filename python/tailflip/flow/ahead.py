"""What an installation will meet in another release of OpenClaw, before anybody goes there."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.flow.outcomes import Forecast


class Meets(StrEnum):
    """The kinds of things to meet; the texts are part of the interface."""

    UNLISTED = "release-unlisted"
    NODE = "node-unfit"
    NODE_UNKNOWN = "node-unknown"
    SCHEMA_NEWER = "schema-newer"
    SCHEMA_MIGRATED = "schema-migrated"
    SCHEMA_UNKNOWN = "schema-unknown"
    SESSIONS_LEFT = "sessions-left-behind"
    RECORDS_LEFT = "records-left-behind"
    RECORDS_MOVED = "records-moved"
    BESIDE_DATABASE = "store-beside-database"
    IMPORT_REFUSED = "import-refused"
    IMPORT = "import"
    STORE_TOO_LONG = "store-too-long"
    STORE_INVALID = "store-not-importable"
    HEAP = "heap-too-small"
    STOP_BUDGET = "stop-budget"
    READ_ONLY = "read-only"
    PREFLIGHT = "preflight-command"


@dataclass(frozen=True)
class Meeting:
    """One thing to meet: what happens there, and what to do; `is_grave` stands in the way."""

    kind: Meets
    is_grave: bool
    says: str
    step: str = ""


@dataclass(frozen=True)
class Ahead:
    """All that is ahead. The facts are those of `judged_as`, which is `release` if `is_listed`.

    `forecast` is of loading or importing the stores there; None where there are none.
    `can_compact`: tailflip compacts the sessions of that release.
    """

    release: str
    judged_as: str
    is_listed: bool
    meetings: tuple[Meeting, ...]
    forecast: Forecast | None
    can_compact: bool

    @property
    def grave(self) -> tuple[Meeting, ...]:
        """What stands in the way."""
        return tuple(each for each in self.meetings if each.is_grave)

    @property
    def is_clear(self) -> bool:
        """Say whether nothing stands in the way."""
        return not self.grave
