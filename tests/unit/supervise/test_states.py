"""Every cell of the supervisor's table: what it does in the real supervisor, and what follows."""

from __future__ import annotations

import signal
from collections import defaultdict
from dataclasses import dataclass, field
from unittest import mock

import pytest

from support.incident_history import make_death, make_life
from support.simulated_guard import make_guarded, simulated
from tailflip.base.moments import read_moment
from tailflip.config.load import Config
from tailflip.flow.findings import Finding
from tailflip.flow.lives import (
    Asked,
    Breaker,
    BreakerState,
    Cause,
    Clues,
    Decision,
    Life,
    Moment,
    SafeMode,
    Waiting,
)
from tailflip.supervise import end_actions, life_actions, start_actions, wiring
from tailflip.supervise.admission import Admission
from tailflip.supervise.event_loop import Outcome
from tailflip.supervise.process.child import Child, Exit
from tailflip.supervise.resume import Left
from tailflip.supervise.states import ALIVE, TABLE, Action, Do, Event, Ignored, Phase

P, E = Phase, Event
TERM, USR1 = signal.SIGTERM, signal.SIGUSR1
HELD = (*ALIVE, P.JUDGING)  # the phases in which a process is held


@dataclass
class Process:
    """A gateway's process of which a test says how it is; what is sent to it is noted."""

    life: Life = field(default_factory=lambda: make_life("a", 0, ready_ms=1))
    child: Child = field(default=Child(1, 1, None))
    moves_to: Child | None = None
    foreign: int | None = None
    asked: Asked | None = None
    handed_off: bool = False
    ended: Exit | None = None
    uptime_s: float = 1.0
    sent: list = field(default_factory=list)

    def poll(self):
        if self.moves_to is not None:
            self.child, self.moves_to = self.moves_to, None
        return self.ended

    def find_worker(self, _at=None):
        return False

    def find_foreign(self):
        return self.foreign

    def send(self, number):
        self.sent.append(number)

    def send_worker(self, number):
        self.sent.append(("worker", number))

    def kill(self):
        self.sent.append("kill")

    def sweep(self, number):
        self.sent.append(("sweep", number))
        return False

    def watch_end(self, _callback):
        self.sent.append("watch end")

    def describe_end(self):
        return Clues(exit_code=1)


@dataclass
class Case:
    """What is told with the event, how the world is then, and what must come of it."""

    then: Phase
    told: tuple = ()
    given: dict = field(default_factory=dict)  # attributes of the process
    world: dict = field(default_factory=dict)  # attributes of the supervisor, by dotted name
    stop_asked: bool = False
    maintenance: str = ""  # what lasts: hands off, or quiet only
    sent: tuple = ()
    effect: object = None  # asks the supervisor and the marks it left whether it is as it must be


def quiet(answer):
    return {"watch.is_quiet": lambda: answer}


def restart_signal(number):
    able = mock.Mock(restart_signal=number, drain_s=25.0)
    return {"gateway.release": mock.Mock(capabilities=able)}


OFF, QUIET = "hands off", "quiet only"
SOON = Decision(kind="start", reason="r", waiting=Waiting.TIME, at_ms=1, made=None)
NOW = {"wait.is_over": lambda _breaker: True}
LATER = {"wait.is_over": lambda _breaker: False}
CLUES = Clues(exit_code=1)
WORKS = {"loop.is_working": True}
PATIENT = Config.model_validate({"restart": {"on_hang": False}})
END = (make_death(), make_life("a", 0))
STOPPED = (make_death(Cause.ASKED_STOP), make_life("a", 0))
TREND = Finding("memory-trend", "warning", "g", "it grows", "restart")
SAFE = Breaker(row=3, state=BreakerState.HALF_OPEN, safe=SafeMode.CRON, lived=SafeMode.CRON)
SAFE_LIFE = make_life("a", 0, ready_ms=1, safe=SafeMode.CRON)
FULL = Breaker(starts=tuple(Moment(at_ms=i, mono_ms=1_000_000, boot="b") for i in range(12)))


def left(**what):
    return {"left": Left(**what)}


def asked(who, *, handed_off=False):
    return lambda run, _: (run.held.asked, run.held.handed_off) == (who, handed_off)


def timer(name, *, is_set=True):
    return lambda run, _: run.loop.has(name) is is_set


def resting(run, _):
    """It rests until the maintenance is over, and that is on record; its end will be looked at."""
    standing = run.gateway.history.decisions.read_standing()
    return standing.waiting is Waiting.MAINTENANCE and run.loop.has("maintenance")


def marked(name):
    return lambda _, marks: marks[name] == 1


CASES: dict[tuple[Phase, Event], list[Case]] = {
    (P.RESUMING, E.BEGUN): [
        Case(P.PREPARING, world=left(), effect=marked("prepare")),
        Case(P.WAITING, world=left(decision=SOON), effect=timer("retry")),
        Case(P.CURING, world=left(end=END), effect=marked("heal")),
        Case(P.ENDED, world=left(end=STOPPED)),
        Case(P.RUNNING, world=left(service=Process()), effect=timer("look")),
        Case(
            P.STARTING,
            world=left(service=Process(life=make_life("a", 0))),
            effect=timer("good", is_set=False),
        ),
        Case(P.RESTING, world=left(), maintenance=OFF, effect=resting),
        Case(P.RESTING, world=left(end=END), maintenance=OFF, effect=resting),
        Case(P.RESTING, world=left(decision=SOON), maintenance=OFF, effect=resting),
        Case(P.PREPARING, world=left(), maintenance=QUIET, effect=marked("prepare")),
        Case(
            P.PREPARING,
            world=left() | {"gateway.record.take_trial": lambda: True},
            maintenance=OFF,
            effect=lambda run, _: run.is_asked,
        ),
        Case(P.RUNNING, world=left(service=Process()), maintenance=OFF, effect=timer("look")),
    ],
    (P.PREPARING, E.PREPARED): [
        Case(P.STARTING, (Outcome(Admission()),), effect=marked("start")),
        Case(P.STARTING, (Outcome(error=OSError("we failed")),), effect=marked("start")),
        Case(P.WAITING, (Outcome(Admission(go=False, reason="no")),), effect=timer("retry")),
        Case(
            P.WAITING,
            (Outcome(Admission()),),
            world={"gateway.find_other": lambda: mock.Mock(alive=True, evidence="pid 7")},
            effect=lambda run, _: run.decision.waiting is Waiting.OTHER_INSTANCE,
        ),
        Case(
            P.WAITING,
            (Outcome(Admission()),),
            world={"breaker": FULL},
            effect=lambda run, _: "are enough" in run.decision.reason,
        ),
        Case(
            P.WAITING,
            (Outcome(Admission()),),
            world={"starter.start": lambda _breaker: SOON},
            effect=lambda run, _: run.decision == SOON,
        ),
        Case(P.ENDED, (Outcome(Admission()),), stop_asked=True),
        Case(P.RESTING, (Outcome(Admission()),), maintenance=OFF, effect=resting),
        Case(P.STARTING, (Outcome(Admission()),), maintenance=QUIET, effect=marked("start")),
        Case(
            P.STARTING,
            (Outcome(Admission()),),
            world={"is_asked": True},
            maintenance=OFF,
            effect=lambda run, marks: marks["start"] == 1 and not run.is_asked,
        ),
    ],
    (P.STARTING, E.ANSWERED): [
        Case(P.RUNNING, given={"life": make_life("a", 0)}, effect=timer("good")),
        Case(P.STARTING, given={"foreign": 7}, effect=timer("good", is_set=False)),
    ],
    **{
        (phase, E.HUNG): [
            Case(P.STOPPING, ("silent",), sent=(TERM,), effect=asked(Asked.HANG)),
            Case(phase, ("silent",), world={"gateway.config": PATIENT}),
            Case(phase, ("silent",), maintenance=OFF, effect=marked("patience")),
            Case(P.STOPPING, ("silent",), maintenance=QUIET, sent=(TERM,)),
        ]
        for phase in (P.STARTING, P.RUNNING)
    },
    **{
        (phase, E.CHILD_ENDED): [
            Case(phase, effect=marked("reap")),
            Case(phase, world=WORKS, effect=timer("reap")),
            Case(
                phase,
                given={"moves_to": Child(2, 2, None)},
                sent=("watch end", *((TERM,) if phase is P.STOPPING else ())),
                effect=lambda run, _: run.held.child.pid == 2,
            ),
            Case(P.JUDGING, given={"ended": Exit(1, None)}, effect=marked("examine")),
        ]
        for phase in ALIVE
    },
    **{
        (phase, E.CHILD_ENDED): [
            Case(phase, effect=marked("reap")),
            Case(phase, world=WORKS, effect=timer("reap")),
        ]
        for phase in (P.PREPARING, P.JUDGING, P.CURING, P.WAITING, P.RESTING)
    },
    **{
        (phase, E.EXITED): [
            Case(P.JUDGING, given={"ended": Exit(1, None)}, effect=marked("examine"))
        ]
        for phase in ALIVE
    },
    (P.STARTING, E.MOVED): [Case(P.STARTING, sent=("watch end",), effect=timer("look"))],
    (P.RUNNING, E.MOVED): [Case(P.RUNNING, sent=("watch end",), effect=timer("look"))],
    (P.STOPPING, E.MOVED): [Case(P.STOPPING, sent=("watch end", TERM))],
    (P.JUDGING, E.EXAMINED): [
        Case(P.RUNNING, (Outcome(None),), sent=("watch end",)),
        Case(P.STARTING, (Outcome(None),), {"life": make_life("a", 0)}, sent=("watch end",)),
        Case(P.STOPPING, (Outcome(None),), stop_asked=True, sent=("watch end", TERM)),
        Case(P.WAITING, (Outcome((CLUES, b"")),), effect=lambda run, _: run.held is None),
        Case(P.WAITING, (Outcome(error=ValueError("a bug")),)),
        Case(P.CURING, (Outcome((Clues(signal=9, oom_kills=1), b"")),), effect=marked("heal")),
        Case(P.ENDED, (Outcome((Clues(signal=15), b"")),), stop_asked=True),
        Case(P.ENDED, (Outcome((Clues(exit_code=0, asked=Asked.OPERATOR), b"")),)),
        Case(P.RESTING, (Outcome((CLUES, b"")),), maintenance=OFF, effect=resting),
        Case(
            P.RESTING,
            (Outcome((Clues(signal=9, oom_kills=1), b"")),),
            maintenance=OFF,
            effect=lambda run, _: run.breaker == Breaker(),
        ),
        Case(P.WAITING, (Outcome((CLUES, b"")),), maintenance=QUIET),
        Case(
            P.PREPARING,
            (Outcome((CLUES, b"")),),
            {"asked": Asked.RESTART_SIGNAL},
            maintenance=OFF,
            effect=lambda run, _: run.is_asked,
        ),
    ],
    (P.CURING, E.CURED): [
        Case(P.WAITING, (*END, Outcome(Admission()))),
        Case(P.WAITING, (*END, Outcome(error=OSError("we failed")))),
        Case(P.ENDED, (*END, Outcome(Admission())), stop_asked=True),
        Case(P.RESTING, (*END, Outcome(Admission())), maintenance=OFF, effect=resting),
    ],
    **{
        (P.WAITING, event): [
            Case(P.PREPARING, world=NOW, effect=marked("prepare")),
            Case(P.WAITING, world=LATER),
            Case(P.RESTING, world=NOW, maintenance=OFF, effect=resting),
            Case(P.PREPARING, world=NOW, maintenance=QUIET),
        ]
        for event in (E.LOOK_DUE, E.FILES_CHANGED)
    },
    (P.RESTING, E.LOOK_DUE): [
        Case(P.RESTING, maintenance=OFF),
        Case(
            P.PREPARING,
            world={"gateway.record.take_trial": lambda: True},
            maintenance=OFF,
            effect=lambda run, _: run.is_asked,
        ),
    ],
    **{(phase, E.FILES_CHANGED): [Case(phase, effect=marked("measure now"))] for phase in ALIVE},
    **{
        (phase, E.SAMPLE_DUE): [Case(phase, effect=marked("measure"))]
        for phase in (P.STARTING, P.STOPPING)
    },
    (P.RUNNING, E.SAMPLE_DUE): [
        Case(P.RUNNING, effect=marked("measure")),
        Case(
            P.STOPPING,
            world={
                "watch.find_trend": lambda: TREND,
                "watch.may_restart_ahead": lambda *_: True,
            },
            sent=(TERM,),
            effect=asked(Asked.MEMORY, handed_off=True),
        ),
        Case(
            P.RUNNING,
            world={
                "watch.find_trend": lambda: TREND,
                "watch.may_restart_ahead": lambda *_: True,
            },
            maintenance=OFF,
        ),
    ],
    **{
        (phase, E.LIFE_IS_GOOD): [
            Case(
                phase,
                world={"breaker": Breaker(row=2, state=BreakerState.HALF_OPEN)},
                effect=lambda run, _: (run.breaker.row, run.breaker.is_good) == (0, True),
            ),
            Case(
                phase,
                given={"life": SAFE_LIFE},
                world={"breaker": Breaker(row=3, state=BreakerState.HALF_OPEN)},
                effect=lambda run, _: (
                    (run.breaker.row, run.breaker.lived) == (3, SafeMode.CRON)
                    and run.loop.has("normal")
                ),
            ),
        ]
        for phase in (P.RUNNING, P.STOPPING)
    },
    **{
        (phase, E.LIFE_IS_RESTFUL): [
            Case(phase, effect=lambda run, _: not run.gateway.history.findings.read())
        ]
        for phase in (P.RUNNING, P.STOPPING)
    },
    (P.RUNNING, E.NORMAL_DUE): [
        Case(
            P.STOPPING,
            world={"breaker": SAFE, **quiet(True)},
            sent=(TERM,),
            effect=asked(Asked.SAFE_OVER, handed_off=True),
        ),
        Case(
            P.RUNNING,
            world={"breaker": SAFE, **quiet(False)},
            effect=lambda run, _: (run.breaker.safe, run.breaker.probes) == (None, 1),
        ),
        Case(
            P.RUNNING,
            world={"breaker": SAFE, **quiet(True)},
            maintenance=OFF,
            effect=lambda run, _: run.breaker == SAFE and run.loop.has("normal"),
        ),
    ],
    (P.STOPPING, E.KILL_DUE): [Case(P.STOPPING, sent=("kill",), effect=timer("kill"))],
    **{
        (phase, E.DRAIN_DUE): [
            Case(
                P.STOPPING,
                (1e9, Asked.RESTART_SIGNAL),
                world=quiet(True),
                sent=(TERM,),
                effect=asked(Asked.RESTART_SIGNAL, handed_off=True),
            ),
            Case(P.STOPPING, (0.0, Asked.SAFE_OVER), world=quiet(False), sent=(TERM,)),
            Case(phase, (1e9, Asked.SAFE_OVER), world=quiet(False), effect=timer("drain")),
            Case(
                phase,
                (0.0, Asked.SAFE_OVER),
                world=quiet(True),
                maintenance=OFF,
                effect=timer("normal"),
            ),
            Case(
                P.STOPPING,
                (0.0, Asked.RESTART_SIGNAL),
                world=quiet(True),
                maintenance=OFF,
                sent=(TERM,),
            ),
        ]
        for phase in (P.STARTING, P.RUNNING)
    },
    **{
        (phase, E.STOP_ASKED): [
            Case(P.STOPPING, (TERM,), sent=(TERM,), effect=asked(Asked.OPERATOR))
        ]
        for phase in (P.STARTING, P.RUNNING)
    },
    (P.STOPPING, E.STOP_ASKED): [
        Case(
            P.STOPPING,
            (signal.SIGINT,),
            {"asked": Asked.MEMORY, "handed_off": True},
            sent=(signal.SIGINT,),
            effect=asked(Asked.OPERATOR),
        )
    ],
    **{
        (phase, E.STOP_ASKED): [Case(phase, (TERM,), effect=lambda run, _: run.exit_code is None)]
        for phase in (P.PREPARING, P.JUDGING, P.CURING)
    },
    **{
        (phase, E.STOP_ASKED): [Case(P.ENDED, (TERM,), effect=lambda run, _: run.exit_code == 0)]
        for phase in (P.WAITING, P.RESTING)
    },
    **{
        (phase, E.RESTART_ASKED): [
            Case(phase, (USR1,), world=restart_signal(USR1), sent=(("worker", USR1),)),
            Case(P.STOPPING, (USR1,), world=quiet(True) | restart_signal(None), sent=(TERM,)),
            Case(
                phase,
                (USR1,),
                world=quiet(False) | restart_signal(None),
                effect=timer("drain"),
            ),
        ]
        for phase in (P.STARTING, P.RUNNING)
    },
    **{
        (phase, E.RESTART_ASKED): [
            Case(P.PREPARING, (USR1,), effect=timer("retry", is_set=False)),
            Case(P.PREPARING, (USR1,), maintenance=OFF, effect=lambda run, _: run.is_asked),
        ]
        for phase in (P.WAITING, P.RESTING)
    },
    **{
        (phase, E.RELOAD_ASKED): [Case(phase, effect=marked("reload"))]
        for phase in (P.PREPARING, *ALIVE, P.JUDGING, P.CURING, P.RESTING)
    },
    (P.WAITING, E.RELOAD_ASKED): [
        Case(P.WAITING, world=LATER, effect=marked("reload")),
        Case(P.PREPARING, world=NOW, effect=marked("reload")),
        Case(P.RESTING, world=NOW, maintenance=OFF, effect=marked("reload")),
    ],
    **{
        (phase, E.MAINTENANCE_DUE): [
            Case(phase, maintenance=OFF, effect=timer("maintenance")),
            Case(phase, maintenance=QUIET, effect=timer("maintenance")),
            Case(phase, effect=timer("maintenance", is_set=False)),
        ]
        for phase in (P.PREPARING, *ALIVE, P.JUDGING, P.CURING)
    },
    (P.WAITING, E.MAINTENANCE_DUE): [
        Case(P.RESTING, maintenance=OFF, effect=resting),
        Case(P.WAITING, maintenance=QUIET, effect=timer("maintenance")),
        Case(P.WAITING),
    ],
    (P.RESTING, E.MAINTENANCE_DUE): [
        Case(P.RESTING, maintenance=OFF, effect=timer("maintenance")),
        Case(P.PREPARING, maintenance=QUIET, effect=marked("prepare")),
        Case(P.PREPARING, effect=lambda run, marks: run.is_asked and marks["prepare"] == 1),
    ],
}
# What the worker thread is given to do, by the function that it calls.
WORK = {"prepare_start": "prepare", "examine": "examine", "heal": "heal"}
DONE = [key for key, cell in TABLE.items() if isinstance(cell, Do)]
LEFT_ALONE = [key for key, cell in TABLE.items() if isinstance(cell, Ignored)]
# The signals that a phase may not be left by, told with the event where it has one.
TOLD = {E.STOP_ASKED: (TERM,), E.RESTART_ASKED: (USR1,)}


def begin_maintenance(run, kind):
    if kind:
        table = run.gateway.history.maintenances
        table.begin(60_000, read_moment(), quiet_only=kind == QUIET)


@pytest.fixture
def make_run(monkeypatch):
    """A real supervisor in a phase, in a made-up world; slow work is noted and not done."""
    marks = defaultdict(int)

    def note(name, answer=None):
        def noted(*_args, **_kwargs):
            marks[name] += 1
            return answer

        return noted

    with simulated((), 1e9) as world:
        run = make_guarded(world)

        def make(phase, case):
            run.phase = phase
            run.held = Process() if phase in HELD else None
            run.wait.decision = SOON if phase is P.WAITING else None
            if case.stop_asked:
                run.asked_to_stop.set()
            begin_maintenance(run, case.maintenance)
            for name, value in case.given.items():
                setattr(run.held, name, value)
            for name, value in case.world.items():
                if name == "left":
                    monkeypatch.setattr(wiring, "find_left", lambda *_, found=value: found)
                    continue
                owner, _, last = name.rpartition(".")
                target = run
                for part in owner.split(".") if owner else ():
                    target = getattr(target, part)
                monkeypatch.setattr(target, last, value)
            return run, marks

        def work(job, _on_done):
            [name] = WORK.keys() & set(job.__code__.co_names)
            marks[WORK[name]] += 1

        monkeypatch.setattr(run.loop, "work", work)
        monkeypatch.setattr(run.starter, "start", note("start", Process(make_life("a", 0))))
        monkeypatch.setattr(run.watch, "measure", note("measure"))
        monkeypatch.setattr(run.watch, "measure_now", note("measure now"))
        monkeypatch.setattr(run.watch, "find_trend", note("trend"))
        monkeypatch.setattr(run.watch, "be_patient", note("patience"))
        monkeypatch.setattr(life_actions, "reap_orphans", note("reap"))
        monkeypatch.setattr(start_actions, "reload_settings", note("reload"))
        yield make


def test_the_table_has_a_cell_for_every_pair():
    assert set(TABLE) == {(phase, event) for phase in Phase for event in Event}


def test_every_cell_that_does_something_has_its_cases_and_no_other():
    assert set(CASES) == set(DONE)


def test_every_action_is_in_the_table_and_has_its_function():
    assert {cell.action for cell in TABLE.values() if isinstance(cell, Do)} == set(Action)
    assert set(wiring.ACTIONS) == set(Action)


def test_every_phase_that_a_cell_leads_to_is_reached_by_a_case():
    for key in DONE:
        assert {case.then for case in CASES[key]} == TABLE[key].leads_to


@pytest.mark.parametrize(
    ("phase", "event", "case"),
    [(*key, case) for key in DONE for case in CASES.get(key, ())],
    ids=lambda value: value.then.value if isinstance(value, Case) else value.value,
)
def test_a_cell_does_what_it_says(make_run, phase, event, case):
    run, marks = make_run(phase, case)
    process = run.held
    run.handle(event, *case.told)
    assert run.phase is case.then
    assert run.phase in TABLE[phase, event].leads_to
    sent = [each for each in process.sent if each != ("sweep", 9)] if process is not None else []
    assert tuple(sent) == case.sent
    assert case.effect is None or case.effect(run, marks)
    assert (run.exit_code is not None) == (run.phase is P.ENDED)


@pytest.mark.parametrize(("phase", "event"), LEFT_ALONE)
def test_an_ignored_event_changes_nothing(make_run, phase, event):
    cell = TABLE[phase, event]
    assert cell.because
    run, marks = make_run(phase, Case(phase))
    timers, breaker, decision = dict(run.loop._timers), run.breaker, run.decision
    run.handle(event, *TOLD.get(event, ()))
    assert run.phase is phase
    assert (run.loop._timers, run.breaker, run.decision) == (timers, breaker, decision)
    assert not run.asked_to_stop.is_set()
    assert not marks
    assert run.held is None or (run.held.sent, run.held.asked) == ([], None)


def test_no_process_is_held_where_none_can_be(make_run):
    run, _ = make_run(P.WAITING, Case(P.WAITING))
    with pytest.raises(RuntimeError, match="waiting"):
        _ = run.service
    assert end_actions.ACTIONS.keys().isdisjoint(life_actions.ACTIONS)
