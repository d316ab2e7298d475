"""The engine's numbers of a store: counts, bytes and digests of a survey, rewrite or read."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tailflip.flow.values import Value


class Tally(Value):
    """A name with its counts of entries and bytes (native)."""

    name: str
    entries: int
    bytes: int


class JobNumbers(Value):
    """The entries of one cron job in the store (native). `status` counts by value, `-` for none."""

    agent: str
    job: str
    runs: int
    bytes: int
    first_ms: int | None
    last_ms: int | None
    status: dict[str, int]


class Duplicate(Value):
    """Two entries with the same key: the byte offset of the second (native)."""

    offset: int


class SurveyNumbers(Value):
    """One full read of a store (native). `rules` says what the policy would do, or the repairs.

    `kinds` and `fields` are sorted by bytes. `running` counts by kind the entries that say
    "running". `fields` sums the top-level fields of all entries. `wide`: the store has text
    outside Latin-1 (V8 then needs two bytes a character). `entries_after` and `bytes_after`
    forecast the rewrite; in `rules`, `bytes` is what leaves the store. `row_bytes`: what a gateway
    loads of a database's rows, now and after the rewrite; None for a file that it loads whole.
    """

    bytes: int
    entries: int
    digest: str
    wide: bool
    kinds: tuple[Tally, ...]
    running: tuple[Tally, ...] = ()
    fields: tuple[Tally, ...]
    jobs: tuple[JobNumbers, ...]
    jobs_untracked: int
    duplicate: Duplicate | None
    rules: tuple[Tally, ...]
    entries_after: int
    bytes_after: int
    row_bytes: tuple[int, int] | None = None

    @property
    def is_bound(self) -> bool:
        """Say whether `bytes_after` is the most that may be left: pages are freed as a whole."""
        return self.row_bytes is not None

    @property
    def loaded_bytes(self) -> int:
        """What a gateway loads of the store."""
        return self.bytes if self.row_bytes is None else self.row_bytes[0]

    @property
    def loaded_bytes_after(self) -> int:
        """What a gateway will load of the store that the policy leaves."""
        return self.bytes_after if self.row_bytes is None else self.row_bytes[1]


class RowNumbers(Value):
    """The numbers of a database's rows, and of those that a policy leaves (native)."""

    bytes: int
    entries: int
    kinds: tuple[Tally, ...]
    running: tuple[Tally, ...]
    jobs: tuple[JobNumbers, ...]
    jobs_untracked: int
    rules: tuple[Tally, ...]
    entries_after: int
    bytes_after: int


class Measured(Protocol):
    """A store that an engine has surveyed; the engine may keep more for the rewrite."""

    @property
    def numbers(self) -> SurveyNumbers:
        """The numbers of the survey."""


class RewriteNumbers(Value):
    """The numbers of a rewrite (native). Digests are in hex.

    `digest` is the XXH3-128 of the whole new store, `kept_digest` the BLAKE3 over those of
    its entries, without separators; `archive_digest` is BLAKE3.
    """

    bytes: int
    entries: int
    digest: str
    kept_digest: str
    rules: tuple[Tally, ...]
    records: int
    archive_bytes: int
    archive_digest: str


class VerifyNumbers(Value):
    """The numbers of a full validating read (native); digests as in `RewriteNumbers`."""

    bytes: int
    entries: int
    digest: str
    kept_digest: str

    @classmethod
    def of(cls, written: RewriteNumbers | SalvageNumbers | RestoreNumbers) -> VerifyNumbers:
        """Compute the numbers that a full read of the written store must find."""
        return cls(
            bytes=written.bytes,
            entries=written.entries,
            digest=written.digest,
            kept_digest=written.kept_digest,
        )


ToldEnd = tuple[str, int, int, bool]  # status, end, length, whether its line names the session


class ListedEntry(NamedTuple):  # fast to make: there may be millions
    """One entry that evidence may judge (native); missing texts are empty.

    `kind` is a `Tally` name of `SurveyNumbers.kinds`, `status` `-` for none. `is_current`: the
    job's base entry still names this session; None without a base entry. `ends` are from the run
    logs and the task ledger, in this order: status, end, length, and whether the line names the
    session; if not, the line was found by job and time. `written_ms` is when its transcript was
    written last, where the store itself says so.
    """

    key: str
    kind: str
    agent: str
    job: str
    session: str
    file: str
    updated_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    status: str
    bytes: int
    is_current: bool | None = None
    ends: tuple[ToldEnd | None, ToldEnd | None] = (None, None)
    written_ms: int | None = None


class SalvageNumbers(Value):
    """The numbers of a salvage from a damaged store (native).

    `damage` is the error kind at byte `offset`; `bytes` and `digest` are of the salvaged store.
    At least `left` entries were left behind, in `gap_count` places with `lost_bytes` in all;
    `gaps` has the first places. `unsure` is the offset of what may be a whole entry and is not
    proven; None: all that was left behind is damaged. `cut`: the store has no end. `blank`: the
    store has NUL and white space alone.
    """

    entries: int
    bytes: int
    digest: str
    kept_digest: str
    damage: str
    offset: int
    left: int
    lost_bytes: int
    gaps: tuple[tuple[int, int], ...]
    gap_count: int
    unsure: int | None
    cut: bool
    blank: bool


class RecordHeader(Value):
    """One archived entry (native). `bytes` raw bytes follow the header line.

    Of these, `lead` bytes before and `trail` bytes after the member are the
    separators that left with it. `after` is None for a removed entry, else the
    BLAKE3 of the member as it stays in the store. `at` is the original offset.
    """

    key: str
    rule: str
    time_ms: int
    at: int
    bytes: int
    lead: int
    trail: int
    session: str | None
    file: str | None
    job: str | None
    after: str | None
    after_bytes: int


class KeptEntry(NamedTuple):
    """A node that was archived as it is, and by what its gateway knows it again.

    `at` is its row id, `bytes` what the archive holds of it. `revision` is the gateway's own
    counter of its life, where it has one.
    """

    key: str
    at: int
    session: str
    updated_ms: int
    status: str | None
    revision: str | None
    bytes: int

    @property
    def job(self) -> str | None:
        """The cron job of a run, from its key: `agent:ID:cron:JOB:run:SESSION`."""
        agent, _, cron, job, *_ = (*self.key.split(":"), "", "", "")
        return job if (agent, cron) == ("agent", "cron") else None


class ArchiveNumbers(Value):
    """The numbers of a whole archive, read and checked (native)."""

    records: int
    raw_bytes: int
    archive_bytes: int
    digest: str


class Selection(Value):
    """The archived entries to put back: all, or these keys, or these jobs' (native)."""

    all: bool = False
    keys: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


class RestoreNumbers(Value):
    """The numbers of a restore (native). `conflicts` counts keys that live again, changed.

    `unchanged` entries were already in the store as archived.
    """

    added: int
    replaced: int
    unchanged: int
    conflicts: int
    conflict_keys: tuple[str, ...]
    bytes: int
    entries: int
    digest: str
    kept_digest: str


class SlimNumbers(Value):
    """What a transcript is and becomes without its old images and long tool results (native).

    `border` is where the last three completed turns begin: nothing from there on is touched; None
    where nothing is old. `lines` change, by `images` replaced and `results` cut. `unread` old lines
    do not read with certainty, and stay. A measurement has no digests.
    """

    bytes: int
    bytes_after: int
    border: int | None
    lines: int
    images: int
    results: int
    image_bytes: int
    unread: int
    digest: str
    digest_after: str
    archive_bytes: int
    archive_digest: str

    @property
    def saves(self) -> bool:
        """Say whether the transcript becomes smaller."""
        return self.bytes_after < self.bytes


class UnslimNumbers(Value):
    """A transcript and its archive put together (native): the original, of `bytes` with `digest`.

    `digest_after` is of the slimmed bytes that were read for it; `appended` bytes follow these.
    """

    bytes: int
    digest: str
    digest_after: str
    appended: int
    lines: int
