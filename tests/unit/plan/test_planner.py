"""How far a plan goes."""

from dataclasses import replace
from pathlib import Path

import pytest

from tailflip.flow.capabilities import EntryCap, HeapUse
from tailflip.flow.numbers import SurveyNumbers
from tailflip.flow.observed import Store
from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.plan.planner import plan_stores
from tailflip.plan.policy import HOUR_MS, Policy
from tailflip.stores.json.native import Surveyed

STORE = Store(Path("/s/sessions.json"), "main")
MB = 1_000_000
# A release with figures of its own, whatever the table says of real ones.
HUNGRY = replace(find_capabilities(None), store_heap=HeapUse(22.0, 200_000_000))


def exactly(limit_bytes):
    """A limit all of which may be used."""
    return HeapLimit(limit_bytes, "test", margin=1.0)


def surveyed(size, after, *, wide=False):
    numbers = SurveyNumbers(
        bytes=size, entries=10, digest="", wide=wide, kinds=(), fields=(), jobs=(),
        jobs_untracked=0, duplicate=None, rules=(), entries_after=5, bytes_after=after,
    )  # fmt: skip
    return Surveyed(numbers, handle=None, policy=None, evidence=None)


def test_hygiene_alone_when_it_fits():
    plan = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(185 * MB, MB),
        capabilities=HUNGRY,
        limit=exactly(2_300 * MB),
    )
    assert plan.policy == Policy()
    assert plan.pressure == ()
    assert plan.before.over
    assert plan.fits
    assert not plan.after.over


def test_pressure_goes_only_as_far_as_needed():
    def measure(_store, policy):
        return surveyed(185 * MB, 10 * MB if policy.retention_ms == HOUR_MS else 180 * MB)

    plan = plan_stores([STORE], Policy(), measure, capabilities=HUNGRY, limit=exactly(2_300 * MB))
    assert plan.fits
    assert plan.pressure[-1] == "retention of 1 h"
    assert plan.policy.cap_per_job is None


def test_protected_entries_alone_too_large_ends_the_ladder_and_says_so():
    plan = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(185 * MB, 170 * MB),
        capabilities=HUNGRY,
        limit=exactly(900 * MB),
    )
    assert not plan.fits
    assert plan.policy.cap_total == 50


KEEPS_500 = EntryCap(500, 550)


def entries(count):
    numbers = surveyed(MB, MB).numbers.model_copy(update={"entries_after": count})
    return Surveyed(numbers, handle=None, policy=None, evidence=None)


@pytest.mark.parametrize(
    ("runs", "others", "cap", "left", "steps"),
    [
        (550, 10, KEEPS_500, 490, 1),  # chats first
        (539, 10, KEEPS_500, None, 0),  # it waits until they are 550
        (900, 10, None, None, 0),  # it deletes none
        (50, 700, KEEPS_500, 1, 1),  # too many chats: at least no run pushes one out
        (0, 700, KEEPS_500, None, 0),  # nothing that may go
    ],
)
def test_runs_make_room_for_chats_below_what_the_gateway_keeps(runs, others, cap, left, steps):
    """2026.4.29 keeps the newest 500 entries: runs that are newer pushed out ten chats."""

    def measure(_store, policy):
        return entries(others + min(runs, policy.cap_total or runs))

    plan = plan_stores(
        [STORE], Policy(), measure, capabilities=HUNGRY, limit=exactly(None), entry_cap=cap
    )
    assert plan.policy.cap_total == left
    assert len(plan.pressure) == steps
    assert plan.surveyed[STORE].numbers.entries_after == others + min(runs, left or runs)


def test_of_several_stores_the_fullest_counts_and_a_tighter_word_of_a_person_stays():
    other = Store(Path("/o/sessions.json"), "o")

    def measure(store, policy):
        own = 10 if store == STORE else 100
        return entries(own + min(600, policy.cap_total or 600))

    def cap(policy):
        return plan_stores(
            [STORE, other], policy, measure,
            capabilities=HUNGRY, limit=exactly(None), entry_cap=KEEPS_500,
        ).policy.cap_total  # fmt: skip

    assert cap(Policy()) == 400
    assert cap(Policy(cap_total=450)) == 400
    assert cap(Policy(cap_total=300)) == 300


def test_unknown_limit_means_hygiene():
    plan = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(185 * MB, 170 * MB),
        capabilities=HUNGRY,
        limit=exactly(None),
    )
    assert plan.fits
    assert plan.pressure == ()


def test_a_store_node_cannot_read_is_pressed_even_without_a_limit():
    def measure(_store, policy):
        return surveyed(700 * MB, 600 * MB if policy.cap_per_job is None else MB)

    plan = plan_stores([STORE], Policy(), measure, capabilities=HUNGRY, limit=exactly(None))
    assert plan.fits
    assert plan.policy.cap_per_job == 50


def test_other_stores_and_wide_text_count():
    alone = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(10 * MB, 5 * MB),
        capabilities=HUNGRY,
        limit=exactly(400 * MB),
    )
    wide = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(10 * MB, 5 * MB, wide=True),
        capabilities=HUNGRY,
        limit=exactly(400 * MB),
    )
    crowded = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(10 * MB, 5 * MB),
        capabilities=HUNGRY,
        limit=exactly(400 * MB),
        others_bytes=10 * MB,
    )
    assert (alone.fits, wide.fits, crowded.fits) == (True, False, False)


def test_a_forecast_that_was_wrong_is_not_believed_twice():
    """The gateway died of memory although all fitted: the next plan goes two steps further."""
    plan = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(90 * MB, 80 * MB),
        capabilities=HUNGRY,
        limit=exactly(2_300 * MB),
        at_least=2,
    )
    assert plan.fits
    assert plan.pressure == ("slim chats idle for 24 h", "slim chats idle for 1 h")


def test_it_is_pressed_only_where_the_error_of_the_forecast_leaves_room_for_it():
    """200 MB and twice 22 bytes for each of 40 MB are less than 2 GB: they did not fill it."""
    plan = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(90 * MB, 40 * MB),
        capabilities=HUNGRY,
        limit=exactly(2_000 * MB),
        at_least=9,
    )
    assert plan.pressure == ()
    blind = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(90 * MB, 80 * MB),
        capabilities=HUNGRY,
        limit=exactly(None),
        at_least=9,
    )
    assert blind.pressure == ()


def test_the_margin_is_kept_free_for_all():
    """200 MB and 22 bytes for each of 20 MB are 640 MB: they fit 700, and leave too little."""

    def plan_with(margin):
        limit = HeapLimit(700 * MB, "test", margin)
        return plan_stores(
            [STORE], Policy(), lambda *_: surveyed(20 * MB, 20 * MB), capabilities=HUNGRY,
            limit=limit,
        )  # fmt: skip

    assert plan_with(1.0).pressure == ()
    assert plan_with(0.9).before.close
    assert plan_with(0.9).pressure != ()


def test_who_does_not_heed_the_forecast_presses_only_what_node_cannot_read():
    plan = plan_stores(
        [STORE],
        Policy(),
        lambda *_: surveyed(185 * MB, 180 * MB),
        capabilities=HUNGRY,
        limit=exactly(300 * MB),
        at_least=3,
        heeds_forecast=False,
    )
    assert plan.before.over
    assert plan.pressure == ()
