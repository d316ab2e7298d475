"""Parts of answers that tell of a gateway: how it runs, lives, dies and is guarded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tailflip.cli.answers.base import Answer, Part, taken


class Gateway(Part):
    """A gateway's process. `alive` null: it is unknown. `in_the_way`: its port or lock is held."""

    alive: bool | None
    pid: int | None
    started_ms: int | None
    reason: str = taken("evidence", "How it is known.")
    in_the_way: bool


class Forecast(Part):
    """The heap that loading the stores takes, against the limit; null: no limit was found."""

    heap_bytes: int
    limit_bytes: int | None
    limit_known: bool = Field(description="False: the limit may be another gateway's.")
    source: str = Field(description="Where the limit is from.")
    factor: float = Field(description="Bytes of heap for each byte of the stores.")
    base_bytes: int = Field(description="The heap without any store.")
    margin: float = Field(description="The share of the limit that may be used.")
    measured: bool = Field(description="The factor was measured on this very release.")
    release_known: bool


class Meeting(Part):
    """One thing to meet in another release; `is_grave`: it stands in the way."""

    kind: str
    is_grave: bool
    says: str
    step: str = Field(description="What to do; empty for nothing.")


class Ahead(Part):
    """What the installation will meet in a release; the facts are those of `judged_as`."""

    release: str
    judged_as: str
    is_listed: bool = Field(description="False: the release is not in the catalogue.")
    is_clear: bool = Field(description="Nothing stands in the way.")
    meetings: tuple[Meeting, ...]
    forecast: Forecast | None = Field(description="Of loading or importing the stores there.")
    can_compact: bool = Field(description="tailflip compacts the sessions of that release.")


class Finding(Part):
    """One thing that is wrong. Codes and what they mean stay; docs/findings.md lists them."""

    code: str
    severity: str = Field(description="error or warning")
    subject: str
    message: str
    hint: str
    evidence: tuple[str, ...]


class Verdict(Part):
    """How the gateway fares in a word: ok, waiting, down or at-risk, and since when."""

    state: str
    reason: str
    step: str = Field(description="What to do, or how to end the wait.")
    since_ms: int | None
    until_ms: int | None = Field(description="When the wait ends by itself.")
    warning_count: int = taken("warnings")


class StandingFinding(Part):
    """A finding, with its first and last sight."""

    code: str = taken("finding.code")
    severity: str = taken("finding.severity", "error or warning")
    subject: str = taken("finding.subject")
    message: str = taken("finding.message")
    hint: str = taken("finding.hint")
    evidence: tuple[str, ...] = taken("finding.evidence")
    first_ms: int
    last_ms: int


class Death(Part):
    """The verdict on an end; deaths with the same `signature` have the same reason."""

    cause: str = Field(description="docs/causes.md lists them.")
    signature: str
    confidence: str = Field(description="proven, likely or guess")
    evidence: tuple[str, ...]
    hint: str
    unready: bool = Field(description="The gateway had not answered in this life.")


class Held(Part):
    """A session or job that tailflip holds, and the action that did it."""

    kind: str = Field(description="job or session.")
    key: str = Field(description="A job's id; a session's name without the numbers of people.")
    title: str
    action_id: str
    since_ms: int


class Release(Answer):
    """What is held, and what was chosen of it. `released` false: nothing was changed."""

    verb: Literal["release"] = "release"
    held_works: tuple[Held, ...]
    chosen: tuple[Held, ...]
    released: bool


class Life(Part):
    """One run of the gateway's process; `ended_ms` null: it lasts."""

    id: str
    mode: str = Field(description="run, gate, preflight, or unseen")
    openclaw_version: str | None = taken("version")
    pid: int | None = Field(description="The process that was started.")
    worker_pid: int | None = Field(description="The gateway itself.")
    started_ms: int
    ready_ms: int | None = Field(description="The first answer.")
    ended_ms: int | None
    end_known: bool = Field(description="False: it was found dead later, at `ended_ms`.")
    exit_code: int | None
    signal: int | None
    peak_rss_bytes: int | None
    death: Death | None
    incident_id: str | None = taken("incident")


class Incident(Part):
    """Deaths of one signature in a row; `closed_ms` null: it is open."""

    id: str
    state_dir: str = taken("guard", "The gateway's state directory.")
    cause: str
    signature: str
    opened_ms: int
    closed_ms: int | None
    acked_ms: int | None = Field(description="When a person took note of it.")
    acked_by: str = Field(description="Who; empty if nobody said.")
    note: str = Field(description="That person's note.")


class CountedIncident(Part):
    """An incident, with its deaths on record."""

    id: str = taken("incident.id")
    state_dir: str = taken("incident.guard", "The gateway's state directory.")
    cause: str = taken("incident.cause")
    signature: str = taken("incident.signature")
    opened_ms: int = taken("incident.opened_ms")
    closed_ms: int | None = taken("incident.closed_ms")
    acked_ms: int | None = taken("incident.acked_ms", "When a person took note of it.")
    acked_by: str = taken("incident.acked_by", "Who; empty if nobody said.")
    note: str = taken("incident.note", "That person's note.")
    death_count: int = taken("deaths")


class Line(Part):
    """One sentence of a story."""

    at_ms: int
    text: str


class Supervisor(Part):
    """The process that guards the gateway, and the verb that it runs."""

    pid: int
    mode: str
    started_ms: int


class Trend(Part):
    """The growth of memory; `hits_ms` is when it reaches the limit at this pace."""

    bytes_per_s: float
    span_s: float
    limit_bytes: int
    hits_ms: int


class Memory(Part):
    """The memory of the gateway's processes, measured at `at_ms`, and the limit of its heap."""

    rss_bytes: int | None
    at_ms: int | None
    limit_bytes: int | None
    source: str = taken("limit_source", "Where the limit is from.")
    trend: Trend | None


class StoreTotals(Part):
    """All stores together, and their growth in a day."""

    count: int
    size_bytes: int
    bytes_per_day: float | None


class Installed(Part):
    """The gateway's service; `path` is the file by which it starts through tailflip, or null."""

    service: str
    scope: str
    manager: str
    mode: str | None
    path: str | None


class Breaker(Part):
    """The breaker: closed, open (no starts) or half-open (one trial), and what it waits for."""

    state: str
    signature: str | None
    death_count: int = taken("deaths", "Of any signature, without a good life between them.")
    row_count: int = taken("row", "Deaths of `signature` in a row.")
    trials: int
    waiting: str
    until_ms: int | None


class Decision(Part):
    """What was decided after the last death: start, wait or end, and when."""

    kind: str
    reason: str
    waiting: str
    at_ms: int | None
    exit_code: int | None


class JudgedStart(Part):
    """The last start that `gate` or `preflight` judged."""

    at_ms: int
    mode: str
    go: bool
    looked: bool = Field(description="False: tailflip could not do its work, and let it start.")
    reason: str
    hint: str | None
    action_ids: tuple[str, ...] | None = taken("actions")
    life_id: str | None = taken("life")
    pid: int | None
    other_pid: int | None = Field(description="The gateway that was in the way.")


class Disk(Part):
    """The room on the file system of a directory."""

    path: Path
    free_bytes: int
    total_bytes: int
    free_files: int | None


class GatewayOf(Part):
    """The gateway of one state directory."""

    state_dir: Path
    gateway: Gateway


class Record(Part):
    """A kind of record that the gateway keeps, and its form on the disk.

    `why` says why it is not read; `schema_number` is that of its tables.
    """

    kind: str
    form: str = Field(
        description="absent, files, split files, SQLite, unknown schema, or unreadable."
    )
    schema_number: int | None = taken("schema")
    why: str
