"""All that rules may look at, as one value of one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.observed import (
        Gateway,
        Job,
        KeptFile,
        Leftover,
        ObservedStore,
        TranscriptFolder,
    )
    from tailflip.flow.outcomes import Forecast
    from tailflip.observe.gateway.listener import Listener
    from tailflip.observe.host.space import Space


@dataclass(frozen=True)
class Observed:
    """All that the rules see, at one moment.

    `jobs_problem` says why the cron store could not be read, `retention_problem` why
    the configured retention could not. `rotate_bytes` is what the gateway rotates a
    store above when it `enforces` its maintenance. `forecast` None leaves it out. `listener`
    holds the gateway's `port`, where no gateway was found; `spaces` are the file systems of
    the state directory and of our own, `folders` where the stores lie. `kept` are stores that
    are not ours to write; they are in none of the others.
    """

    now_ms: int
    config_path: str
    gateway: Gateway
    stores: tuple[ObservedStore, ...]
    forecast: Forecast | None
    cron_store: str
    jobs: tuple[Job, ...]
    jobs_problem: str | None
    retention_problem: str | None
    enforces: bool
    rotate_bytes: int
    port: int = 0
    listener: Listener | None = None
    spaces: tuple[Space, ...] = ()
    folders: tuple[TranscriptFolder, ...] = ()
    cron_temporaries: tuple[Leftover, ...] = ()
    kept: tuple[KeptFile, ...] = ()
    knows_ends: bool = True

    def name_job(self, job_id: str) -> str:
        """Call a job by the name people gave it, with its id where it has one."""
        names: Mapping[str, str] = {job.job_id: job.name for job in self.jobs if job.name}
        return f"{names[job_id]} ({job_id})" if job_id in names else job_id
