"""The inputs of findings: what one look at a gateway has seen, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Capabilities, EntryCap
    from tailflip.flow.conditions import (
        DamagedDatabase,
        Disagreement,
        DwindlingRoom,
        GatewayLoop,
        HeldWork,
        JobStorm,
        MemoryDeath,
        MemoryTrend,
        NamedKiller,
        OverdueJob,
        RefusedStart,
        ReturnedEntries,
        SafeStart,
        Standstill,
        StoreGrowth,
        StuckJob,
        UnreadRecord,
        UnseenIncident,
    )
    from tailflip.flow.fill import FilledStore
    from tailflip.flow.observed import (
        ArchiveUse,
        Gateway,
        GoneProgram,
        Job,
        KeptFile,
        Leftover,
        ObservedStore,
        TranscriptFolder,
        Transcripts,
    )
    from tailflip.flow.outcomes import Forecast, HeapLimit
    from tailflip.observe.gateway.listener import Listener
    from tailflip.observe.host.space import Space
    from tailflip.observe.installation import Installation


class JobList(NamedTuple):
    """The jobs of a cron store; `problem` says why it could not be read.

    `is_listed`: these are all jobs that there are.
    """

    jobs: tuple[Job, ...]
    problem: str | None = None
    is_listed: bool = False

    def name(self, job_id: str) -> str:
        """Name a job: by its name with its id, else by its id alone."""
        name = next((job.name for job in self.jobs if job.job_id == job_id), "")
        return f"{name} ({job_id})" if name else job_id


@dataclass(frozen=True)
class Inputs:
    """All that a look has seen; None where it did not look, empty where it found none.

    A finding needs inputs by these names. `stores` have sizes and files, `surveyed` also the
    stores' contents. `entry_caps` has what the gateway keeps of a store, if it does not keep all.
    `fills` are of databases alone. `gone_programs` are of its service.
    `listeners` hold the gateway's port, where no gateway was found. `spaces` are
    the file systems of the state directory and of tailflip's own. `archives` are tailflip's.
    `folders` are those of the stores. `transcripts` are files, with their heads read.
    `capabilities` and `heap_limit` are of the gateway that runs, else starts next. `kept` are
    stores that tailflip does not write; no other input has them.
    `knows_ends` False: ends of runs may stand in records that tailflip does not read.
    `unread` are the records that cannot be read, and `damaged` databases that are damaged.
    `mistakes` are those in our own settings.
    """

    now_ms: int | None = None
    installation: Installation | None = None
    entry_caps: tuple[EntryCap, ...] | None = None
    gateway: Gateway | None = None
    stores: tuple[ObservedStore, ...] | None = None
    surveyed: tuple[ObservedStore, ...] | None = None
    fills: tuple[FilledStore, ...] | None = None
    kept: tuple[KeptFile, ...] | None = None
    forecast: Forecast | None = None
    jobs: JobList | None = None
    knows_ends: bool | None = None
    unread: tuple[UnreadRecord, ...] | None = None
    damaged: tuple[DamagedDatabase, ...] | None = None
    temporaries: tuple[Leftover, ...] | None = None
    folders: tuple[TranscriptFolder, ...] | None = None
    transcripts: tuple[Transcripts, ...] | None = None
    capabilities: Capabilities | None = None
    heap_limit: HeapLimit | None = None
    spaces: tuple[Space, ...] | None = None
    archives: ArchiveUse | None = None
    gone_programs: tuple[GoneProgram, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
    storms: tuple[JobStorm, ...] | None = None
    disagreements: tuple[Disagreement, ...] | None = None
    stuck: tuple[StuckJob, ...] | None = None
    overdue: tuple[OverdueJob, ...] | None = None
    growth: tuple[StoreGrowth, ...] | None = None
    dwindling: tuple[DwindlingRoom, ...] | None = None
    returned: tuple[ReturnedEntries, ...] | None = None
    crash_loops: tuple[GatewayLoop, ...] | None = None
    restart_loops: tuple[GatewayLoop, ...] | None = None
    memory_deaths: tuple[MemoryDeath, ...] | None = None
    memory_trends: tuple[MemoryTrend, ...] | None = None
    refused_starts: tuple[RefusedStart, ...] | None = None
    safe_starts: tuple[SafeStart, ...] | None = None
    mistakes: tuple[str, ...] | None = None
    standstills: tuple[Standstill, ...] | None = None
    unseen_incidents: tuple[UnseenIncident, ...] | None = None
    held_works: tuple[HeldWork, ...] | None = None
    killers: tuple[NamedKiller, ...] | None = None
