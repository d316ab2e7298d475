"""A gateway's record that a script writes in virtual time, and receivers that hear of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from support.incident_history import make_death
from support.ledger_rows import DISK, GUARD
from tailflip.alerts import turn
from tailflip.alerts.turn import DUE_FACT, take_turn
from tailflip.base import clock
from tailflip.base.workspace import Workspace
from tailflip.flow.alerts import AlertSettings, Delivery, Destination, Message, Silence
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Breaker, BreakerState, Cause, Decision, DecisionKind, Life, Waiting
from tailflip.ledger.history import History

if TYPE_CHECKING:
    import pytest

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home

BEGAN_MS = 1_770_000_000_000  # 2026-02-02 02:40:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
PHONE = Destination("phone")
SETTINGS = AlertSettings(destinations=(PHONE,), host="claw", digest="")


@dataclass
class Receivers:
    """What each destination received; `down` are those that cannot be reached."""

    got: list[tuple[int, str, Message]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    now_ms: int = 0
    tries: int = 0

    def send(self, destination: str, message: Message) -> Delivery:
        self.tries += 1
        if destination in self.down:
            return Delivery(False, "connection refused")
        self.got.append((self.now_ms, destination, message))
        return Delivery(True)

    def list_told(self, name: str = "phone") -> list[tuple[str, str]]:
        """Kind and subject of what a destination received, in order."""
        return [(str(m.kind), m.subject) for _, to, m in self.got if to == name]

    def list_kinds(self, name: str = "phone") -> list[str]:
        return [kind for kind, _ in self.list_told(name)]


@dataclass
class Scene:
    """The record of one gateway, its clock, and the passes that tell of it."""

    home: Home
    monkeypatch: pytest.MonkeyPatch
    settings: AlertSettings = SETTINGS
    now_ms: int = BEGAN_MS
    silence: Silence | None = None
    receivers: Receivers = field(default_factory=Receivers)
    lives: int = 0

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(clock, "now_ms", lambda: self.now_ms)
        self.monkeypatch.setattr(turn.log, "warning", lambda *_, **__: None)
        self.history = self.open()

    def open(self, disk: Disk = DISK) -> History:
        return History(Workspace(self.home, disk), GUARD)

    def set(self, **changed: Any) -> None:
        self.settings = replace(self.settings, **changed)

    # --- time ------------------------------------------------------------------------------

    def turn(self) -> turn.Turn | None:
        self.receivers.now_ms = self.now_ms
        return take_turn(self.history, self.settings, self.receivers.send, self.silence)

    def wait(self, length_ms: int, *, beat_ms: int | None = None) -> None:
        """Let time pass; a pass is made whenever one is due, and with every beat."""
        until_ms = self.now_ms + length_ms
        self.turn()
        while True:
            due_ms = self.history.facts.get(DUE_FACT)
            nexts = [due_ms] if due_ms is not None else []
            if beat_ms is not None:
                nexts.append(self.now_ms + beat_ms)
            next_ms = max(self.now_ms + 1, min(nexts, default=until_ms + 1))
            if next_ms > until_ms:
                break
            self.now_ms = next_ms
            self.turn()
        self.now_ms = until_ms
        self.turn()

    # --- what a guard writes -----------------------------------------------------------------

    def start(self, *, ready_ms: int | None = 2_000, **known: Any) -> Life:
        self.lives += 1
        life = Life(
            id=f"life-{self.lives}", guard=GUARD, mode="run", started_ms=self.now_ms, **known
        )
        self.history.lives.begin(life)
        if ready_ms is not None:
            life = life.model_copy(update={"ready_ms": self.now_ms + ready_ms})
            self.history.lives.update(life)
        return life

    def die(self, life: Life, cause: Cause = Cause.V8_HEAP, **known: Any) -> Life:
        death = make_death(cause)
        incident = self.history.incidents.open(death, self.now_ms)
        ended = life.model_copy(
            update={"ended_ms": self.now_ms, "death": death, "incident": incident.id, **known}
        )
        self.history.lives.end(ended, b"")
        return ended

    def open_breaker(self, life: Life, row: int = 3) -> None:
        breaker = Breaker(
            state=BreakerState.OPEN, signature="v8-heap-oom", row=row, deaths=row,
            waiting=Waiting.CURE,
        )  # fmt: skip
        decision = Decision(kind=DecisionKind.WAIT, reason="loop", alert=True)
        self.history.decisions.record(decision, breaker, life.id, self.now_ms)

    def note_good_life(self) -> None:
        self.history.decisions.record_breaker(Breaker(is_good=True))
        self.history.incidents.close_all(self.now_ms)

    def find(self, *codes: str, subject: str = "/home/u/.openclaw/agents/x/s.json") -> None:
        """Have exactly these findings stand."""
        known = {each.finding.code for each in self.history.findings.read()}
        found = [Finding(code, "warning", subject, "12 things are wrong", "see") for code in codes]
        self.history.findings.note(found, self.now_ms, {*known, *codes})

    def loop(self, deaths: int = 3) -> Life:
        """Let it die in a crash loop: one death every half a minute."""
        for _ in range(deaths):
            life = self.start()
            self.now_ms += 22 * SECOND
            last = self.die(life)
            self.turn()
            self.now_ms += 8 * SECOND
        self.open_breaker(last, deaths)
        return last

    def live_well(self) -> Life:
        life = self.start()
        self.wait(180 * SECOND)
        self.note_good_life()
        self.wait(5 * MINUTE)
        return life
