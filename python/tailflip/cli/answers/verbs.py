"""The answers of all verbs, each with its own model; `schema` prints them as JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from tailflip.cli.answers import alerts as of_alerts
from tailflip.cli.answers import fleet as of_fleet
from tailflip.cli.answers import gateway as of_gateway
from tailflip.cli.answers import itself as of_itself
from tailflip.cli.answers import maintenance as of_maintenance
from tailflip.cli.answers import reclaim as of_reclaim
from tailflip.cli.answers import report as of_report
from tailflip.cli.answers import services as of_services
from tailflip.cli.answers import stores as of_stores
from tailflip.cli.answers.base import Answer, Part, taken

if TYPE_CHECKING:
    from collections.abc import Sequence


class Status(Answer):
    """How the gateway of one state directory fares. `life` lasts, or is the last one."""

    verb: Literal["status"] = "status"
    verdict: of_gateway.Verdict
    now_ms: int = taken("look.now_ms")
    state_dir: str = taken("look.guard", "The gateway's state directory.")
    openclaw_version: str | None = taken("version")
    is_grave: bool = Field(description="The exit code is 1.")
    next_step: str
    gateway: of_gateway.Gateway | None = taken("look.gateway")
    port: int | None = taken("look.port")
    supervisor: of_gateway.Supervisor | None = taken("look.supervisor")
    installed: of_gateway.Installed | None = taken("look.installed")
    parked_pid: int | None = taken("look.parked_pid", "A gate that waits for a change.")
    maintenance: of_maintenance.Maintenance | None = taken("look.maintenance", "One that lasts.")
    memory: of_gateway.Memory = taken("look.memory")
    store_totals: of_gateway.StoreTotals | None = taken("look.stores")
    full_disks: tuple[Path, ...] = taken("look.full")
    life: of_gateway.Life | None
    deaths: tuple[of_gateway.Life, ...] = Field(description="Unwanted ends, newest first.")
    deaths_in_a_day: int
    incidents: tuple[of_gateway.CountedIncident, ...] = Field(description="Those that are open.")
    breaker: of_gateway.Breaker
    decision: of_gateway.Decision | None
    decided_ms: int | None
    start: of_gateway.JudgedStart | None
    refused: bool = Field(description="The last start was refused, and no gateway lives.")
    held: bool = Field(description="A start waits for the end of another gateway.")
    undecided: bool = Field(description="The last death has a verdict, and no decision yet.")
    actions: tuple[of_stores.ArchivedAction, ...]
    findings: tuple[of_gateway.StandingFinding, ...]
    not_looked_for: tuple[str, ...] = Field(description="Codes of findings.")


class Check(Answer):
    """What is wrong; exit code 1 for a finding, or for what stands in the way of --release."""

    verb: Literal["check"] = "check"
    verdict: of_gateway.Verdict
    maintenance: of_maintenance.Maintenance | None = Field(description="One that lasts.")
    findings: tuple[of_gateway.Finding, ...]
    not_looked_for: tuple[str, ...] = Field(description="Codes of findings.")
    gateway: of_gateway.Gateway | None
    forecast: of_gateway.Forecast | None
    stores: tuple[of_stores.SizedStore, ...]
    kept: tuple[of_stores.KeptFile, ...]
    half_done_action_ids: tuple[str, ...]
    disks: tuple[of_gateway.Disk, ...] | None
    record_forms: tuple[of_gateway.Record, ...]
    notes: tuple[str, ...]
    ahead: of_gateway.Ahead | None = Field(description="What --release asked about.")


class Inspect(Answer):
    """What fills the stores; `job_names` by id."""

    verb: Literal["inspect"] = "inspect"
    stores: tuple[of_stores.InspectedStore, ...]
    job_names: dict[str, str]
    folders: tuple[of_stores.Folder, ...]
    gateway: of_gateway.Gateway
    forecast: of_gateway.Forecast


class Compact(Answer):
    """The plan of a compaction, and what was done; `repairs` are those whatever the policy."""

    verb: Literal["compact"] = "compact"
    applied: bool
    policy: of_stores.Policy
    stores: tuple[of_stores.SurveyedStore, ...]
    salvages: tuple[of_stores.Salvage, ...]
    repairs: tuple[of_stores.SurveyedStore, ...]
    before: of_gateway.Forecast
    after: of_gateway.Forecast
    pressure: tuple[str, ...] = Field(description="Steps beyond hygiene, by name.")
    fits: bool
    gateway: of_gateway.Gateway
    reports: tuple[of_stores.Report, ...]
    causes: tuple[of_stores.CausingJob, ...] = Field(
        description="Jobs that will fill the stores again."
    )

    @staticmethod
    def join(answers: Sequence[Compact]) -> CompactSeveral:
        """Join the answers for several installations."""
        errors = [error for each in answers for error in each.errors]
        return CompactSeveral.of({"installations": answers, "errors": errors})


class CompactSeveral(Answer):
    """The same for stores of several installations, each with its own gateway and settings."""

    verb: Literal["compact"] = "compact"
    installations: tuple[Compact, ...]


class Terms(Part):
    """The limits of a reconciliation; lengths of time, null for a rule that is off."""

    max_lifetime_ms: int | None
    retention_ms: int | None


class Step(Part):
    """One kind of change on one subject; `counts` has the changes in words, none if empty."""

    kind: str
    subject: str
    counts: dict[str, int]
    reasons: tuple[str, ...] = taken("words")
    running_by_fate: dict[str, int] = taken("running")
    entries_left: int = taken("left", "Entries that are over, and left to the gateway.")
    rules: tuple[of_stores.Tally, ...] = taken("tallies")
    report: of_stores.Report | None
    action_id: str | None
    undo: str | None = Field(description="The command that undoes it.")


class Reconcile(Answer):
    """What a reconciliation changes, or changed."""

    verb: Literal["reconcile"] = "reconcile"
    applied: bool
    terms: Terms
    steps: tuple[Step, ...]
    findings: tuple[of_gateway.Finding, ...]
    gateway: of_gateway.Gateway
    notes: tuple[str, ...]


class Task(Part):
    """A row of OpenClaw's task ledger, with our verdict and its reasons."""

    task_id: str = taken("task.task_id")
    runtime: str = taken("task.runtime")
    source_id: str | None = taken("task.source_id", "The job's id for the runtime cron.")
    run_id: str | None = taken("task.run_id")
    label: str | None = taken("task.label")
    status: str = taken("task.status", "What OpenClaw says.")
    created_ms: int | None = taken("task.created_ms")
    started_ms: int | None = taken("task.started_ms")
    ended_ms: int | None = taken("task.ended_ms")
    true_status: str = taken("verdict")
    runtime_ms: int | None = taken("proof.runtime_ms", "How long it ran.")
    reasons: tuple[str, ...] = taken("proof.words")


class SeenRun(Part):
    """A run that tailflip saw in flight."""

    job_id: str
    title: str
    started_ms: int = taken("began_ms")
    seen_ms: int
    ended_ms: int | None
    true_status: str | None = taken("verdict", "Null: it runs.")
    reasons: tuple[str, ...] = taken("words")


class Tasks(Answer):
    """How cron runs ended."""

    verb: Literal["tasks"] = "tasks"
    tasks: tuple[Task, ...]
    runs: tuple[SeenRun, ...]
    gateway: of_gateway.Gateway
    notes: tuple[str, ...]


class Watch(Answer):
    """One round of `watch`: a line of JSON Lines."""

    verb: Literal["watch"] = "watch"
    at_ms: int
    applied: bool
    steps: tuple[Step, ...]
    findings: tuple[of_gateway.Finding, ...]
    gateway: of_gateway.Gateway | None
    notes: tuple[str, ...]


class Slim(Answer):
    """What would leave transcripts, or left them."""

    verb: Literal["slim"] = "slim"
    applied: bool
    slimmed_transcripts: tuple[of_stores.SlimmedTranscript, ...]
    gateway: of_gateway.Gateway


class Restore(Answer):
    """What comes back, or came back. `conflicts` live again under their key, and stay."""

    verb: Literal["restore"] = "restore"
    applied: bool
    store: Path
    action_ids: tuple[str, ...] = Field(description="Where the entries are from.")
    added: int
    replaced: int
    unchanged: int
    conflicts: int
    conflict_keys: tuple[str, ...] = Field(description="Some of them.")
    report: of_stores.Report | None
    damaged: tuple[of_stores.Damaged, ...]
    cut: int = Field(0, description="Slimmed entries that live in a database now, and stay slim.")
    untaken: tuple[str, ...] = Field((), description="Keys that OpenClaw's import left out.")
    restored_transcripts: tuple[of_stores.UnslimmedTranscript, ...] = Field(
        (), description="Those that were slimmed."
    )
    gateway: of_gateway.Gateway | None = Field(description="None where no installation is left.")
    size_bytes_before: int = taken("bytes_before", "Of the store.")
    size_bytes_after: int = taken("bytes_after", "Of the store.")
    before: of_gateway.Forecast | None
    after: of_gateway.Forecast | None


class ArchiveList(Answer):
    """All actions, newest first."""

    verb: Literal["archive list"] = "archive list"
    actions: tuple[of_stores.ArchivedAction, ...]


class ArchiveShow(Answer):
    """The first line of `archive show`; the entries follow, a line for each."""

    verb: Literal["archive show"] = "archive show"
    line: Literal["action"] = "action"
    action: of_stores.Action
    rewrite: of_stores.Rewrite | None
    transcripts: of_stores.KeptTranscripts


class ArchivedEntry(Answer):
    """A further line of `archive show`; `is_changed`: it was cut short, and is in the store."""

    verb: Literal["archive show"] = "archive show"
    line: Literal["entry"] = "entry"
    key: str
    rule: str
    time_ms: int
    size_bytes: int = taken("bytes")
    session_id: str | None = taken("session")
    transcript: str | None = taken("file")
    job_id: str | None = taken("job")
    is_changed: Annotated[bool, BeforeValidator(lambda after: after is not None)] = taken("after")


class ArchiveVerify(Answer):
    """The archives that are whole."""

    verb: Literal["archive verify"] = "archive verify"
    archives: tuple[of_stores.VerifiedArchive, ...]


class ArchiveExpire(Answer):
    """The archives that go, or are gone."""

    verb: Literal["archive expire"] = "archive expire"
    applied: bool
    size_bytes: int
    actions: tuple[of_stores.Action, ...]
    state_dirs: tuple[of_gateway.GatewayOf, ...]


class IncidentsList(Answer):
    """The incidents of a gateway, newest first."""

    verb: Literal["incidents list"] = "incidents list"
    incidents: tuple[of_gateway.CountedIncident, ...]
    notes: tuple[str, ...]


class IncidentsWhy(Answer):
    """The story of an incident. With --stderr, `story` and what follows it are empty."""

    verb: Literal["incidents why"] = "incidents why"
    incident: of_gateway.Incident
    story: tuple[of_gateway.Line, ...] = ()
    lives: tuple[of_gateway.Life, ...] = ()
    evidence: tuple[str, ...] = ()
    next_step: str | None = None
    stderr_life_id: str | None = Field(description="The life whose standard error is kept.")
    stderr: str | None = Field(None, description="With --stderr: the last that it wrote.")


class IncidentsAck(Answer):
    """The incidents that a person took note of; `incident` is the first of them."""

    verb: Literal["incidents ack"] = "incidents ack"
    incident: of_gateway.Incident
    incidents: tuple[of_gateway.Incident, ...]


class Preflight(Answer):
    """Whether the gateway may start; `looked` false: tailflip could not do its work."""

    verb: Literal["preflight"] = "preflight"
    go: bool
    looked: bool
    reason: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()
    before: of_gateway.Forecast | None = None
    after: of_gateway.Forecast | None = None
    reports: tuple[of_stores.Report, ...] = ()
    death: of_gateway.Death | None = None
    ahead: of_gateway.Ahead | None = Field(None, description="What --release asked about.")


class Retry(Answer):
    """What was asked, and of whom. `asked` false: a gateway lives, and nothing waits."""

    verb: Literal["retry"] = "retry"
    asked: bool
    pid: int | None = Field(description="Who waits; null where the next start honours the wish.")
    waited_for: str | None
    next_step: str
    notes: tuple[str, ...]


# In the order of the help; the verbs that write lines have a model for each kind of line.
ANSWERS: dict[str, tuple[type[Answer], ...]] = {
    "status": (Status,),
    **of_fleet.ANSWERS,
    "check": (Check,),
    "inspect": (Inspect,),
    "compact": (Compact, CompactSeveral),
    **of_reclaim.ANSWERS,
    "slim": (Slim,),
    "reconcile": (Reconcile,),
    "tasks": (Tasks,),
    **of_maintenance.ANSWERS,
    "retry": (Retry,),
    "watch": (Watch,),
    "release": (of_gateway.Release,),
    "restore": (Restore,),
    "archive list": (ArchiveList,),
    "archive show": (ArchiveShow, ArchivedEntry),
    "archive verify": (ArchiveVerify,),
    "archive expire": (ArchiveExpire,),
    "incidents list": (IncidentsList,),
    "incidents why": (IncidentsWhy,),
    "incidents ack": (IncidentsAck,),
    **of_alerts.ANSWERS,
    "install": (of_services.Install,),
    "uninstall": (of_services.Uninstall,),
    "preflight": (Preflight,),
    **of_report.ANSWERS,
    **of_itself.ANSWERS,
}
