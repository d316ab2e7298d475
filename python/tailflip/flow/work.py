"""What a gateway works on: a turn of a session, or a run of a cron job."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from tailflip.flow.values import Value


class WorkKind(StrEnum):
    """The kind of a work: a cron job, one that runs once included, or a session."""

    JOB = "job"
    SESSION = "session"


class Work(Value):
    """One work. `key` is a job's id, or a session's name as `name_session` makes it.

    `job` is the job that works in this session, where it has no session of its own.
    """

    kind: WorkKind
    key: str
    job: str | None = None

    @property
    def name(self) -> tuple[WorkKind, str]:
        """The name by which a work is the same at two moments."""
        return self.kind, self.key

    @property
    def words(self) -> str:
        """Name it for people."""
        return f"{self.kind} {self.key}"


class Killer(Value):
    """A work that was in flight at the last deaths in a row: at `deaths` of them."""

    work: Work
    deaths: int


def name_session(key: str) -> str:
    """Name a session without the numbers and names of people that its key may hold.

    The name of an agent's main session is its key. Of others it is the beginning, and a digest.
    """
    parts = key.split(":")
    if parts[0] == "agent" and parts[2:] == ["main"]:
        return key
    shown = [*parts[:2], *(each for each in parts[2:4] if each.isalpha())]
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=4).hexdigest()
    return f"{':'.join(shown)}:~{digest}"
