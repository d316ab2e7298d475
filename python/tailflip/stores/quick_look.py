"""A quick look at an installation: sizes, names and small files; stores are not read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.diagnose.findings.inputs import Inputs, JobList
from tailflip.observe.gateway.listener import find_listener
from tailflip.observe.host.space import read_space
from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.forms import Form
from tailflip.observe.records.reading import Records
from tailflip.observe.records.transcript_files import survey_transcripts
from tailflip.stores.litter import find_temporaries
from tailflip.stores.look import observe_all
from tailflip.stores.ownership import find_claim, find_claims

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.observed import Gateway, ObservedStore
    from tailflip.flow.outcomes import HeapLimit
    from tailflip.observe.installation import Installation
    from tailflip.observe.records.forms import Forms


def look_quickly(
    installation: Installation,
    gateway: Gateway,
    forms: Forms,
    *,
    root: Path,
    now_ms: int,
    stores: tuple[ObservedStore, ...] | None = None,
    capabilities: Capabilities | None = None,
    heap_limit: HeapLimit | None = None,
) -> Inputs:
    """Gather the inputs of findings without reading a store.

    Args:
        installation: where to look.
        gateway: whether one lives there.
        forms: the form of its records.
        root: our own directory, whose disk counts too.
        now_ms: wall clock.
        stores: observed ones, where they were looked at already; None for all that are
            ours to write.
        capabilities: of the release that runs, else starts next; None where nobody asked.
        heap_limit: likewise, of its heap.
    """
    if stores is None:
        listed = (*installation.stores, *installation.missing)
        claims = find_claims(listed, installation.state_dir)
        own = (store for store in listed if store not in claims)
        stores = observe_all(own, lambda _store: None, now_ms)
    jobs = _read_jobs(installation, forms)
    holder = find_listener(installation.port) if gateway.alive is None else None
    return Inputs(
        now_ms=now_ms,
        installation=installation,
        gateway=gateway,
        stores=stores,
        jobs=jobs,
        knows_ends=forms.knows_ends,
        # A cron store that does not parse is a finding of its own, and so is a damaged database.
        unread=forms.sum_up(("cron",) if jobs.problem else (), without_damaged=True),
        damaged=forms.damaged,
        temporaries=find_temporaries(
            installation.cron_store, installation.config_path, installation.state_dir, now_ms
        ),
        transcripts=survey_transcripts(installation),
        capabilities=capabilities,
        heap_limit=heap_limit,
        spaces=read_space(installation.state_dir, root),
        listeners=() if holder is None else (holder,),
    )


def _read_jobs(installation: Installation, forms: Forms) -> JobList:
    """Read the jobs; from a file on record, take the names."""
    if forms.cron.form is Form.SQLITE:
        return JobList(Records(installation, forms).read_jobs().jobs, is_listed=True)
    found = read_cron_store(installation.cron_store)
    jobs, problem = found.jobs if forms.cron.is_read else (), found.problem
    if find_claim(installation.cron_store, installation.state_dir) is not None:
        jobs, problem = tuple(replace(job, running_at_ms=None) for job in jobs), None
    return JobList(jobs, problem, forms.lists_jobs)
