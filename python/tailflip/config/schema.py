"""The settings: name, default, bounds and meaning of each. `config.load` fills them.

A section is a class here and a field of `Config`; a setting is a field of a section. To add a
setting, add a field: file, environment, flags, `config show`, the documentation and the example
file are made from it. Names end in their unit (`_s`, `_days`). `None` means that tailflip finds the
value by itself; a file and the environment write "auto" for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from tailflip.base.openclaw_units import parse_size_bytes
from tailflip.config.kinds import (
    OFF,
    Duration,
    Section,
    Size,
    SizeLimit,
    setting,
    to_ms,
)
from tailflip.config.serving import ServeSettings
from tailflip.config.telling import AlertsSettings, HeartbeatSettings
from tailflip.flow.lives import GOOD_LIFE_MS

if TYPE_CHECKING:
    from pydantic import ValidationInfo


class GatewaySettings(Section):
    """The guarded gateway, where tailflip does not find a value by itself."""

    state_dir: Path | None = setting(
        None,
        "OpenClaw's state directory; auto: where OpenClaw itself would look",
        form="an absolute path",
    )
    profile: str | None = setting(
        None,
        "OpenClaw's profile, as in its --profile; auto: as the gateway's command says",
        form="a profile name",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$",
    )
    port: int | None = setting(
        None, "port of the gateway on loopback; auto: as the gateway finds it", ge=1, le=65_535
    )
    drain_s: float | None = setting(
        None,
        "how long a gateway that was asked to stop may finish its work before it is killed; "
        "auto: 30 up to 2026.7, 330 from 2026.8.1 and for unknown versions",
        ge=1,
        le=3600,
    )
    heap_limit: Size | None = setting(
        None,
        'heap limit, such as "2gb"; auto: that of the process, the service or the last start',
        form="a size",
    )
    service: str | None = setting(
        None,
        "systemd unit that starts the gateway, for `gate` and `preflight` to learn how it ended; "
        "auto: only if systemd says that it started tailflip",
        form="the name of a unit",
        # The name becomes an argument of systemctl and journalctl: it must not look like an option.
        pattern=r"^[a-zA-Z0-9_:.\\@][a-zA-Z0-9_:.\\@-]{0,254}$",
    )

    @property
    def heap_limit_bytes(self) -> int | None:
        """The heap limit in bytes; None to ask node."""
        return None if self.heap_limit is None else parse_size_bytes(self.heap_limit)


class HealSettings(Section):
    """The changes that tailflip may make to session stores by itself. All can be undone."""

    enabled: bool = setting(True, "change stores at all; false: observe, restart and report only")
    admission: bool = setting(
        True, "before a start, predict the heap it needs and compact stores that do not fit"
    )
    margin: float = setting(0.9, "share of the heap limit that a prediction may use", ge=0.1, le=1)
    pressure: bool = setting(
        True,
        "go beyond hygiene where the prediction demands it: slim idle chats, shorten the "
        "retention, cap the runs",
    )
    salvage: bool = setting(
        True,
        "set a damaged store aside, whole, and start on what is proven of it; of a database, the "
        "rows that keep the gateway from starting",
    )
    transcripts: bool = setting(
        True,
        "before a start, slim a transcript that would kill the gateway, or that Node cannot read",
    )
    after_oom: bool = setting(True, "compact the stores after a death by lack of memory")
    doctor: bool = setting(
        False,
        "run OpenClaw's own doctor where a start waits for what only that can repair; tailflip "
        "cannot undo it",
    )
    retention: Duration | None = setting(
        None,
        'how long finished cron runs are kept, such as "24h", or false for ever; '
        "auto: OpenClaw's own cron.sessionRetention",
        form="a length of time, or false",
    )
    max_lifetime: Duration = setting(
        "1h",
        'a run that is "running" for longer, without a sign of life, may go; false: never',
        form="a length of time, or false",
    )

    def choose_retention_ms(self, own_ms: int | None) -> int | None:
        """Choose the retention set here, else `own_ms`, OpenClaw's; None keeps runs for ever."""
        return own_ms if self.retention is None else to_ms(self.retention)

    @property
    def max_lifetime_ms(self) -> int | None:
        """The longest life without a sign, in milliseconds; None for no limit."""
        return to_ms(self.max_lifetime)


class RestartSettings(Section):
    """The restarts of a gateway that died."""

    first_delay_s: float = setting(1.0, "delay before the first restart", ge=0, le=3600)
    factor: float = setting(2.0, "by how much each further delay in a row grows", ge=1, le=10)
    cap_s: float = setting(300.0, "longest delay; at least first_delay_s", ge=0, le=86_400)
    jitter: float = setting(0.2, "share of a delay that chance may add or take away", ge=0, le=1)
    loop_deaths: int = setting(
        3, "deaths of the same kind in a row that make a crash loop", ge=1, le=100
    )
    good_life_s: float = setting(
        GOOD_LIFE_MS / 1000,
        "a life this long, once it has answered, ends a row of deaths; "
        "it should cover the first cron runs",
        ge=1,
        le=86_400,
    )
    trial_first_s: float = setting(
        300.0,
        "wait before the first trial start in a crash loop; doubles each time",
        ge=0.1,
        le=86_400,
    )
    trial_cap_s: float = setting(
        3600.0, "longest wait between trial starts; at least trial_first_s", ge=0.1, le=604_800
    )
    safe_start: bool = setting(
        True,
        "before a breaker gives up, start the gateway once without its cron jobs and once without "
        "its channels",
    )
    on_hang: bool = setting(True, "end and restart a gateway that no longer answers")

    @field_validator("cap_s", "trial_cap_s")
    @classmethod
    def _check_order(cls, cap_s: float, info: ValidationInfo) -> float:
        first = "first_delay_s" if info.field_name == "cap_s" else "trial_first_s"
        # `first` is absent if it was refused itself: then one problem is reported, not two.
        first_s = info.data.get(first, cap_s)
        if cap_s < first_s:
            raise ValueError(f"must be at least restart.{first} ({first_s:g})")
        return cap_s


class HealthSettings(Section):
    """The health checks: how the gateway is asked whether it is well."""

    interval_s: float = setting(15.0, "time between two questions", ge=0.1, le=3600)
    timeout_s: float = setting(
        10.0, "wait for an answer; 7 s are normal in the gateway's own sweep", ge=0.1, le=300
    )
    misses: int = setting(6, "questions in a row without an answer that make a hang", ge=1, le=1000)
    start_patience_s: float = setting(
        900.0, "how long a start may take before silence counts", ge=1, le=86_400
    )


class MemorySettings(Section):
    """The watch on memory, and the actions before it runs out."""

    interval_s: float = setting(15.0, "time between two measurements", ge=0.1, le=3600)
    warn_ahead_s: float = setting(
        1800.0, "warn when memory will reach its limit within this time", ge=1, le=604_800
    )
    restart_ahead: bool = setting(
        False, "restart the gateway at a quiet moment before its memory runs out"
    )
    min_life_s: float = setting(
        1800.0, "never restart a younger gateway because of memory", ge=1, le=604_800
    )


class ReconcileSettings(Section):
    """The actions on runs that never end, beside a living gateway and before a start."""

    enabled: bool = setting(
        True, "end runs that are proven over, and clear what a dead gateway left in its ledgers"
    )
    interval_s: float = setting(
        900.0, "time between two rounds beside a living gateway", ge=1, le=86_400
    )
    hold_deaths: int = setting(
        3,
        "deaths in a row with the same job or session in flight, after which it is held",
        ge=1,
        le=100,
    )
    hold_jobs: bool = setting(
        False,
        "hold such a job by disabling it, also one that runs again at each start; "
        "false: jobs in files are put off by 6 h",
    )
    hold_sessions: bool = setting(
        True,
        "hold such a session by ending it as the gateway itself ends one that it gave up; "
        "`tailflip release` brings it back",
    )
    release_stuck_jobs: bool = setting(
        False,
        "release a job that is stuck while the gateway lives, by `openclaw cron disable` "
        "and enable",
    )
    delete_online: bool = setting(
        False,
        "have a living gateway of 2026.8.1 or later delete archived cron runs of dead ones, "
        "by its RPC",
    )
    write_task_ledger: bool = setting(
        False, "before a start, write the true ends of lost tasks into OpenClaw's task ledger"
    )


class LedgerSettings(Section):
    """The history that tailflip keeps."""

    keep_days: int = setting(
        30, "how long lives, deaths, incidents and samples are kept", ge=1, le=3650
    )


class ArchiveSettings(Section):
    """The limits of the archives. `run`, `gate`, `preflight` and `watch` delete what is beyond."""

    keep: Duration = setting(
        "90d",
        "how long an archive is kept, and an action can be undone; false: until you delete it",
        form="a length of time, or false",
    )
    max_size: SizeLimit = setting(
        "5gb",
        "room that all archives together may take: the oldest go first, the newest of each store "
        "stays; false: no limit",
        form="a size, or false",
    )

    @property
    def keep_ms(self) -> int | None:
        """The age in milliseconds from which on archives go; None for no limit."""
        return to_ms(self.keep)

    @property
    def max_bytes(self) -> int | None:
        """The room for all archives in bytes; None for no limit."""
        return None if self.max_size == OFF else parse_size_bytes(self.max_size)


class ReclaimSettings(Section):
    """What `tailflip reclaim` may take."""

    history_after: Duration = setting(
        "7d",
        "how long an unnamed transcript must lie untouched before it is packed into an archive; "
        "at least an hour",
        form="a length of time",
    )

    @field_validator("history_after")
    @classmethod
    def _check_length(cls, value: Duration) -> Duration:
        if to_ms(value) is None:
            raise ValueError("must be a length of time")
        return value

    @property
    def history_after_ms(self) -> int:
        """The age in milliseconds."""
        return to_ms(self.history_after) or 0


class LogSettings(Section):
    """The lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "the least important message that is written"
    )


class Config(Section):
    """All settings of one gateway, each valid. A room receives its own section."""

    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    heal: HealSettings = Field(default_factory=HealSettings)
    restart: RestartSettings = Field(default_factory=RestartSettings)
    health: HealthSettings = Field(default_factory=HealthSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    reconcile: ReconcileSettings = Field(default_factory=ReconcileSettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    archive: ArchiveSettings = Field(default_factory=ArchiveSettings)
    reclaim: ReclaimSettings = Field(default_factory=ReclaimSettings)
    alerts: AlertsSettings = Field(default_factory=AlertsSettings)
    heartbeat: HeartbeatSettings = Field(default_factory=HeartbeatSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    log: LogSettings = Field(default_factory=LogSettings)
