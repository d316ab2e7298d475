"""The states of `tailflip run`: what each event means in each phase.

    resuming ──▶ any of
    preparing ──▶ starting ──▶ running ──▶ judging ──▶ curing ──▶ waiting ──▶ preparing
        │            └────────────┴──▶ stopping ──▶ judging           │
        └──▶ ended ◀───────────────────────────────────┴──────────────┘

During a maintenance a gateway that has ended is neither cured nor started:

    preparing | judging | curing | waiting ──▶ resting ──▶ preparing | ended

`TABLE` has a cell for every pair of phase and event: an action with the phases it may lead to,
or the reason why the event is ignored. The table is a value; `supervisor.Supervisor` runs it.
"""

from __future__ import annotations

from enum import StrEnum, auto
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


class Phase(StrEnum):
    """Where the supervisor is."""

    RESUMING = "resuming"  # the supervisor takes up what the last one left
    PREPARING = "preparing"  # a thread looks at the stores and heals them
    STARTING = "starting"  # the gateway lives and has not answered yet
    RUNNING = "running"  # the gateway has answered
    STOPPING = "stopping"  # the gateway was asked to end
    JUDGING = "judging"  # a thread finds out why the gateway ended
    CURING = "curing"  # a thread compacts the stores after a death of memory
    WAITING = "waiting"  # for a time, or for a change
    RESTING = "resting"  # a person works on the gateway, and none lives
    ENDED = "ended"  # the supervisor has its exit code


class Event(StrEnum):
    """What may happen; the comments have its arguments in brackets."""

    BEGUN = auto()  # the supervisor is there, and nothing has happened yet
    PREPARED = auto()  # the stores were looked at [Outcome of an Admission]
    ANSWERED = auto()  # the gateway gave its first good answer
    HUNG = auto()  # it was silent for too long [why]
    CHILD_ENDED = auto()  # some process of ours may have ended
    EXITED = auto()  # the gateway's process ended
    MOVED = auto()  # the gateway goes on in another process
    EXAMINED = auto()  # its end was looked into [Outcome of clues and last words]
    CURED = auto()  # the stores were looked at after a death [death, life, Outcome]
    LOOK_DUE = auto()  # it is time to see whether a wait is over
    FILES_CHANGED = auto()  # a store or the configuration was written
    SAMPLE_DUE = auto()  # it is time to measure memory
    LIFE_IS_GOOD = auto()  # this life is long enough to count as good
    LIFE_IS_RESTFUL = auto()  # this life is too long to be part of a loop of restarts
    NORMAL_DUE = auto()  # a gateway that was started safely is to be started as usual
    KILL_DUE = auto()  # the gateway did not end in time
    DRAIN_DUE = auto()  # it is time to see whether jobs are in flight [until when, asked]
    STOP_ASKED = auto()  # SIGTERM, SIGINT or SIGQUIT [signal]
    RESTART_ASKED = auto()  # SIGUSR1 or SIGUSR2 [signal]
    RELOAD_ASKED = auto()  # SIGHUP
    MAINTENANCE_DUE = auto()  # a maintenance may have begun or ended


class Action(StrEnum):
    """What the supervisor may do; `ACTIONS` has a function for each."""

    RESUME = auto()
    START_OR_WAIT = auto()
    MEET = auto()
    END_HUNG = auto()
    LOOK_AT_PROCESS = auto()
    REAP = auto()
    EXAMINE = auto()
    FOLLOW = auto()
    FOLLOW_AND_STOP = auto()
    JUDGE = auto()
    DECIDE = auto()
    RECONSIDER = auto()
    MEASURE = auto()
    MEASURE_NOW = auto()
    MEASURE_AND_FORESEE = auto()
    CLOSE_BREAKER = auto()
    END_RESTART_LOOP = auto()
    LEAVE_SAFE = auto()
    KILL = auto()
    RESTART_WHEN_QUIET = auto()
    STOP = auto()
    STOP_AGAIN = auto()
    STOP_AFTER_WORK = auto()
    END = auto()
    RESTART = auto()
    TRY_NOW = auto()
    RELOAD = auto()
    RELOAD_AND_RECONSIDER = auto()
    NOTE_MAINTENANCE = auto()
    REST = auto()
    END_REST = auto()
    START_IF_ASKED = auto()


@dataclass(frozen=True)
class Do:
    """A cell: do this. `leads_to` are the phases that may follow, the present one included."""

    action: Action
    leads_to: frozenset[Phase]


@dataclass(frozen=True)
class Ignored:
    """A cell: nothing is done, for this reason."""

    because: str


Cell = Do | Ignored

_P, _E, _A = Phase, Event, Action
_NO_GATEWAY = (_P.PREPARING, _P.JUDGING, _P.CURING, _P.WAITING, _P.RESTING)
ALIVE = (_P.STARTING, _P.RUNNING, _P.STOPPING)


def _do(*phases: Phase, action: Action, leads_to: tuple[Phase, ...] = ()) -> dict[Phase, Cell]:
    """Make the cells of some phases; an action without `leads_to` stays in its phase."""
    return {each: Do(action, frozenset(leads_to or (each,))) for each in phases}


def _ignore(*phases: Phase, because: str) -> dict[Phase, Cell]:
    return {each: Ignored(because) for each in phases}


_ROWS: dict[Event, dict[Phase, Cell]] = {
    _E.BEGUN: {
        **_ignore(*_NO_GATEWAY, *ALIVE, because="it began before this phase"),
    },
    _E.PREPARED: {
        **_do(
            _P.PREPARING,
            action=_A.START_OR_WAIT,
            leads_to=(_P.STARTING, _P.WAITING, _P.RESTING, _P.ENDED),
        ),
        **_ignore(
            *ALIVE,
            _P.JUDGING,
            _P.CURING,
            _P.WAITING,
            _P.RESTING,
            because="the look at the stores is over before this phase begins",
        ),
    },
    _E.ANSWERED: {
        **_do(_P.STARTING, action=_A.MEET, leads_to=(_P.STARTING, _P.RUNNING)),
        **_ignore(_P.RUNNING, because="a later answer is no news"),
        **_ignore(_P.STOPPING, because="it was asked to end before it had answered"),
        **_ignore(*_NO_GATEWAY, because="the answer was under way when the gateway ended"),
    },
    _E.HUNG: {
        **_do(_P.STARTING, action=_A.END_HUNG, leads_to=(_P.STARTING, _P.STOPPING)),
        **_do(_P.RUNNING, action=_A.END_HUNG, leads_to=(_P.RUNNING, _P.STOPPING)),
        **_ignore(_P.STOPPING, because="it was asked to end, and is killed if it does not"),
        **_ignore(*_NO_GATEWAY, because="there is no gateway that could hang"),
    },
    _E.CHILD_ENDED: {
        **_do(_P.STARTING, action=_A.LOOK_AT_PROCESS, leads_to=(_P.STARTING, _P.JUDGING)),
        **_do(_P.RUNNING, action=_A.LOOK_AT_PROCESS, leads_to=(_P.RUNNING, _P.JUDGING)),
        **_do(_P.STOPPING, action=_A.LOOK_AT_PROCESS, leads_to=(_P.STOPPING, _P.JUDGING)),
        **_do(*_NO_GATEWAY, action=_A.REAP),
    },
    _E.EXITED: {
        **_do(*ALIVE, action=_A.EXAMINE, leads_to=(_P.JUDGING,)),
        **_ignore(*_NO_GATEWAY, because="an end is told once, and takes us out of this phase"),
    },
    _E.MOVED: {
        **_do(_P.STARTING, _P.RUNNING, action=_A.FOLLOW),
        **_do(_P.STOPPING, action=_A.FOLLOW_AND_STOP),
        **_ignore(*_NO_GATEWAY, because="there is no gateway that could move"),
    },
    _E.EXAMINED: {
        **_do(
            _P.JUDGING,
            action=_A.JUDGE,
            leads_to=(
                *(_P.STARTING, _P.RUNNING, _P.STOPPING),  # it goes on in a successor
                *(_P.CURING, _P.WAITING, _P.ENDED),
                *(_P.RESTING, _P.PREPARING),  # during a maintenance
            ),
        ),
        **_ignore(
            _P.PREPARING,
            *ALIVE,
            _P.CURING,
            _P.WAITING,
            _P.RESTING,
            because="the examination is over before this phase begins",
        ),
    },
    _E.CURED: {
        **_do(_P.CURING, action=_A.DECIDE, leads_to=(_P.WAITING, _P.RESTING, _P.ENDED)),
        **_ignore(
            _P.PREPARING,
            *ALIVE,
            _P.JUDGING,
            _P.WAITING,
            _P.RESTING,
            because="the cure is over before this phase begins",
        ),
    },
    _E.LOOK_DUE: {
        **_do(
            _P.WAITING,
            action=_A.RECONSIDER,
            leads_to=(_P.WAITING, _P.RESTING, _P.PREPARING),
        ),
        **_do(_P.RESTING, action=_A.START_IF_ASKED, leads_to=(_P.RESTING, _P.PREPARING)),
        **_ignore(
            _P.PREPARING, *ALIVE, _P.JUDGING, _P.CURING, because="there is nothing to wait for"
        ),
    },
    _E.FILES_CHANGED: {
        **_do(
            _P.WAITING,
            action=_A.RECONSIDER,
            leads_to=(_P.WAITING, _P.RESTING, _P.PREPARING),
        ),
        **_do(*ALIVE, action=_A.MEASURE_NOW),
        **_ignore(_P.RESTING, because="a person is at work; its end is what is waited for"),
        **_ignore(
            _P.PREPARING, _P.JUDGING, _P.CURING, because="the stores are looked at anyway soon"
        ),
    },
    _E.SAMPLE_DUE: {
        **_do(_P.STARTING, _P.STOPPING, action=_A.MEASURE),
        **_do(_P.RUNNING, action=_A.MEASURE_AND_FORESEE, leads_to=(_P.RUNNING, _P.STOPPING)),
        **_ignore(*_NO_GATEWAY, because="there is no gateway to measure"),
    },
    _E.LIFE_IS_GOOD: {
        **_do(_P.RUNNING, _P.STOPPING, action=_A.CLOSE_BREAKER),
        **_ignore(_P.STARTING, because="a life counts from its first answer on"),
        **_ignore(*_NO_GATEWAY, because="the life ended first"),
    },
    _E.LIFE_IS_RESTFUL: {
        **_do(_P.RUNNING, _P.STOPPING, action=_A.END_RESTART_LOOP),
        **_ignore(_P.STARTING, because="a life counts from its first answer on"),
        **_ignore(*_NO_GATEWAY, because="the life ended first"),
    },
    _E.NORMAL_DUE: {
        **_do(_P.RUNNING, action=_A.LEAVE_SAFE, leads_to=(_P.RUNNING, _P.STOPPING)),
        **_ignore(_P.STARTING, because="a safe life counts from its first answer on"),
        **_ignore(_P.STOPPING, because="it was asked to end, and its next start is chosen then"),
        **_ignore(*_NO_GATEWAY, because="the safe life ended first"),
    },
    _E.KILL_DUE: {
        **_do(_P.STOPPING, action=_A.KILL),
        **_ignore(_P.STARTING, _P.RUNNING, because="nobody asked the gateway to end"),
        **_ignore(*_NO_GATEWAY, because="the gateway has ended"),
    },
    _E.DRAIN_DUE: {
        **_do(_P.STARTING, action=_A.RESTART_WHEN_QUIET, leads_to=(_P.STARTING, _P.STOPPING)),
        **_do(_P.RUNNING, action=_A.RESTART_WHEN_QUIET, leads_to=(_P.RUNNING, _P.STOPPING)),
        **_ignore(_P.STOPPING, because="the gateway is asked to end already"),
        **_ignore(*_NO_GATEWAY, because="the gateway has ended, and is started again"),
    },
    _E.STOP_ASKED: {
        **_do(_P.STARTING, _P.RUNNING, action=_A.STOP, leads_to=(_P.STOPPING,)),
        **_do(_P.STOPPING, action=_A.STOP_AGAIN),
        **_do(_P.PREPARING, _P.JUDGING, _P.CURING, action=_A.STOP_AFTER_WORK),
        **_do(_P.WAITING, _P.RESTING, action=_A.END, leads_to=(_P.ENDED,)),
    },
    _E.RESTART_ASKED: {
        **_do(_P.STARTING, action=_A.RESTART, leads_to=(_P.STARTING, _P.STOPPING)),
        **_do(_P.RUNNING, action=_A.RESTART, leads_to=(_P.RUNNING, _P.STOPPING)),
        **_do(_P.WAITING, _P.RESTING, action=_A.TRY_NOW, leads_to=(_P.PREPARING,)),
        **_ignore(_P.STOPPING, because="it ends already"),
        **_ignore(_P.PREPARING, because="it is about to start"),
        **_ignore(_P.JUDGING, _P.CURING, because="it has ended; what follows is decided soon"),
    },
    _E.RELOAD_ASKED: {
        **_do(_P.PREPARING, *ALIVE, _P.JUDGING, _P.CURING, _P.RESTING, action=_A.RELOAD),
        **_do(
            _P.WAITING,
            action=_A.RELOAD_AND_RECONSIDER,
            leads_to=(_P.WAITING, _P.RESTING, _P.PREPARING),
        ),
    },
    _E.MAINTENANCE_DUE: {
        **_do(_P.PREPARING, *ALIVE, _P.JUDGING, _P.CURING, action=_A.NOTE_MAINTENANCE),
        **_do(_P.WAITING, action=_A.REST, leads_to=(_P.WAITING, _P.RESTING)),
        **_do(_P.RESTING, action=_A.END_REST, leads_to=(_P.RESTING, _P.PREPARING)),
    },
}

_RESUME = Do(
    _A.RESUME,
    frozenset(
        {
            *(_P.PREPARING, _P.STARTING, _P.RUNNING, _P.CURING),
            *(_P.WAITING, _P.RESTING, _P.ENDED),
        },
    ),
)
_EARLY = Ignored("the loop turns once what was left has been taken up")
_OVER = Ignored("the supervisor has its exit code")


def _find_cell(phase: Phase, event: Event) -> Cell:
    if phase is Phase.RESUMING:
        return _RESUME if event is Event.BEGUN else _EARLY
    return _OVER if phase is Phase.ENDED else _ROWS[event][phase]


TABLE: Mapping[tuple[Phase, Event], Cell] = {
    (phase, event): _find_cell(phase, event) for phase in Phase for event in Event
}
