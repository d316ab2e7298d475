"""Typed face of the Rust extension: bytes in, bytes out, and numbers back.

No function opens, renames or deletes a file. Each runs with the GIL released for
its whole length, reads with `pread` from offset 0 whatever the descriptor's
position, and returns a JSON text whose model is named in its docstring
(`tailflip.flow`). Errors are raised as `StoreInvalid` (the store's bytes are not
what they must be), `OSError` (with errno) or `Cancelled`.
"""

from typing import Final, Self, TypeAlias, final

__all__ = [
    "DROP_KINDS",
    "ERROR_KINDS",
    "KEY_KINDS",
    "MAX_CAP_PER_JOB",
    "MAX_CAP_TOTAL",
    "MAX_DEPTH",
    "MAX_JOBS",
    "MAX_KEY_BYTES",
    "MAX_MENTIONS",
    "MAX_MENTION_BYTES",
    "MAX_NAMED",
    "MAX_ROWS",
    "MIN_MENTION_BYTES",
    "OVERRIDES",
    "RULES",
    "STATUSES",
    "ArchiveReader",
    "ArchiveWriter",
    "Cancelled",
    "Control",
    "Ends",
    "Evidence",
    "Joined",
    "Ledgers",
    "Mentions",
    "Policy",
    "RowJudge",
    "Scratch",
    "Sessions",
    "Starts",
    "StoreInvalid",
    "Survey",
    "archive_verify",
    "compare",
    "features",
    "list_entries",
    "restore",
    "rewrite",
    "salvage",
    "survey",
    "transcript_digest",
    "transcript_measure",
    "transcript_slim",
    "transcript_unslim",
    "verify",
]

DROP_KINDS: Final[tuple[str, ...]]
"""Kinds of entry that a person may name as a whole, as `Policy` takes them."""
ERROR_KINDS: Final[tuple[str, ...]]
"""Every kind of `StoreInvalid`."""
KEY_KINDS: Final[tuple[str, ...]]
"""What a session key may be for, as `flow.numbers.Tally` names it."""
RULES: Final[tuple[str, ...]]
"""Why an entry may be changed or removed, from the least lossy to the most."""
STATUSES: Final[tuple[str, ...]]
"""What an entry's `status` is read as: `-` for none, `other` for anything unknown."""

OVERRIDES: Final[tuple[str, ...]]
"""Fields of an entry that a person may have set."""

MAX_CAP_PER_JOB: Final[int]
"""The largest `Policy.cap_per_job`."""
MAX_CAP_TOTAL: Final[int]
"""The largest `Policy.cap_total`."""
MAX_DEPTH: Final[int]
"""Levels of nesting that a store may have."""
MAX_JOBS: Final[int]
"""Cron jobs that are told apart in one store; single flight and caps leave others alone."""
MAX_KEY_BYTES: Final[int]
"""The longest key and session id that is looked at; an entry with a longer one is kept."""
MAX_MENTIONS: Final[int]
"""Names that `Mentions` takes."""
MAX_MENTION_BYTES: Final[int]
"""The longest name that `Mentions` takes."""
MIN_MENTION_BYTES: Final[int]
"""The shortest name that `Mentions` takes."""
MAX_NAMED: Final[int]
"""Live sessions, protected keys and dropped keys that `Evidence` takes, of each."""
MAX_ROWS: Final[int]
"""Rows that `RowJudge` takes at once."""

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
class Scratch:
    """A file without a name, for what does not fit into a table's memory; duplicates `fd`.

    -1 for none: a table then takes 16,384 records and raises OSError (ENOSPC).
    """

    def __new__(cls, fd: int) -> Self: ...

@final
class Ends:
    """How runs ended, any number of them in constant memory; of one run the latest end counts.

    Takes no more once anything was looked up.
    """

    def __new__(cls, scratch: Scratch) -> Self: ...
    def add(
        self, key: str, session_id: str | None, status: str, ended_at_ms: int, runtime_ms: int
    ) -> None:
        """Record that the run under `key` ended.

        With `session_id`, only an entry of that key which still has that `sessionId` is ended.
        """

    def keep(self, session_id: str) -> None:
        """Record proof of life: no entry with this `sessionId` is touched at all."""

    def is_kept(self, session_id: str) -> bool:
        """Say whether a session is kept."""

    def find(self, key: str, session_id: str | None) -> tuple[str, int, int] | None:
        """Find status, end and length of a run."""

@final
class Ledgers:
    """Lines of run logs (ledger 0) and the task ledger (1), any number in constant memory."""

    def __new__(cls, scratch: Scratch) -> Self: ...
    def add(
        self,
        ledger: int,
        job_id: str,
        key: str | None,
        session_id: str,
        status: str,
        started_ms: int,
        ended_ms: int,
    ) -> None:
        """Record one line; without `key` it is matched by job and time."""

    def look_ahead(self, fd: int, control: Control) -> Joined:
        """Read a store once, and find out whom lines without a key are about; takes all lines."""

@final
class Joined:
    """What the ledgers know of one store's entries, for `list_entries`."""

@final
class Starts:
    """When the runs of each job began, any number of them in constant memory."""

    def __new__(cls, seed: int, scratch: Scratch) -> Self: ...
    def add(self, job_id: str, at_ms: int) -> None:
        """Record one start."""

    def gather(self, fd: int, since_ms: int, control: Control) -> None:
        """Record the starts, later than `since_ms`, of all cron runs of a store."""

    def hash(self, job_id: str) -> int:
        """Return what a job is known by in `next`; the same wherever the seed is."""

    def name(self, job_hash: int) -> str | None:
        """Return a job's id, if it was among the first 4,096."""

    def next(self, limit: int) -> list[tuple[int, int]]:
        """Return up to `limit` more starts, by job and time; empty at the end. Takes no more."""

@final
class Sessions:
    """The sessions that entries of a store have, as `sessionId` or in `sessionFile`."""

    def __new__(cls, fd: int, scratch: Scratch, control: Control) -> Self: ...
    def has(self, session_id: str) -> bool:
        """Say whether an entry has it."""

@final
class Mentions:
    """Which of some names occur in any byte of files and texts, in any case of letters.

    An escape of JSON hides no name, however deep the texts in texts are. A name inside a longer
    word occurs too. Memory depends on the names alone.
    """

    def __new__(cls, names: list[str]) -> Self:
        """Raises ValueError for a name that cannot be asked for, or too many."""

    def scan(self, fd: int, control: Control) -> int:
        """Read a file whole; returns how many bytes it has."""

    def begin(self) -> None:
        """Begin another text: no name goes on from one text into the next."""

    def feed(self, text: bytes) -> None:
        """Read the next bytes of a text."""

    def found(self) -> list[int]:
        """Return the places of the names that occurred so far, as they were given."""

@final
class Evidence:
    """What is known about single entries; bounded, so `add_*` may say no."""

    def __new__(cls, ends: Ends | None) -> Self: ...
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
        drop_kinds: list[tuple[str, int]],
        owner_died_before_ms: int | None,
        knows_ends: bool,
    ) -> Self:
        """Raises ValueError for a cap or a kind that is not one; see the constants."""

@final
class Survey:
    """One measured store: numbers as JSON, and the thresholds that `rewrite` needs."""

    @property
    def json(self) -> str:
        """Text of `flow.SurveyNumbers`."""

# Key, session, updated, started and ended in ms, status, has an override, is odd (a column does
# not hold what it should), bytes of the fields that the gateway rebuilds, bytes in all.
_Row: TypeAlias = tuple[
    str,
    str | None,
    int | None,
    int | None,
    int | None,
    str | None,
    bool,
    bool,
    int,
    int,
]

@final
class RowJudge:
    """Judges the rows of a database as `survey` and `rewrite` judge the entries of a store.

    Two passes over the same rows in the same order, best in one read transaction, in lists of
    at most `MAX_ROWS`. The kind and the job of a row are told from its key. Memory is that of
    a survey's tables, whatever the number of rows.
    """

    def __new__(cls, policy: Policy, evidence: Evidence) -> Self: ...
    def offer(self, rows: list[_Row]) -> None:
        """Take the next rows of the first pass; ValueError once `judge` was called."""

    def judge(self, rows: list[_Row]) -> list[tuple[str, str, tuple[str, int, int] | None] | None]:
        """Say what becomes of the next rows of the second pass; None for those that stay.

        Others get `drop` or `edit`, the rule as the archive names it (an edit's is `slim`,
        `retire` or `retire+slim`), and the end to set: status, end and length in ms.
        """

    def finish(self) -> str:
        """Return the text of `flow.numbers.RowNumbers`.

        Raises `StoreInvalid("changed", 0)` when the rows judged are not those that were offered.
        """

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

def list_entries(fd_in: int, fd_out: int, joined: Joined | None, control: Control) -> int:
    """Write one line of JSON (an array: `flow.ListedEntry`) for each entry to be judged.

    These are cron runs, base entries, sub-agents, and whatever says "running"; entries
    with odd fields are left out. Returns the number of lines.
    """

def salvage(fd_in: int, fd_out: int, control: Control) -> str:
    """Write every entry that is proven; text of `flow.SalvageNumbers`.

    `fd_out` -1 only measures.
    """

def archive_verify(fd: int, control: Control) -> str:
    """Read an archive whole; text of `flow.ArchiveNumbers`; raises `StoreInvalid`."""

def compare(fd: int, fd_other: int, control: Control) -> tuple[int, str, bool]:
    """Read a file whole: its bytes, their BLAKE3, and whether another file begins with them.

    `fd_other` -1 only digests.
    """

@final
class ArchiveReader:
    """Streams the header lines of an archive."""

    def __new__(cls, fd: int) -> Self: ...
    def next_headers(self, limit: int) -> list[str]:
        """Return up to `limit` headers (texts of `flow.RecordHeader`); empty at the end."""

    def read(self, most: int) -> bytes:
        """Return the next bytes of the record whose header was returned last; empty at its end."""

@final
class ArchiveWriter:
    """Writes an archive record by record to `fd`, which must be empty.

    Raises OSError (EINVAL) for a record with more or fewer bytes than its header says.
    """

    def __new__(cls, fd: int) -> Self: ...
    def begin(self, header: str) -> None:
        """Begin a record: text of `flow.RecordHeader`, which says how many bytes follow."""

    def write(self, raw: bytes) -> None:
        """Write more bytes of the record."""

    def finish(self) -> str:
        """End the archive; text of `flow.ArchiveNumbers`."""

def restore(
    fd_store: int, fd_out: int, fd_archive: int, selection: str, scratch: Scratch, control: Control
) -> str:
    """Write the store with archived entries put back; text of `flow.RestoreNumbers`.

    `selection` is the text of `flow.Selection`. `fd_out` -1 only measures.
    """

def transcript_digest(fd: int, start: int, end: int, control: Control) -> str:
    """Return the XXH3-128 of these bytes in hex.

    Raises `StoreInvalid("changed", 0)` if the file ends before.
    """

def transcript_measure(fd: int, name: str, control: Control) -> str:
    """Tell what slimming a transcript would do; text of `flow.SlimNumbers` without digests.

    `name` is that of the archive, as the cut texts tell it.
    """

def transcript_slim(
    fd_in: int, fd_out: int, fd_archive: int, name: str, now_ms: int, control: Control
) -> str:
    """Write a transcript without old images and long old tool results; text of `flow.SlimNumbers`.

    Every line that changes goes whole to `fd_archive` (zstd). Both files must be empty.
    """

def transcript_unslim(
    fd_in: int,
    slim_bytes: int,
    fd_out: int,
    fd_archive: int,
    fd_original: int,
    name: str,
    control: Control,
) -> str:
    """Write a transcript as it was before it was slimmed; text of `flow.UnslimNumbers`.

    `slim_bytes` is the size of the slimmed one as it was written; what follows is kept. `fd_out`
    -1 only measures. With `fd_original`, each changed line is compared with it: it differs as the
    rules say. Raises `StoreInvalid("archive", 0)` when the files do not belong together.
    """
