"""One missing proof keeps a file; what nobody knows is a missing proof."""

import pytest

from tailflip.reclaim.patterns import Class
from tailflip.reclaim.proofs import ASKED, DAY_MS, HOUR_MS, Ages, Facts, find_reason

PROVEN = Facts(age_ms=400 * DAY_MS, is_named=False, is_prefix=True)
FILES = set(Class) - {Class.CAPTURES}
RECORDED = {Class.COPIES, Class.HISTORY}
# Each fact that keeps, and the classes that it keeps.
KEEPS = [
    ({"is_own": False}, set(Class)),
    ({"links": 2}, FILES),
    ({"why": "the store is damaged"}, set(Class)),
    ({"before_start": False}, {Class.DEBRIS}),
    ({"before_start": None}, {Class.DEBRIS}),
    ({"writer_lives": True}, set(Class)),
    ({"writer_lives": None}, set(Class)),
    ({"is_open": True}, set(Class)),
    ({"is_open": True, "is_gateway_dead": True}, set(Class)),
    ({"hidden": "a container"}, set(Class)),
    ({"hidden": "a container", "is_gateway_dead": True}, set()),
    ({"is_target_whole": False}, {Class.DEBRIS}),
    ({"is_target_whole": None}, {Class.DEBRIS}),
    ({"is_locked": True}, RECORDED),
    ({"is_locked": None}, RECORDED),
    ({"is_named": True}, RECORDED),
    ({"is_named": None}, RECORDED),
    ({"doubt": "jobs.json cannot be read"}, RECORDED),
    ({"is_prefix": False}, {Class.COPIES}),
    ({"is_prefix": None}, {Class.COPIES}),
    ({"is_newest": True}, {Class.CAPTURES, Class.COPIES, Class.HISTORY}),
]


@pytest.mark.parametrize("kind", Class)
def test_what_is_proven_in_all_points_may_go(kind):
    assert find_reason(kind, PROVEN, Ages()) is None


@pytest.mark.parametrize("kind", Class)
@pytest.mark.parametrize(("facts", "keeps"), KEEPS)
def test_one_missing_proof_keeps_it(kind, facts, keeps):
    reason = find_reason(kind, PROVEN._replace(**facts), Ages())
    assert (reason is not None) == (kind in keeps)


def test_every_question_is_asked_of_somebody_and_has_a_row_above():
    fields = {name for facts, _ in KEEPS for name in facts}
    assert fields == set(Facts._fields) - {"age_ms", "before_boot"}
    assert set(ASKED) == set(Class)


@pytest.mark.parametrize(
    ("kind", "age_ms"),
    [
        (Class.DEBRIS, HOUR_MS),
        (Class.COPIES, HOUR_MS),
        (Class.CAPTURES, DAY_MS),
        (Class.HISTORY, 7 * DAY_MS),
    ],
)
def test_what_is_young_stays(kind, age_ms):
    ages = Ages()
    assert find_reason(kind, PROVEN._replace(age_ms=age_ms), ages) is None
    assert find_reason(kind, PROVEN._replace(age_ms=age_ms - 1), ages) == "it is too young"
    assert find_reason(kind, PROVEN._replace(age_ms=-age_ms), ages) == "it is too young"


def test_captures_from_before_the_boot_are_old_enough():
    facts = PROVEN._replace(age_ms=HOUR_MS, before_boot=True)
    assert find_reason(Class.CAPTURES, facts, Ages()) is None
    assert find_reason(Class.HISTORY, facts, Ages()) is not None
