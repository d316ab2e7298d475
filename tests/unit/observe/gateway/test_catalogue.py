"""The catalogue is whole: every release, every fact, and each ability follows from one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from matrix import catalogue as made
from matrix import probes
from tailflip.observe.gateway import catalogue as module
from tailflip.observe.gateway.capabilities import RULES, Ability
from tailflip.observe.gateway.catalogue import (
    Fact,
    Judged,
    Standing,
    order,
    parse,
    read_catalogue,
)
from tailflip.observe.gateway.heaps import DATABASES
from tailflip.observe.records.forms import NEWEST_AGENT_SCHEMA
from tailflip.observe.records.state_database import NEWEST_SCHEMA
from tailflip.stores.formats import may_change_database

TABLE = read_catalogue()
# The stable releases that npm had on the day of the table, by month and day.
STABLE = {
    "2026.1": "29 30",
    "2026.2": "1 2 2-3 3 3-1 6-3 9 12 17 19 21 22 22-1 23 24 25 26",
    "2026.3": "1 2 7 8 11 13 22 23 23-1 23-2 24 28 31",
    "2026.4": "1 2 5 7 8 9 10 11 12 14 15 20 21 22 23 24 25 26 27 29",
    "2026.5": "2 3 3-1 4 5 6 7 12 18 19 20 22 26 27 28",
    "2026.6": "1 5 6 8 9 10 11 33 34 35",
    "2026.7": "1 1-1 1-2 33 34 35",
    "2026.8": "1 2",
    "2026.9": "1 2 3 4 5 6",
}


def test_every_stable_release_is_there():
    stable = [f"{month}.{day}" for month, days in STABLE.items() for day in days.split()]
    assert len(stable) == 91
    assert sorted(TABLE.releases, key=order) == sorted(stable, key=order)
    assert list(TABLE.releases) == sorted(TABLE.releases, key=order)


def test_every_fact_is_told_of_every_release_without_a_gap():
    assert set(TABLE.facts) == set(Fact)
    for fact, changes in TABLE.facts.items():
        assert changes[0].since == TABLE.releases[0], fact
        assert {change.since for change in changes} <= set(TABLE.releases), fact
        assert [order(c.since) for c in changes] == sorted(order(c.since) for c in changes), fact
        assert all(a.value != b.value for a, b in pairwise(changes)), fact


def test_the_table_was_made_by_the_probes_that_are_here():
    """Make it anew with `make catalogue`."""
    assert TABLE.probes == probes.fingerprint()
    assert made.fold(TABLE.read_on, made.unfold(TABLE)) == module.TABLE.read_text("utf-8")


def test_every_fact_has_a_probe():
    assert set(probes.SOUGHT) == set(Fact)


@pytest.mark.parametrize("fact", probes.RAN)
def test_what_a_gateway_showed_is_what_its_package_says(fact):
    for release, shown in probes.RAN[fact].items():
        assert release in TABLE.releases
        assert TABLE.find(fact, release) == shown, release


def test_each_ability_follows_from_a_fact_that_changes():
    assert set(RULES) == set(Ability)
    for rule in RULES.values():
        values = [change.value for change in TABLE.facts[rule.fact]]
        assert rule.value in values, rule
        assert len(values) > 1, rule


def test_releases_of_one_number_have_the_same_abilities():
    """A version is three numbers, so `2026.7.1-2` is asked about as `2026.7.1`."""
    needed = {rule.fact for rule in RULES.values()} | {Fact.STOP_BUDGET_S, Fact.RESTART_SIGNAL}
    by_number = {}
    for release in TABLE.releases:
        by_number.setdefault(order(release)[:3], []).append(release)
    for releases in by_number.values():
        for fact in needed:
            assert len({TABLE.find(fact, release) for release in releases}) == 1, (fact, releases)


def test_sessions_move_into_databases_where_the_heaps_say_so():
    [_, change] = TABLE.facts[Fact.SESSIONS]
    assert order(change.since)[:3] == DATABASES


def test_the_schemas_that_are_read_are_those_of_the_newest_release():
    """A newer one is only told, so a release that nobody read changes nothing there."""
    newest = TABLE.releases[-1]
    assert TABLE.find(Fact.AGENT_SCHEMA, newest) == NEWEST_AGENT_SCHEMA
    assert TABLE.find(Fact.STATE_SCHEMA, newest) == NEWEST_SCHEMA


def test_databases_of_every_release_that_keeps_sessions_there_may_be_changed():
    at = TABLE.releases.index(TABLE.facts[Fact.SESSIONS][-1].since)
    schemas = {TABLE.find(Fact.AGENT_SCHEMA, release) for release in TABLE.releases[at:]}
    assert {schema for schema in schemas if not may_change_database(schema)} == set()


@pytest.mark.parametrize(
    ("version", "judged"),
    [
        ((2026, 4, 14), Judged("2026.4.14", Standing.LISTED)),
        ((2026, 7, 1), Judged("2026.7.1-2", Standing.LISTED)),
        ((2026, 7, 2), Judged("2026.7.1-2", Standing.BETWEEN)),
        ((2027, 1, 1), Judged(TABLE.releases[-1], Standing.LATER)),
        ((2025, 12, 31), Judged("2026.1.29", Standing.EARLIER)),
    ],
)
def test_a_release_that_is_not_listed_is_judged_as_one_that_is(version, judged):
    assert TABLE.judge(version) == judged
    assert judged.is_listed is (judged.standing is Standing.LISTED)


def test_a_fact_holds_until_its_next_change():
    table = parse(
        '{"read_on": "", "probes": "", "releases": ["2026.1.1", "2026.1.2", "2026.1.2-1"]}\n'
        '{"fact": "Node", "since": [["2026.1.1", "22"], ["2026.1.2-1", "24"]]}\n'
    )
    found = [table.find(Fact.NODE, release) for release in table.releases]
    assert found == ["22", "22", "24"]
