"""One look at an installation, what may be done about it, and what was.

`steps` holds what is done; here are the values that they take and give.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.openclaw_units import parse_time_option
from tailflip.config.load import Config, ReconcileSettings, load
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.findings import Looked
from tailflip.ledger.history import History
from tailflip.observe.records.runlog import read_run_logs
from tailflip.reconcile.write.cron_store import Hands
from tailflip.stores.ownership import find_claim
from tailflip.stores.proof.judge import judge_store
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.findings import Finding
    from tailflip.flow.lives import Life
    from tailflip.flow.numbers import Tally
    from tailflip.flow.observed import Store
    from tailflip.flow.outcomes import Report
    from tailflip.observe.records.runlog import RunLine
    from tailflip.stores.json.swap import Progress
    from tailflip.stores.proof.judge import Judgement
    from tailflip.stores.target import Scene


@dataclass(frozen=True)
class Terms:
    """What may be done. `max_lifetime_ms` and `retention_ms` None turn their rules off.

    `capabilities` are of the gateway that will start next. `write_tasks`
    lets the gateway's task ledger be written, if it is stopped. `heap_limit_bytes` None:
    node is asked where it matters.
    """

    max_lifetime_ms: int | None
    retention_ms: int | None
    apply: bool
    capabilities: Capabilities
    write_tasks: bool = True
    heap_limit_bytes: int | None = None
    settings: ReconcileSettings = field(default_factory=ReconcileSettings)


@dataclass(frozen=True)
class Step:
    """One kind on one subject. `counts` says what is, or would be, changed; empty is nothing.

    `words` are the reasons, of what is changed first. `left` counts the entries that are
    over and left to the gateway. `action_id` and `undo` are there once it was done.
    """

    kind: str
    subject: str
    counts: Mapping[str, int]
    words: tuple[str, ...] = ()
    running: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    tallies: tuple[Tally, ...] = ()
    report: Report | None = None
    action_id: str | None = None
    undo: str | None = None


@dataclass
class Result:
    """What was found and done, in the order it was; `errors` by subject.

    `inputs` are what findings are made of, `looked` what was found in them.
    """

    steps: list[Step] = field(default_factory=list)
    inputs: Inputs = field(default_factory=Inputs)
    looked: Looked = field(default_factory=Looked)
    notes: list[str] = field(default_factory=list)
    errors: list[TailflipError] = field(default_factory=list)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found to be wrong."""
        return self.looked.findings

    @property
    def changes(self) -> int:
        """How many things are, or would be, changed."""
        return sum(sum(step.counts.values()) for step in self.steps)

    @contextmanager
    def keeping_error(self) -> Iterator[None]:
        """Go on with the others when one fails."""
        try:
            yield
        except TailflipError as e:
            self.errors.append(e)


@dataclass
class Work:
    """What all kinds work with. `lives` are those of gateways that our ledger saw die."""

    scene: Scene
    terms: Terms
    workspace: Workspace
    on_progress: Progress
    history: History
    lives: Sequence[Life] = ()
    result: Result = field(default_factory=Result)
    judged: dict[Store, Judgement] = field(default_factory=dict)
    _moment: int = 0

    @property
    def hands(self) -> Hands:
        """What writing to the gateway's own ledgers takes."""
        return Hands(self.scene.installation, self.scene.env, self.workspace)

    @property
    def deaths(self) -> tuple[tuple[int, int], ...]:
        """Start and end of the gateways whose death was seen."""
        return find_deaths(self.lives)

    def next_moment(self) -> int:
        """Name the next action: no two of one call have the same time."""
        self._moment += 1
        return self.scene.now_ms + self._moment - 1

    def read_lines(self) -> Iterator[RunLine]:
        """Read the lines of all run logs."""
        folder = self.scene.installation.cron_store.parent / "runs"
        return read_run_logs(folder, self.result.notes)

    def judge(self, store: Store) -> Judgement:
        """Judge a store once: an end that we write into it changes nothing of what is known."""
        scene = self.scene
        if store not in self.judged:
            self.judged[store] = judge_store(
                scene.installation, store, scene.gateway, scene.now_ms, self.deaths
            )
        return self.judged[store]

    def judge_all(self) -> list[Judgement]:
        """Judge every store that can be judged."""
        for store in self.scene.stores:
            with self.result.keeping_error():
                self.judge(store)
        return list(self.judged.values())

    def is_kept(self, path: Path) -> bool:
        """Say whether a ledger is not ours to write, and tell why."""
        if not path.exists():
            return False
        claim = find_claim(path, self.scene.installation.state_dir)
        if claim is not None:
            self.result.notes.append(claim.to_error().message)
        return claim is not None


def begin(
    env: Mapping[str, str],
    *,
    workspace: Workspace,
    apply: bool,
    on_progress: Progress,
    state_dir: Path | None = None,
    profile: str | None = None,
    agent: str | None = None,
    max_lifetime: str | None = None,
    retention: str | None = None,
    write_tasks: bool = True,
    config: Config | None = None,
    capabilities: Capabilities | None = None,
) -> Work:
    """Look at the installation, and find what the user's settings allow.

    Args:
        env: The gateway's environment, and ours.
        workspace: Where actions are recorded, and the effects.
        apply: Whether to change anything.
        on_progress: As for a compaction.
        state_dir: As everywhere; else `gateway.state_dir`.
        profile: The same.
        agent: Only this agent's store.
        max_lifetime: Instead of `heal.max_lifetime`, in OpenClaw's grammar, or "false".
        retention: Instead of `heal.retention`, and of the gateway's own; the same.
        write_tasks: Whether the gateway's task ledger may be written.
        config: Settings, where the caller has them already.
        capabilities: Of the gateway that starts next, where the caller knows its command.

    Raises:
        Usage: A length of time that is none.
    """
    config = load(env).config if config is None else config
    scene = look(
        env,
        state_dir=state_dir or config.gateway.state_dir,
        profile=profile or config.gateway.profile,
        agent=agent,
    )
    history = History(workspace, os.path.realpath(scene.installation.state_dir))
    terms = Terms(
        max_lifetime_ms=(
            config.heal.max_lifetime_ms
            if max_lifetime is None
            else parse_time_option("--max-lifetime", max_lifetime)
        ),
        retention_ms=(
            config.heal.choose_retention_ms(scene.installation.retention_ms)
            if retention is None
            else parse_time_option("--retention", retention)
        ),
        apply=apply,
        write_tasks=write_tasks,
        heap_limit_bytes=config.gateway.heap_limit_bytes,
        capabilities=scene.capabilities if capabilities is None else capabilities,
        settings=config.reconcile,
    )
    return Work(scene, terms, workspace, on_progress, history, history.lives.read())


def find_deaths(lives: Sequence[Life]) -> tuple[tuple[int, int], ...]:
    """List start and end of the lives whose end was seen."""
    return tuple(
        (life.started_ms, life.ended_ms)
        for life in lives
        if life.ended_ms is not None and life.end_known
    )
