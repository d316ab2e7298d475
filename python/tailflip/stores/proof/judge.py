"""Judges the entries that say "running", so that the engine can write their end.

A compaction does the work, with these rules on: a proven end is written into the entry, a run
that is "running" for longer than the longest lifetime is removed, and of several runs of a job
the newest stays. A sweep has one rule: a finished run that is past the retention is removed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.flow.observed import Evidence, OverRun
from tailflip.flow.rules import KeyKind
from tailflip.observe.gateway.processes import read_run_keys
from tailflip.observe.records.reading import Records
from tailflip.observe.records.subagents import list_protected
from tailflip.observe.records.transcripts import find_folders, read_locks, read_written_ms
from tailflip.plan.policy import Policy
from tailflip.stores.formats import find_engine
from tailflip.stores.proof.ledgers import gather_lines, list_ends
from tailflip.stores.proof.owners import Owners, read_owners
from tailflip.stores.proof.prove import End, Facts, Fate, Proof, prove
from tailflip.stores.tables import Ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tailflip.flow.numbers import ListedEntry
    from tailflip.flow.observed import Gateway, Job, Store, TranscriptLock
    from tailflip.observe.installation import Installation
    from tailflip.observe.records.subagents import SubagentRun

MAX_TOLD = 1_000  # so many verdicts are kept for people; all are counted
_ENDED = frozenset({"done", "failed", "killed", "timeout"})
_MAY_END = frozenset({KeyKind.CRON_RUN, KeyKind.CRON_BASE, KeyKind.SUBAGENT, KeyKind.OTHER})
_CHATS = frozenset({KeyKind.MAIN, KeyKind.DIRECT, KeyKind.GROUP, KeyKind.CHANNEL, KeyKind.THREAD})


@dataclass(frozen=True)
class Verdict:
    """The verdict on one entry that says "running".

    `is_left`: the run is over, but the entry is left to the gateway, as chats are.
    """

    key: str
    kind: str
    job: str
    proof: Proof
    is_left: bool = False


@dataclass
class Judgement:
    """The verdicts on one store's entries.

    `running` counts the entries that say "running", by the fate of their run. The engine acts on
    `evidence`. `left` counts the entries that are over and left to the gateway. `at_work` are
    the jobs with a run whose transcript is locked.
    """

    evidence: Evidence
    running: Counter[str] = field(default_factory=Counter)
    told: list[Verdict] = field(default_factory=list)
    at_work: set[str] = field(default_factory=set)
    left: int = 0


@dataclass(frozen=True)
class _Ledgers:
    """The lines of all ledgers at one moment, for the entries of one store."""

    now_ms: int
    gateway: Gateway
    locks: Mapping[str, TranscriptLock]
    jobs: Mapping[str, Job]
    registry: Mapping[str, SubagentRun]
    registry_read: bool
    protected: frozenset[str]
    folders: tuple[Path, ...]
    lives: Sequence[tuple[int, int]]
    owners: Owners
    run_keys: frozenset[str]
    knows_ends: bool
    knows_markers: bool
    ends_chats: bool

    def collect(self, entry: ListedEntry) -> Facts:
        """Gather the facts about one entry's run."""
        logged, tasked = list_ends(entry)
        told = (logged, self._find_own_end(entry), tasked)
        ends = [end for end in told if end is not None]
        job = self.jobs.get(entry.job) if entry.job else None
        lock = self.locks.get(entry.session)
        # This costs a stat for each run, so it is done where nothing stronger is known.
        is_open = all(end.status == "killed" for end in ends) and (
            lock is None or lock.alive is False
        )
        run = self.owners.find(entry)
        written_ms = entry.written_ms
        if written_ms is None and is_open:
            written_ms = read_written_ms(self.folders, entry.session)
        return Facts(
            now_ms=self.now_ms,
            gateway=self.gateway,
            updated_ms=entry.updated_ms,
            started_ms=entry.started_ms,
            is_current=entry.is_current,
            ends=tuple(ends),
            registered=entry.key in self.protected,
            lock=lock,
            marker_ms=job.running_at_ms if job is not None else None,
            timeout_ms=job.timeout_ms if job is not None else None,
            transcript_ms=written_ms,
            died_ms=self._find_death(entry.updated_ms),
            at_work=self._is_at_work(entry),
            began_ms=None if run is None else run.began_ms,
            owner_pid=None if run is None else run.pid,
            holder_pid=self.owners.holder_pid,
            knows_ends=self.knows_ends,
            knows_markers=self.knows_markers,
        )

    def _is_at_work(self, entry: ListedEntry) -> bool:
        """Say whether a living process names the run, or its job while the run is the newest."""
        of_job = f"agent:{entry.agent}:cron:{entry.job}" in self.run_keys
        return entry.key in self.run_keys or (of_job and entry.is_current is not False)

    def _find_own_end(self, entry: ListedEntry) -> End | None:
        run = self.registry.get(entry.key)
        if run is None or run.ended_ms is None:
            return None
        began = run.started_ms if run.started_ms is not None else run.ended_ms
        length = max(0, run.ended_ms - began)
        return End(run.status, run.ended_ms, length, "sub-agent registry", "by its key")

    def _find_death(self, seen_ms: int | None) -> int | None:
        if seen_ms is None:
            return None
        lives = (*self.lives, *self.owners.lives)
        return next((end for start, end in lives if start <= seen_ms <= end), None)


def make_zombie_policy(max_lifetime_ms: int | None) -> Policy:
    """Make the policy that ends runs."""
    return Policy(slim=False, retention_ms=None, max_lifetime_ms=max_lifetime_ms)


def make_sweep_policy(retention_ms: int | None) -> Policy:
    """Make the policy of the gateway's own reaper: remove runs past the retention."""
    return Policy(
        slim=False,
        retire=False,
        single_flight=False,
        max_lifetime_ms=None,
        retention_ms=retention_ms,
    )


def judge_store(
    installation: Installation,
    store: Store,
    gateway: Gateway,
    now_ms: int,
    lives: Sequence[tuple[int, int]] = (),
    *,
    ends_chats: bool = False,
) -> Judgement:
    """Judge every entry of a store by all ledgers; reads only.

    Args:
        installation: The one whose ledgers are read.
        store: Read twice, through one descriptor, in bounded memory.
        gateway: As it was just now.
        now_ms: The moment of judgement.
        lives: Start and end of gateways whose death is in our own ledger.
        ends_chats: The release does not resume a chat by its mark, so a dead one's may be ended.

    Raises:
        StoreInvalid: The file is no store.
    """
    notes: list[str] = []
    records = Records(installation)
    forms, cron = records.forms, records.read_jobs()
    tasks, registry = records.read_tasks(notes), records.read_subagents(notes)
    if cron.problem is not None and forms.cron.is_read:
        notes.append(f"cron store cannot be read: {cron.problem}")
    notes += forms.describe()
    receipts = records.read_ended_receipts(notes)
    told = gather_lines(records.read_lines(notes), tasks or (), receipts)
    ledgers = _Ledgers(
        now_ms=now_ms,
        gateway=gateway,
        locks=read_locks(installation, store, gateway, now_ms),
        jobs={job.job_id: job for job in cron.jobs},
        registry={run.keys[0]: run for run in registry or ()},
        registry_read=registry is not None,
        protected=list_protected(registry or ()),
        folders=find_folders(installation, store),
        lives=lives,
        owners=read_owners(records, store, gateway, notes),
        run_keys=read_run_keys(),
        knows_ends=records.knows_ends and tasks is not None,
        knows_markers=cron.problem is None,
        ends_chats=ends_chats,
    )
    return _judge_all(find_engine(store.path).entries(store.path, told), ledgers, notes)


def _judge_all(entries: Iterable[ListedEntry], ledgers: _Ledgers, notes: list[str]) -> Judgement:
    ends = Ends()
    locked = frozenset(s for s, held in ledgers.locks.items() if held.alive is not False) - {""}
    found = Judgement(
        Evidence(
            gateway=ledgers.gateway,
            over=ends,
            live_sessions=locked,
            protected_keys=ledgers.protected,
            knows_ends=ledgers.knows_ends,
        )
    )
    count, spared = 0, ""
    for entry in entries:
        is_running = entry.status == "running"
        if entry.job and entry.session in locked:
            found.at_work.add(entry.job)
        if not is_running and entry.kind != KeyKind.CRON_RUN:
            continue
        proof = prove(ledgers.collect(entry))
        may_live = proof.may_live and entry.status not in _ENDED
        if (proof.fate is Fate.ALIVE or may_live) and entry.session:
            ends.keep(entry.session)
            if not is_running:
                spared = spared or "; ".join(proof.words)
                count += 1
        end = _choose_end(ledgers, entry, proof)
        if is_running:
            _tell(found, entry, proof, is_left=end is None and proof.status is not None)
        if end is not None:
            ends.add(end)
    found.evidence = replace(
        found.evidence, notes=tuple(notes), spared=count, spared_because=spared
    )
    return found


def _choose_end(ledgers: _Ledgers, entry: ListedEntry, proof: Proof) -> OverRun | None:
    """Choose the end that the engine may write for an entry's run.

    A chat of a dead gateway is ended where its release does not resume it by its mark; else it is
    left to the gateway, whose next turn corrects it. A job's own session (`session:`) is ended by
    a run log's line about that very session. A sub-agent is ended unless the registry could still
    resume it.
    """
    if proof.status is None or proof.ended_ms is None or not entry.session:
        return None
    if entry.kind in _CHATS and ledgers.ends_chats and proof.fate is Fate.DEAD:
        length = proof.runtime_ms or 0
        return OverRun(entry.key, proof.status, proof.ended_ms, length, entry.session)
    if entry.kind not in _MAY_END:
        return None
    if proof.fate is Fate.DEAD and entry.kind not in (KeyKind.CRON_RUN, KeyKind.CRON_BASE):
        is_forgotten = ledgers.registry_read and entry.key not in ledgers.registry
        if entry.kind != KeyKind.SUBAGENT or not is_forgotten:
            return None
    session = None if entry.kind == KeyKind.CRON_RUN else entry.session
    return OverRun(entry.key, proof.status, proof.ended_ms, proof.runtime_ms or 0, session)


def _tell(found: Judgement, entry: ListedEntry, proof: Proof, *, is_left: bool) -> None:
    found.running[proof.fate] += 1
    found.left += is_left
    if len(found.told) < MAX_TOLD:
        found.told.append(Verdict(entry.key, entry.kind, entry.job, proof, is_left))
