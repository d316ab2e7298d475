"""Parts of answers that tell of session stores, and of what was done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from tailflip.cli.answers.base import Part, taken


class Tally(Part):
    """A name, with its entries and their bytes."""

    name: str
    entries: int
    size_bytes: int = taken("bytes")


class Job(Part):
    """The entries of one cron job; `statuses` counts them, `-` for none."""

    agent: str
    job_id: str = taken("job")
    run_count: int = taken("runs")
    size_bytes: int = taken("bytes")
    first_ms: int | None
    last_ms: int | None
    statuses: dict[str, int] = taken("status")


class Duplicate(Part):
    """Two entries have one key; `offset` is that of the second, in bytes."""

    offset: int


class Survey(Part):
    """One full read of a store; `rules` and the last two fields say what compaction would do."""

    size_bytes: int = taken("bytes")
    entries: int
    digest: str
    wide: bool = Field(description="It has text outside Latin-1.")
    kinds: tuple[Tally, ...]
    running: tuple[Tally, ...] = Field(description='Entries that say "running", by kind.')
    fields: tuple[Tally, ...]
    jobs: tuple[Job, ...]
    jobs_untracked: int = Field(description="Runs of further jobs.")
    duplicate: Duplicate | None
    rules: tuple[Tally, ...]
    entries_after: int
    size_bytes_after: int = taken("bytes_after")


class SurveyedStore(Part):
    """A store, and what fills it."""

    path: Path
    agent: str | None
    survey: Survey


class Table(Part):
    """A table of a database, with its indexes."""

    name: str
    size_bytes: int = taken("bytes")


class Event(Part):
    """One event of a transcript."""

    key: str | None = Field(description="Of its entry; null: no window has its session.")
    session: str
    seq: int
    size_bytes: int = taken("bytes")


class Fill(Part):
    """What fills the file of a database, and what lies beside it."""

    size_bytes: int = taken("bytes")
    free_bytes: int = Field(description="In pages without use.")
    log_bytes: int = Field(description="The write-ahead log beside it.")
    import_bytes: int = Field(description="What it was imported from, beside it.")
    copy_bytes: int = Field(description="Copies from before migrations, beside it.")
    tables: tuple[Table, ...]
    counts_pages: bool = Field(
        description="`tables` are whole pages; else the large columns are summed up."
    )
    events: int
    event_bytes: int
    image_bytes: int = Field(description="Of events with images.")
    biggest: tuple[Event, ...]
    unreadable_events: int
    unreadable: tuple[Event, ...] = Field(description="The first of them.")
    unproven_nodes: int = Field(description="Entries that the gateway has yet to judge.")
    refused_nodes: int = Field(description="Entries not proven; the next start ends at one.")
    contradicting_nodes: int = Field(
        description="Entries found invalid, or of another session than their column says."
    )
    unreadable_nodes: int = Field(description="Entries that are no JSON.")
    unreadable_keys: tuple[str, ...] = Field(description="The first of them.")
    embedding_bytes: int
    usage_bytes: int = Field(description="Sums of use and cost.")
    archive_bytes: int = Field(description="Packed transcripts of removed sessions.")
    cold_bytes: int = Field(description="Packed transcripts of old sessions.")
    closed_windows: int = Field(description="Finished runs below the keys of their jobs.")
    closed_window_bytes: int
    expired_runs: int = Field(description="What the gateway's clean-up would remove now.")
    expired_bytes: int = Field(description="Their transcripts.")
    expired_packed_bytes: int = Field(
        description="The same as the clean-up packs it; an estimate where that is near its limit."
    )


class InspectedStore(SurveyedStore):
    """A store, and what fills it; `fill` is of databases alone."""

    fill: Fill | None


class SizedStore(Part):
    """A store and its size; null: the file is missing."""

    path: Path = taken("store.path")
    agent: str | None = taken("store.agent_id")
    size_bytes: int | None


class KeptFile(Part):
    """A store that tailflip leaves alone: a gateway has it on record, or may have."""

    path: Path
    reason: str
    hint: str
    waits: bool = Field(description="Its import waits for `plugins`.")
    plugins: tuple[str, ...]
    is_changed: bool
    is_unknown: bool
    undo_action_id: str | None = taken("undo")


class FileKind(Part):
    """The files of one kind."""

    name: str
    file_count: int = taken("files")
    size_bytes: int = taken("bytes")


class Folder(Part):
    """A folder of transcripts."""

    path: Path
    kinds: tuple[FileKind, ...]


def _split(pairs: tuple[tuple[str, int], ...]) -> list[dict[str, object]]:
    return [{"kind": kind, "older_than_ms": age_ms} for kind, age_ms in pairs]


class DroppedKind(Part):
    """Finished entries of a kind that a person named, and the age from which on they go."""

    kind: str
    older_than_ms: int


class Policy(Part):
    """The rules of a compaction; lengths of time, null for a rule that is off."""

    slim: bool
    slim_idle_ms: int | None
    retire: bool
    retention_ms: int | None
    max_lifetime_ms: int | None
    single_flight: bool
    cap_per_job: int | None
    cap_total: int | None
    drop_kinds: Annotated[tuple[DroppedKind, ...], BeforeValidator(_split)]


class Candidate(Part):
    """A file that a damaged store can be rebuilt from."""

    path: Path
    modified_ms: int
    size_bytes: int
    damage: str | None
    entries: int = taken("written.entries")
    entries_left: int = taken("left", "Entries that are left behind, at least.")
    lost_bytes: int


class Salvage(Part):
    """How a damaged store can be rebuilt; `best` is taken."""

    store: Path
    candidates: tuple[Candidate, ...]
    best: Candidate


class Report(Part):
    """What was done to one store, and how to undo it."""

    action_id: str
    kind: str
    store: str
    entries_before: int
    entries_after: int
    entries_left: int
    size_bytes_before: int = taken("bytes_before")
    size_bytes_after: int = taken("bytes_after")
    rules: tuple[Tally, ...]
    archive: str | None
    archive_bytes: int
    transcript_count: int = taken("transcripts")
    took_s: float
    lock_held_s: float
    undo: str | None = Field(description="The command that undoes it.")
    warnings: tuple[str, ...]


class SlimmedTranscript(Part):
    """A transcript as it is and would be, or is now if there is a `report`."""

    path: Path
    size_bytes_before: int = taken("numbers.bytes")
    size_bytes_after: int = taken("numbers.bytes_after")
    image_count: int = taken("numbers.images")
    result_count: int = taken("numbers.results")
    unread_line_count: int = taken("numbers.unread", "Old lines that stay: they do not read.")
    refusal: str | None = taken("why", "Why it may not be changed now.")
    report: Report | None = taken("done")


class UnslimmedTranscript(Part):
    """A transcript that gets its old lines back; `appended_bytes` were written since, and stay."""

    path: Path
    action_id: str
    line_count: int = taken("lines")
    appended_bytes: int = taken("appended")
    size_bytes_before: int = taken("bytes_before")
    size_bytes_after: int = taken("bytes_after")


class Action(Part):
    """One change, and how far it got."""

    id: str
    kind: str
    store: str
    state: str = Field(description="intended, archived, committed, done, undone or expired")
    created_ms: int


class KeptTranscripts(Part):
    """The transcripts that are kept with an action."""

    folder: Path | None
    file_count: int = taken("files")
    size_bytes: int = taken("bytes")


class Rewrite(Part):
    """What an action took out of a store; `records` are the archived entries."""

    entries_before: int
    size_bytes_before: int = taken("bytes_before")
    entries_after: int = taken("rewrite.entries")
    size_bytes_after: int = taken("rewrite.bytes")
    rules: tuple[Tally, ...] = taken("rewrite.rules")
    records: int = taken("rewrite.records")
    archive_bytes: int = taken("rewrite.archive_bytes")


class ArchivedAction(Part):
    """An action, with what is kept of it."""

    id: str = taken("action.id")
    kind: str = taken("action.kind")
    store: str = taken("action.store")
    state: str = taken("action.state")
    created_ms: int = taken("action.created_ms")
    changed_count: int | None = taken("changed", "Jobs or tasks that it changed.")
    damage: str | None
    rewrite: Rewrite | None = taken("rewritten")
    transcripts: KeptTranscripts | None = taken("kept")


class VerifiedArchive(Part):
    """An archive that was read whole."""

    action_id: str
    records: int
    size_bytes: int = taken("raw_bytes", "The entries, not compressed.")
    archive_bytes: int
    digest: str


class CausingJob(Part):
    """A job that filled a store, and will fill it again."""

    job_id: str | None
    title: str
    run_count: int


class Damaged(Part):
    """An archive that was passed over, and the number of its entries that can be read."""

    action_id: str = taken("action")
    message: str
    readable: int
