"""The breaker's table: one test per cell, and what ends each of its waits."""

from __future__ import annotations

import dataclasses

import pytest

from support.breaker_worlds import AT, NOW, make_seen, make_world
from tailflip.config.schema import RestartSettings
from tailflip.diagnose.causes import CAUSES, OUT_OF_MEMORY, WANTED, Opens
from tailflip.flow.lives import (
    Breaker,
    BreakerState,
    Cause,
    Confidence,
    Decision,
    DecisionKind,
    Moment,
    Waiting,
)
from tailflip.supervise.breaker import (
    MOST_STARTS,
    WITHIN_MS,
    anchor,
    decide,
    hold_back,
    is_due,
    note_good_life,
    note_start,
    reconsider,
    wait_for,
)

LIMITS = RestartSettings(
    first_delay_s=1, factor=2, cap_s=300, jitter=0, loop_deaths=3, trial_first_s=300,
    trial_cap_s=3600, safe_start=False,
)  # fmt: skip
WORLD = make_world(
    config_mark="c1", stores_mark="s1", state_mark="d1", program_mark="p1", room=(0, 9),
    limits=LIMITS,
)  # fmt: skip
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def world(**changes):
    return dataclasses.replace(WORLD, **changes)


def death(cause, signature=None):
    unready = CAUSES[cause].opens is Opens.UNREADY
    return make_seen(cause, signature=signature or cause.value, unready=unready)


def breaker(cause, row, state=CLOSED, trials=0):
    return Breaker(state=state, signature=str(cause), row=row, deaths=row, trials=trials)


# Situation: deaths in this row before, state, trials before, cured, another one alive.
SITUATIONS = {
    "first": (0, CLOSED, 0, False, False),
    "second": (1, CLOSED, 0, False, False),
    "third": (2, CLOSED, 0, False, False),
    "first, cured": (0, CLOSED, 0, True, False),
    "third, cured": (2, CLOSED, 0, True, False),
    "sixth, cured": (5, CLOSED, 0, True, False),
    "first, beside": (0, CLOSED, 0, False, True),
    "third, beside": (2, CLOSED, 0, False, True),
    "open": (3, OPEN, 0, False, False),
    "trial": (3, HALF_OPEN, 1, False, False),
    "trial, cured": (3, HALF_OPEN, 1, True, False),
    "trial, cured in vain": (6, HALF_OPEN, 1, True, False),
    "fifth trial": (7, HALF_OPEN, 5, False, False),
    "trial, beside": (3, HALF_OPEN, 1, False, True),
}

MEMORY = {
    "first": "start closed time 1",
    "second": "start closed time 2",
    "third": "wait open cure 300 alert",
    "first, cured": "start closed time 1",
    "third, cured": "start closed time 1",
    "sixth, cured": "wait open cure 300 alert",
    "first, beside": "start closed time 1",
    "third, beside": "wait open cure 300 alert",
    "open": "wait open cure 300",
    "trial": "wait open cure 600",
    "trial, cured": "start closed time 1",
    "trial, cured in vain": "wait open cure 600",
    "fifth trial": "wait open cure 3600",
    "trial, beside": "wait open cure 600",
}
PLAIN = {
    "first": "start closed time 1",
    "second": "start closed time 2",
    "third": "wait open time 300 alert",
    "first, cured": "start closed time 1",
    "third, cured": "wait open time 300 alert",
    "sixth, cured": "wait open time 300 alert",
    "first, beside": "start closed time 1",
    "third, beside": "wait open time 300 alert",
    "open": "wait open time 300",
    "trial": "wait open time 600",
    "trial, cured": "wait open time 600",
    "trial, cured in vain": "wait open time 600",
    "fifth trial": "wait open time 3600",
    "trial, beside": "wait open time 600",
}
LEASE = {
    name: cell.replace("time 1", "time 300").replace("time 2", "time 300")
    for name, cell in PLAIN.items()
}
OTHER = PLAIN | {
    "first, beside": "wait closed other-instance never",
    "third, beside": "wait open other-instance never alert",
    "trial, beside": "wait open other-instance never",
}
CONFIG = {
    "first": "wait open config-change 3600 alert",
    "second": "wait open config-change 3600 alert",
    "third": "wait open config-change 3600 alert",
    "first, cured": "start closed time 1",
    "third, cured": "start closed time 1",
    "sixth, cured": "wait open config-change 3600 alert",
    "first, beside": "wait open config-change 3600 alert",
    "third, beside": "wait open config-change 3600 alert",
    "open": "wait open config-change 3600",
    "trial": "wait open config-change 3600",
    "trial, cured": "start closed time 1",
    "trial, cured in vain": "wait open config-change 3600",
    "fifth trial": "wait open config-change 3600",
    "trial, beside": "wait open config-change 3600",
}
STATE = {name: cell.replace("config-change", "state-change") for name, cell in CONFIG.items()}
PROGRAM = {name: cell.replace("config-change", "program-change") for name, cell in CONFIG.items()}
DISK = {name: cell.replace("wait open time", "wait open room") for name, cell in PLAIN.items()}
UPDATE = {name: f"start {state} time 300" for name, (_row, state, *_rest) in SITUATIONS.items()}
# Of a life that was no good one; what follows a good life is in a table of its own.
RESTART = {
    "first": "start closed nothing 0",
    "second": "start closed time 1",
    "third": "wait open time 2 alert",
    "first, cured": "start closed nothing 0",
    "third, cured": "wait open time 2 alert",
    "sixth, cured": "wait open time 16 alert",
    "first, beside": "start closed nothing 0",
    "third, beside": "wait open time 2 alert",
    "open": "wait open time 4",
    "trial": "wait open time 4",
    "trial, cured": "wait open time 4",
    "trial, cured in vain": "wait open time 32",
    "fifth trial": "wait open time 1200",
    "trial, beside": "wait open time 4",
}
UPDATE = PLAIN | {
    "first": "start closed time 300",
    "second": "start closed time 300",
    "first, cured": "start closed time 300",
    "first, beside": "start closed time 300",
}
PARKED = PROGRAM | {
    "first": "wait closed program-change 3600",
    "second": "wait closed program-change 3600",
    "first, cured": "wait closed program-change 3600",
    "third, cured": "wait open program-change 3600 alert",
    "first, beside": "wait closed program-change 3600",
    "trial, cured": "wait open program-change 3600",
}
END = {name: f"end {state} nothing never" for name, (_row, state, *_rest) in SITUATIONS.items()}

TABLE = {
    Cause.V8_HEAP: MEMORY,
    Cause.CGROUP_OOM: MEMORY,
    Cause.KERNEL_OOM: MEMORY,
    Cause.OOMD: MEMORY,
    Cause.CONFIG: CONFIG,
    Cause.MIGRATION: STATE,
    Cause.NEWER_SCHEMA: STATE,
    Cause.DAMAGED: STATE,
    Cause.INSTALLATION: PROGRAM,
    Cause.DISK_FULL: DISK,
    Cause.TASK_LEDGER: MEMORY,
    Cause.NATIVE_MEMORY: PLAIN,
    Cause.ADDRESS: PLAIN,
    Cause.WATCH_LIMIT: PLAIN,
    Cause.FILES_LIMIT: PLAIN,
    Cause.PERMISSION: PLAIN,
    Cause.TOO_LARGE: PLAIN,
    Cause.OTHER_INSTANCE: OTHER,
    Cause.PORT_IN_USE: OTHER,
    Cause.LOCKED: PLAIN,
    Cause.LEASED: LEASE,
    Cause.NATIVE_CRASH: PLAIN,
    Cause.HANG: PLAIN,
    Cause.ENDED: PLAIN,
    Cause.UNKNOWN: PLAIN,
    Cause.UPDATE: UPDATE,
    Cause.PARKED: PARKED,
    Cause.PLANNED_RESTART: RESTART,
    Cause.ASKED_STOP: END,
}


def test_a_module_that_goes_missing_while_it_runs_is_started_again_at_once():
    """Its package was replaced under it; waiting for a change would keep the new one down."""
    seen = death(Cause.INSTALLATION).model_copy(update={"unready": False})
    after, decision = decide(Breaker(), seen, WORLD)
    assert (after.state, decision.kind, decision.waiting) == (CLOSED, "start", Waiting.TIME)


def test_a_stop_that_nobody_is_known_to_have_asked_for_is_no_end():
    """earlyoom had sent SIGTERM; the gateway said that it got one, and nobody was left."""
    seen = death(Cause.ASKED_STOP).model_copy(update={"confidence": Confidence.LIKELY})
    after, decision = decide(Breaker(), seen, WORLD)
    assert (after.row, decision.kind, decision.waiting) == (1, "start", Waiting.TIME)


def test_the_table_is_whole():
    assert set(TABLE) == set(Cause)
    assert all(set(cells) == set(SITUATIONS) for cells in TABLE.values())


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("cause", list(Cause))
def test_cell(cause, situation):
    row, state, trials, cured, beside = SITUATIONS[situation]
    before = breaker(cause, row, state, trials) if row else Breaker()
    after, decision = decide(before, death(cause), world(cured=cured, other_alive=beside))
    when = "never" if decision.at_ms is None else f"{(decision.at_ms - NOW) / 1000:g}"
    cell = f"{decision.kind} {after.state} {decision.waiting} {when}"
    assert cell + " alert" * decision.alert == TABLE[cause][situation]
    assert decision.reason
    assert (decision.exit_code == 0) is (decision.kind == "end")
    if cause is Cause.ASKED_STOP:
        assert (after.row, after.signature, after.trials) == (row, before.signature, trials)
        return
    assert (after.row, after.signature) == (row + 1, str(cause))
    if decision.waiting is not Waiting.NOTHING:
        assert (after.waiting, after.until_ms) == (decision.waiting, decision.at_ms)


@pytest.mark.parametrize(
    ("cause", "cell"),
    [
        (Cause.PLANNED_RESTART, "start nothing 0"),
        (Cause.UPDATE, "start time 300"),
        (Cause.PARKED, "wait program-change 3600"),
    ],
)
def test_what_a_good_life_wished_for_is_done_and_counts_for_nothing(cause, cell):
    before = note_good_life(breaker(Cause.HANG, 2))
    after, decision = decide(before, death(cause), WORLD)
    assert f"{decision.kind} {decision.waiting} {(decision.at_ms - NOW) / 1000:g}" == cell
    assert not decision.alert
    assert (after.row, after.deaths, after.state) == (0, 0, CLOSED)


def live(now, cause, at_ms):
    """One more life that ends at once, and was started at a moment."""
    started = note_start(now, Moment(at_ms=at_ms))
    return decide(started, death(cause), world(now_ms=at_ms))


def test_a_gateway_that_restarts_itself_at_once_is_in_a_loop_that_is_told_with_its_pace():
    """It ended with 0 after 40 ms and asked for a restart: 384 starts in 15 s, and no word."""
    now, at_ms, told = Breaker(), NOW, []
    while at_ms < NOW + 3_600_000:
        now, decision = live(now, Cause.PLANNED_RESTART, at_ms)
        told.append(decision)
        at_ms = decision.at_ms
    waits = [(each.at_ms - each.made.at_ms) / 1000 for each in told]
    assert waits == [0, 1, 2, 4, 8, 300, 600, 1200, 2400]
    assert [each.alert for each in told].count(True) == 1
    assert told[2].alert
    assert "restarts itself again and again, 3 times in a row, once every" in told[2].reason
    assert now.state is OPEN


def test_restarts_between_deaths_are_no_way_out_of_their_row():
    now, at_ms, waits = Breaker(), NOW, []
    for turn in range(12):
        cause = Cause.PLANNED_RESTART if turn % 2 else Cause.NATIVE_CRASH
        now, decision = live(now, cause, at_ms)
        waits.append((decision.at_ms - at_ms) / 1000)
        at_ms = decision.at_ms
    assert waits[:8] == [1, 1, 4, 4, 16, 16, 64, 64]
    assert min(waits[8:]) >= 128
    assert now.state is OPEN


@pytest.mark.parametrize("cause", sorted(set(Cause) - WANTED))
def test_another_kind_of_death_begins_its_own_row(cause):
    before = breaker("something else", 5, HALF_OPEN, 3)
    after, _ = decide(before, death(cause), WORLD)
    assert (after.row, after.deaths, after.trials) == (1, 6, 0)


def test_two_kinds_of_death_that_take_turns_are_a_loop_too():
    """A hang, a crash, a hang, a crash: no row grows, and nobody ever sleeps."""
    now, waits = Breaker(), []
    for turn in range(12):
        cause = Cause.HANG if turn % 2 else Cause.NATIVE_CRASH
        now, decision = decide(note_start(now, AT), death(cause), WORLD)
        waits.append(((decision.at_ms - NOW) / 1000, now.state, decision.alert))
    assert [wait_s for wait_s, _, _ in waits] == [1, 2, 4, 8, 16, 32, 64, 128, 300, 600, 1200, 2400]
    assert [state for _, state, _ in waits] == [CLOSED] * 8 + [OPEN] * 4
    assert [alert for _, _, alert in waits].count(True) == 1
    assert (now.row, now.deaths) == (1, 12)


def test_cures_that_change_the_death_do_not_make_it_a_new_loop_for_ever():
    now = Breaker()
    for turn in range(9):
        now, decision = decide(now, death(Cause.V8_HEAP, f"sort {turn}"), world(cured=True))
    assert now.state is OPEN
    assert decision.kind == "wait"


# --- from decision to start --------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "trials", "after", "trials_after"),
    [
        (CLOSED, 0, CLOSED, 0),
        (OPEN, 0, HALF_OPEN, 1),
        (OPEN, 2, HALF_OPEN, 3),
        (HALF_OPEN, 1, HALF_OPEN, 1),
    ],
)
def test_a_start_of_an_open_breaker_is_a_trial(state, trials, after, trials_after):
    before = wait_for(breaker(Cause.HANG, 3, state, trials), Waiting.TIME, WORLD)
    started = note_start(before, AT)
    assert (started.state, started.trials) == (after, trials_after)
    assert (started.waiting, started.until_ms, started.marks) == (Waiting.NOTHING, None, None)
    assert (started.row, started.signature) == (before.row, before.signature)


@pytest.mark.parametrize("state", list(BreakerState))
def test_a_good_life_forgets_everything(state):
    before = note_start(breaker(Cause.HANG, 7, state, 3), AT)
    # But not how often it was started: nobody may start it 13 times in 10 minutes.
    assert note_good_life(before) == Breaker(is_good=True, starts=(AT,))


def opened(cause, **changes):
    """A breaker that this cause opened, with its decision."""
    at_once = CAUSES[cause].opens is not Opens.LATER
    before = Breaker() if at_once else breaker(cause, 2)
    return decide(before, death(cause), world(**changes))


@pytest.mark.parametrize(
    ("cause", "changes", "starts"),
    [
        (Cause.V8_HEAP, {}, None),
        (Cause.V8_HEAP, {"stores_mark": "s2"}, "changed"),
        (Cause.V8_HEAP, {"config_mark": "c2"}, "changed"),
        (Cause.V8_HEAP, {"now_ms": NOW + 299_999}, None),
        (Cause.V8_HEAP, {"now_ms": NOW + 300_000}, "trial 1"),
        (Cause.CONFIG, {}, None),
        (Cause.CONFIG, {"stores_mark": "s2"}, None),
        (Cause.CONFIG, {"config_mark": "c2"}, "changed"),
        (Cause.CONFIG, {"now_ms": NOW + 3_599_999}, None),
        (Cause.CONFIG, {"now_ms": NOW + 3_600_000}, "trial 1"),
        (Cause.MIGRATION, {"state_mark": "d2"}, "databases, configuration or release changed"),
        (Cause.MIGRATION, {"state_mark": "d2", "settled": False}, None),
        (Cause.MIGRATION, {"config_mark": "c2"}, "changed"),
        (Cause.MIGRATION, {"program_mark": "p2"}, None),
        (Cause.DAMAGED, {"state_mark": "d2"}, "changed"),
        (Cause.INSTALLATION, {"program_mark": "p2"}, "package, node or service file changed"),
        (Cause.INSTALLATION, {"program_mark": "p2", "settled": False}, None),
        (Cause.INSTALLATION, {"state_mark": "d2"}, None),
        (Cause.DISK_FULL, {"room": (64 << 20, 9)}, "room on the disk"),
        (Cause.DISK_FULL, {"room": ((64 << 20) - 1, 9)}, None),
        (Cause.DISK_FULL, {"room": (0, 1009)}, "room on the disk"),
        (Cause.DISK_FULL, {"room": (0, 0)}, None),
        (Cause.DISK_FULL, {"now_ms": NOW + 300_000}, "trial 1"),
        (Cause.UNKNOWN, {"stores_mark": "s2"}, None),
        (Cause.UNKNOWN, {"config_mark": "c2"}, "changed"),
        (Cause.HANG, {"now_ms": NOW + 300_000}, "trial 1"),
    ],
)
def test_what_ends_an_open_breakers_wait(cause, changes, starts):
    now, decision = opened(cause)
    again = reconsider(now, decision, world(**changes))
    if starts is None:
        assert again == decision
        assert not is_due(again, world(**changes))
    else:
        assert again.kind == "start"
        assert starts in again.reason
        assert is_due(again, world(**changes))


@pytest.mark.parametrize("changes", [{"stores_mark": "s2"}, {"now_ms": NOW + 300_000}])
def test_no_trial_starts_beside_another_gateway(changes):
    now, decision = opened(Cause.V8_HEAP)
    beside = world(other_alive=True, **changes)
    again = reconsider(now, decision, beside)
    assert (again.kind, again.waiting) == ("wait", Waiting.OTHER_INSTANCE)
    assert not is_due(again, beside)
    assert reconsider(now, again, beside) == again
    alone = world(**changes)
    assert reconsider(now, again, alone).kind == "start"
    assert is_due(reconsider(now, again, alone), alone)


def test_another_gateway_is_waited_for_as_long_as_it_lives():
    now, decision = opened(Cause.OTHER_INSTANCE, other_alive=True)
    week = world(other_alive=True, now_ms=NOW + 7 * 86_400_000, config_mark="c2")
    assert reconsider(now, decision, week) == decision
    gone = reconsider(now, decision, WORLD)
    assert (gone.kind, gone.at_ms) == ("start", NOW)


def test_a_delayed_start_is_due_in_time_and_not_before():
    now, decision = decide(breaker(Cause.HANG, 1), death(Cause.HANG), WORLD)
    early, late = world(now_ms=NOW + 1999), world(now_ms=NOW + 2000)
    assert not is_due(decision, early)
    assert reconsider(now, decision, early) == decision
    assert is_due(decision, late)
    assert is_due(reconsider(now, decision, late), late)


def test_a_clock_that_was_set_back_holds_no_start_up():
    """It was a day ahead when the gateway died; the gateway would have stayed down a day."""
    now, decision = decide(Breaker(), death(Cause.HANG), world(now_ms=NOW + 86_400_000))
    assert is_due(decision, WORLD)
    assert reconsider(now, decision, WORLD).at_ms == NOW
    now, decision = opened(Cause.V8_HEAP, now_ms=NOW + 86_400_000)
    assert reconsider(now, decision, WORLD).kind == "start"


# --- clocks that are set -----------------------------------------------------------------

BOOT = "b1"
YEAR_MS = 365 * 86_400_000


def seen(mono_ms, wall_ms, boot=BOOT):
    return world(now_ms=wall_ms, mono_ms=mono_ms, boot=boot)


@pytest.mark.parametrize("jump_ms", [-YEAR_MS, -10_800_000, -60_000, 0, 60_000, YEAR_MS, -NOW])
@pytest.mark.parametrize("cause", [Cause.HANG, Cause.V8_HEAP, Cause.CONFIG, Cause.UPDATE])
@pytest.mark.parametrize("row", [0, 1, 4])
def test_a_wait_is_as_long_as_it_was_decided_whatever_the_clock_does(cause, row, jump_ms):
    """Set back while it waited, it kept the gateway down: for hours, or for ever."""
    now, decision = decide(breaker(cause, row), death(cause), seen(1_000_000, NOW))
    length_ms = decision.at_ms - NOW
    early = seen(1_000_000 + length_ms - 1, NOW + jump_ms)
    late = seen(1_000_000 + length_ms, NOW + jump_ms)
    assert reconsider(now, decision, early) == decision
    assert not is_due(decision, early)
    assert is_due(reconsider(now, decision, late), late)


@pytest.mark.parametrize(
    ("wall_ms", "left_ms"),
    [
        (NOW + 100_000, 200_000),
        (NOW, 300_000),
        (NOW + 300_000, 0),
        (NOW + YEAR_MS, 0),
        (NOW - 1, 0),  # it cannot be before: what is left is not known, and counts as over
        (0, 0),  # 1970, after a power cut
    ],
)
def test_a_wait_from_before_a_boot_is_never_longer_than_it_was(wall_ms, left_ms):
    _, decision = opened(Cause.HANG, mono_ms=5_000, boot="b0")
    here = seen(77, wall_ms)
    resumed = anchor(decision, here)
    assert resumed.at_ms - wall_ms == left_ms
    # From now on this boot's clock counts.
    assert resumed.made == here.moment
    assert is_due(resumed, seen(77 + left_ms, wall_ms - YEAR_MS))
    assert not left_ms or not is_due(resumed, seen(77 + left_ms - 1, wall_ms + YEAR_MS))
    assert anchor(resumed, seen(99, 0)) == resumed


def test_a_wait_of_an_older_release_is_no_longer_than_any_may_be():
    decision = Decision(kind="start", reason="r", waiting=Waiting.TIME, at_ms=NOW + 299_000)
    assert anchor(decision, seen(5, NOW)).at_ms == NOW + 299_000
    assert anchor(decision, seen(5, NOW - YEAR_MS)).at_ms == NOW - YEAR_MS
    forever = Decision(kind="wait", reason="r", waiting=Waiting.OTHER_INSTANCE)
    assert anchor(forever, seen(5, NOW)) == forever


# --- never more than 12 starts in 10 minutes ---------------------------------------------


def test_a_thirteenth_start_in_ten_minutes_waits_whoever_wants_it():
    now = Breaker()
    for turn in range(MOST_STARTS):
        assert hold_back(now, seen(turn * 1000, NOW)) is None
        now = note_start(now, seen(turn * 1000, NOW).moment)
    held = hold_back(now, seen(60_000, NOW - YEAR_MS))
    assert held.kind == "start"
    assert held.at_ms == NOW - YEAR_MS + WITHIN_MS + 1 - 60_000
    assert hold_back(now, seen(WITHIN_MS, NOW)) is not None
    assert hold_back(now, seen(WITHIN_MS + 1, NOW)) is None
    # A good life and another kind of death forget nothing of it.
    assert hold_back(note_good_life(now), seen(60_000, NOW)) is not None
    assert hold_back(decide(now, death(Cause.HANG), WORLD)[0], seen(60_000, NOW)) is not None


def test_an_end_stays_an_end():
    end = Decision(kind="end", reason="asked", exit_code=0)
    assert is_due(end, world(other_alive=True))
    assert reconsider(Breaker(), end, world(config_mark="c2")) == end


@pytest.mark.parametrize("waiting", [Waiting.CURE, Waiting.CONFIG_CHANGE, Waiting.TIME])
def test_a_wait_without_a_time_ends_with_the_change_it_waits_for(waiting):
    """A start that admission refused: nothing died, and nothing but a change helps."""
    held = wait_for(Breaker(), waiting, WORLD)
    decision = Decision(kind="wait", reason="too big", waiting=waiting)
    later = world(now_ms=NOW + 10**9)
    assert reconsider(held, decision, later) == decision
    assert reconsider(held, decision, world(config_mark="c2")).kind == "start"


def test_a_cure_closes_the_breaker_and_its_trials():
    after, _ = decide(
        breaker(Cause.V8_HEAP, 3, HALF_OPEN, 4), death(Cause.V8_HEAP), world(cured=True)
    )
    assert (after.state, after.trials) == (CLOSED, 0)


@pytest.mark.parametrize(
    ("cause", "row", "reason"),
    [
        (Cause.HANG, 0, "hang, for the first time; next start in 1 s"),
        (Cause.HANG, 1, "hang, 2 times in a row; next start in 2 s"),
        (Cause.HANG, 2, "hang, 3 times in a row; waiting before a trial start"),
        (Cause.PARKED, 0, "OpenClaw's updater wants it to stay stopped, for the first time"),
        (Cause.UPDATE, 1, "an update of OpenClaw goes on, 2 times in a row"),
        (Cause.PLANNED_RESTART, 0, "the gateway asked to be started again, for the first time"),
        (Cause.ASKED_STOP, 0, "seen"),
    ],
)
def test_a_decision_says_why(cause, row, reason):
    assert decide(breaker(cause, row), death(cause), WORLD)[1].reason == reason


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.CONFIG, "configuration changed"),
        (Cause.V8_HEAP, "stores or configuration changed"),
    ],
)
def test_the_end_of_a_wait_says_what_changed(cause, reason):
    now, decision = opened(cause)
    assert reconsider(now, decision, world(config_mark="c2")).reason == reason


@pytest.mark.parametrize("cause", sorted(OUT_OF_MEMORY))
def test_the_incidents_night(cause):
    """Dies, is compacted, starts; dies again of what grew since, and is compacted again."""
    now, decision = decide(Breaker(), death(cause), world(cured=True))
    assert decision.at_ms == NOW + 1000
    now = note_good_life(note_start(now, AT))
    now, decision = decide(now, death(cause), world(cured=True))
    assert (decision.at_ms, now.row, now.state) == (NOW + 1000, 1, CLOSED)


def test_after_a_hold_the_gateway_is_started_at_once_whatever_it_died_of():
    """A trial would come minutes later, though what killed it cannot happen again."""
    death = make_seen(Cause.UNKNOWN)
    before = Breaker(signature=death.signature, row=2, deaths=2)
    opened, _ = decide(before, death, make_world(cured=True))
    assert opened.state is BreakerState.OPEN
    after, starts = decide(before, death, make_world(cured=True, held=True))
    assert (starts.kind, after.state) == (DecisionKind.START, BreakerState.CLOSED)
