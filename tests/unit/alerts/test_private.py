"""Nothing private is in any message: canaries in everything that the record holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.alert_rows import make_alert
from support.alert_scenes import DAY, HOUR, MINUTE, Scene
from support.incident_history import make_death
from tailflip.alerts import turn
from tailflip.flow.alerts import Delivery, Destination, MessageKind, Urgency
from tailflip.flow.findings import Code, Finding
from tailflip.flow.lives import (
    Breaker,
    BreakerState,
    Cause,
    Confidence,
    Decision,
    DecisionKind,
    Waiting,
)
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.ledger.starts import JudgedStart

JOB = "57062c12-1111-2222-3333-444455556666"
CANARIES = ("CANARY", "agent:main:whatsapp", "+4912345", JOB, "/agents/", "sessions.json")
NAME = "CANARY-job Anna's pills"
PATH = "/home/u/.openclaw/agents/CANARY/sessions/sessions.json"
PRIVATE = "CANARY-token agent:main:whatsapp:direct:+4912345"
ALL = Destination("all", Urgency.NOTICE)
ONCALL = Destination("oncall", Urgency.CRITICAL, 15 * MINUTE)


def fill(scene):
    """Put canaries into every cell that the passes read."""
    death = make_death(Cause.CONFIG, signature=PRIVATE, evidence=(PRIVATE,), hint=PRIVATE)
    for cause in (Cause.CONFIG, Cause.HANG, Cause.UNKNOWN):
        life = scene.start(command=("node", PRIVATE), version=PRIVATE)
        incident = scene.history.incidents.open(death, scene.now_ms)
        ended = life.model_copy(
            update={
                "ended_ms": scene.now_ms + 9,
                "death": death.model_copy(update={"cause": cause, "confidence": Confidence.GUESS}),
                "incident": incident.id,
            }
        )
        scene.history.lives.end(ended, PRIVATE.encode())
        scene.now_ms += MINUTE
    breaker = Breaker(state=BreakerState.OPEN, signature=PRIVATE, row=3, deaths=3,
                      waiting=Waiting.CONFIG_CHANGE, marks=PRIVATE)  # fmt: skip
    decision = Decision(kind=DecisionKind.WAIT, reason=PRIVATE, alert=True)
    scene.history.decisions.record(decision, breaker, ended.id, scene.now_ms)
    scene.history.starts.record(
        JudgedStart(at_ms=scene.now_ms, mode="gate", go=False, reason=PRIVATE, hint=PRIVATE)
    )
    ledger = Ledger(scene.history.workspace)
    for at, kind in enumerate(ActionKind):
        for state in (State.DONE, State.UNDONE):
            ledger.begin(
                Action(
                    id=f"A{at}{state}", kind=kind, store=f"{PATH}{at}", state=state,
                    created_ms=scene.now_ms, details=Details(temps=(PATH,)),
                )
            )  # fmt: skip
    scene.history.findings.note(
        [
            Finding(code, "error", subject, "12 of 13", f"{PRIVATE} {JOB}", (PRIVATE,))
            for code in (*Code, "CANARY-of-another-release")
            for subject in (PATH, NAME)
        ],
        scene.now_ms,
        set(Code),
    )


@pytest.fixture
def logged(monkeypatch):
    said = []
    monkeypatch.setattr(turn.log, "warning", lambda *a, **k: said.append(f"{a} {k}"))
    return said


def tell_all(scene: Scene) -> list[str]:
    """Everything that leaves the host in two days: while it is so, and when it is over."""
    said = []

    def send(destination, message):
        said.append(f"{message.subject}\n{message.body}\n{message.alerts}")
        if len(said) % 3 == 0:
            return Delivery(False, "connection refused")
        return scene.receivers.send(destination, message)

    fill(scene)
    for _ in range(30):
        turn.take_turn(scene.history, scene.settings, send)
        scene.now_ms += 2 * HOUR
    writer = turn.make_writer(scene.history.guard, scene.settings)
    said += [
        "\n".join(writer.write(kind, alerts, scene.now_ms))
        for alert in scene.history.alerts.read(0)  # most did not fit a message
        for kind in (MessageKind.OPENED, MessageKind.RECOVERED)
        for alerts in ((alert,), (make_alert(1), alert))
    ]
    scene.history.findings.note((), scene.now_ms, {*Code, "CANARY-of-another-release"})
    scene.live_well()
    for _ in range(10):
        turn.take_turn(scene.history, scene.settings, send)
        scene.now_ms += DAY // 8
    return said


@pytest.mark.parametrize("names", [False, True])
def test_no_message_holds_what_is_private(scene, logged, names):
    scene.set(destinations=(ALL, ONCALL), digest="08:00", names=names)
    said = tell_all(scene)
    kinds = {str(each.kind) for each in scene.history.notices.read(0)}
    assert kinds == {"opened", "reminder", "escalated", "recovered", "digest"}
    told = [text for text in (*said, *logged) if any(each in text for each in CANARIES)]
    if not names:
        assert told == []
        assert any("job storm: 57062c12" in text for text in said)
        return
    # Names of jobs, and nothing else, where a person wants them.
    assert len([text for text in told if NAME in text]) > 5
    for text in told:
        rest = text.replace(NAME, "").replace(PATH[:40], "")  # the subjects of these findings
        assert not any(each in rest for each in CANARIES), text


def test_the_subject_of_an_alert_stays_on_this_host(scene):
    scene.find("store-invalid", subject=PATH)
    scene.wait(HOUR)
    (alert,) = scene.history.alerts.read(0)
    assert alert.subject == PATH
    (_, _, message) = scene.receivers.got[0]
    assert Path(PATH).name not in message.subject + message.body
    assert replace(alert, subject="") != alert
