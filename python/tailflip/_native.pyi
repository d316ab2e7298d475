"""Typed face of the Rust extension: bytes in, bytes out, and numbers back.

No function opens, renames or deletes a file. Each runs with the GIL released for
its whole length, reads with `pread` from offset 0 whatever the descriptor's
position, and returns a JSON text whose model is named in its docstring
(`tailflip.flow`). Errors are raised as `StoreInvalid` (the store's bytes are not
what they must be), `OSError` (with errno) or `Cancelled`.
"""

from typing import Self, final

__all__ = [
    "ArchiveReader",
    "Cancelled",
    "Control",
    "Evidence",
    "Policy",
    "StoreInvalid",
    "Survey",
    "archive_verify",
    "features",
    "list_entries",
    "referenced_sessions",
    "restore",
    "rewrite",
    "salvage",
    "survey",
    "verify",
]

class StoreInvalid(Exception):
    """The store is not what it must be. `args` is (kind: str, offset_bytes: int)."""

class Cancelled(Exception):
    """`Control.cancel` was called; nothing was completed."""

@final
class Control:
    """Progress and cancellation, shared with a running call from another thread."""

    def __new__(cls) -> Self: ...
    def cancel(self) -> None: ...
    @property
    def done_bytes(self) -> int: ...

@final
class Evidence:
    """What is known about single entries; bounded, so `add_*` may say no."""

    def __new__(cls) -> Self: ...
    def add_over(self, key: str, status: str, ended_at_ms: int, runtime_ms: int) -> bool:
        """Record that the run under `key` ended; False when the table is full (65,536)."""

    def add_over_session(
        self, key: str, session_id: str, status: str, ended_at_ms: int, runtime_ms: int
    ) -> bool:
        """Record that one session's run ended, under a key that others use after it.

        Only an entry of that key which still has that `sessionId` is ended.
        """

    def add_live_session(self, session_id: str) -> bool:
        """Record proof of life: no entry with this sessionId is touched at all."""

    def add_protected_key(self, key: str) -> bool:
        """Never touch the entry under this key."""

    def add_dropped_key(self, key: str) -> bool:
        """The user named this key: drop it, whatever its kind (proof of life still wins)."""

@final
class Policy:
    """The compiled policy; `None` turns a rule off. Times in ms since the epoch."""

    def __new__(
        cls,
        *,
        now_ms: int,
        slim_runs: bool,
        slim_idle_ms: int | None,
        retire: bool,
        retention_ms: int | None,
        max_lifetime_ms: int | None,
        single_flight: bool,
        cap_per_job: int | None,
        cap_total: int | None,
        owner_died_before_ms: int | None,
    ) -> Self: ...

@final
class Survey:
    """One measured store: numbers as JSON, and the thresholds that `rewrite` needs."""

    @property
    def json(self) -> str:
        """Text of `flow.SurveyNumbers`."""

def features() -> str:
    """Name the engine's kernel, such as `avx2`, and its version."""

def survey(fd: int, policy: Policy, evidence: Evidence, control: Control) -> Survey:
    """Measure and judge a store; raises `StoreInvalid`."""

def rewrite(
    fd_in: int,
    fd_out: int,
    fd_archive: int,
    policy: Policy,
    evidence: Evidence,
    survey: Survey,
    control: Control,
) -> str:
    """Write the store the policy leaves to `fd_out`, and what goes to `fd_archive` (zstd).

    The archive is read back through the same descriptor, decompressed and compared, while it
    is written. Returns the text of `flow.RewriteNumbers`. Raises `StoreInvalid("changed", 0)`
    when the bytes read are not those that were surveyed, `StoreInvalid("archive", 0)` when
    the archive does not read back as it was written.
    """

def verify(fd: int, control: Control) -> str:
    """Read a store whole and validate it; text of `flow.VerifyNumbers`."""

def list_entries(fd_in: int, fd_out: int, control: Control) -> int:
    """Write one line of JSON (`flow.ListedEntry`) for each entry that evidence may judge.

    These are cron runs, base entries, sub-agents, and whatever says "running"; entries
    with odd fields are left out. Returns the number of lines.
    """

def salvage(fd_in: int, fd_out: int, control: Control) -> str:
    """Write every entry that is proven; text of `flow.SalvageNumbers`.

    `fd_out` -1 only measures.
    """

def archive_verify(fd: int, control: Control) -> str:
    """Read an archive whole; text of `flow.ArchiveNumbers`; raises `StoreInvalid`."""

@final
class ArchiveReader:
    """Streams the header lines of an archive."""

    def __new__(cls, fd: int) -> Self: ...
    def next_headers(self, limit: int) -> list[str]:
        """Return up to `limit` headers (texts of `flow.RecordHeader`); empty at the end."""

def restore(
    fd_store: int, fd_out: int, fd_archive: int, selection: str, skip: int, control: Control
) -> str:
    """Write the store with archived entries put back; text of `flow.RestoreNumbers`.

    `selection` is the text of `flow.Selection`; `skip` the number of selected
    records already handled by earlier calls (at most 262,144 a call). `fd_out` -1
    only measures.
    """

def referenced_sessions(fd: int, session_ids: list[str], control: Control) -> list[bool]:
    """Say for each id whether an entry of the store still has it as `sessionId` or file."""
