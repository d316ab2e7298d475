"""The values that `steps` take and give: a look at an installation, terms, and results."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.openclaw_units import parse_time_option
from tailflip.config.load import Config, ReconcileSettings, load
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.findings import Looked
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.history import History
from tailflip.ledger.lives import find_deaths
from tailflip.observe.records.reading import Records
from tailflip.reconcile.write.cron_store import Hands
from tailflip.stores.ownership import find_claim
from tailflip.stores.proof.judge import judge_store
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.findings import Finding
    from tailflip.flow.lives import Life
    from tailflip.flow.numbers import Tally
    from tailflip.flow.observed import Store
    from tailflip.flow.outcomes import Report
    from tailflip.observe.records.runlog import RunLine
    from tailflip.stores.proof.judge import Judgement
    from tailflip.stores.target import Scene


@dataclass(frozen=True)
class Terms:
    """The permissions and limits. `max_lifetime_ms` and `retention_ms` None turn their rules off.

    `capabilities` are those of the gateway that will start next. `write_tasks` allows writes
    of the task ledger of a stopped gateway.
    """

    max_lifetime_ms: int | None
    retention_ms: int | None
    apply: bool
    capabilities: Capabilities
    write_tasks: bool = True
    settings: ReconcileSettings = field(default_factory=ReconcileSettings)


class StepKind(StrEnum):
    """What a step does; those that may write carry the name of their action."""

    MARKERS = ActionKind.MARKERS
    HOLD = ActionKind.HOLD
    TASKS = ActionKind.TASKS
    RELEASE = ActionKind.RELEASE
    HEADERS = ActionKind.HEADERS
    ZOMBIES = "zombies"
    RETENTION = "retention"
    STORMS = "storms"
    STUCK = "stuck"
    GROWTH = "growth"


@dataclass(frozen=True)
class Step:
    """One kind on one subject. `counts` has the changes, done or planned; empty for none.

    `words` are the reasons, those of changes first. `left` counts the entries that are
    over and left to the gateway. `action_id` and `undo` are set once the changes are done.
    """

    kind: StepKind
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
    """The steps in the order they were done; `errors` by subject.

    `inputs` are the inputs of findings, `looked` the findings made of them.
    """

    steps: list[Step] = field(default_factory=list)
    inputs: Inputs = field(default_factory=Inputs)
    looked: Looked = field(default_factory=Looked)
    notes: list[str] = field(default_factory=list)
    errors: list[TailflipError] = field(default_factory=list)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings."""
        return self.looked.findings

    @property
    def changes(self) -> int:
        """The number of changes, done or planned."""
        return sum(sum(step.counts.values()) for step in self.steps)

    @contextmanager
    def keeping_error(self) -> Iterator[None]:
        """Record the error of one subject, and go on with the others."""
        try:
            yield
        except TailflipError as e:
            self.errors.append(e)


@dataclass
class Reconciliation:
    """The values that all kinds share. `lives` are those whose death is in our ledger.

    `good_life_s` is the length from which on a life is a good one.
    """

    scene: Scene
    terms: Terms
    workspace: Workspace
    on_progress: Progress
    history: History
    lives: Sequence[Life] = ()
    good_life_s: float = 0.0
    result: Result = field(default_factory=Result)
    judged: dict[Store, Judgement] = field(default_factory=dict)
    _moment: int = 0

    @property
    def hands(self) -> Hands:
        """The hands that write to the gateway's own ledgers."""
        return Hands(self.scene.installation, self.scene.env, self.workspace)

    @property
    def deaths(self) -> tuple[tuple[int, int], ...]:
        """Start and end of the gateways whose death is in our ledger."""
        return find_deaths(self.lives)

    def next_moment(self) -> int:
        """Return a timestamp unique to the next action of this call."""
        self._moment += 1
        return self.scene.now_ms + self._moment - 1

    def read_lines(self) -> Iterator[RunLine]:
        """Read the ends of all runs on record."""
        return Records(self.scene.installation).read_lines(self.result.notes)

    def judge(self, store: Store) -> Judgement:
        """Judge a store once; an end that we write into it changes no verdict."""
        scene = self.scene
        if store not in self.judged:
            self.judged[store] = judge_store(
                scene.installation,
                store,
                scene.gateway,
                scene.now_ms,
                self.deaths,
                ends_chats=self.terms.capabilities.leaves_running_chats,
            )
        return self.judged[store]

    def judge_all(self) -> list[Judgement]:
        """Judge every store that can be judged."""
        for store in self.scene.stores:
            with self.result.keeping_error():
                self.judge(store)
        return list(self.judged.values())

    def is_kept(self, path: Path) -> bool:
        """Say whether a ledger is not ours to write, and note why."""
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
    scene: Scene | None = None,
) -> Reconciliation:
    """Look at the installation, and read what the user's settings allow.

    Args:
        env: The gateway's environment, and ours.
        workspace: Where actions are recorded, and the effects.
        apply: Whether to write changes.
        on_progress: As for a compaction.
        state_dir: The gateway's state directory; else `gateway.state_dir`.
        profile: OpenClaw's profile; else `gateway.profile`.
        agent: Choose this agent's store.
        max_lifetime: Instead of `heal.max_lifetime`, in OpenClaw's grammar, or "false".
        retention: Instead of `heal.retention` and the gateway's own; likewise.
        write_tasks: Whether the gateway's task ledger may be written.
        config: The gateway's own settings, where the caller has them.
        capabilities: Those of the gateway that starts next, where the caller knows its command.
        scene: The installation, where the caller has looked at it: nothing is looked at again.

    Raises:
        Usage: A text is no length of time.
    """
    if scene is None:
        settings = load(env) if config is None else config
        scene = look(env, state_dir=state_dir, profile=profile, agent=agent, settings=settings)
    config = scene.config
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
        capabilities=scene.capabilities if capabilities is None else capabilities,
        settings=config.reconcile,
    )
    return Reconciliation(
        scene,
        terms,
        workspace,
        on_progress,
        history,
        lives=history.lives.read(),
        good_life_s=config.restart.good_life_s,
    )
