"""The catalogue says what a release can do; nobody else compares versions."""

from __future__ import annotations

import ast
import signal
from dataclasses import fields
from pathlib import Path

import pytest

import tailflip
from tailflip.flow.capabilities import Capabilities
from tailflip.observe.gateway import heaps
from tailflip.observe.gateway.capabilities import RULES, Ability, find_capabilities
from tailflip.observe.gateway.catalogue import Fact, order, read_catalogue

PACKAGE = Path(tailflip.__file__).parent
_YEARS = range(2020, 2100)  # that a version begins with


@pytest.mark.parametrize(
    ("version", "asked", "drain", "is_later"),
    [
        (None, None, 330, False),
        ((2026, 3, 28), signal.SIGUSR1, 30, False),
        ((2026, 7, 35), signal.SIGUSR1, 30, False),
        ((2026, 8, 1), signal.SIGUSR1, 330, True),
        ((2026, 9, 5), signal.SIGUSR1, 330, True),
        ((2026, 9, 6), signal.SIGUSR2, 330, True),
        ((2027, 1, 1), signal.SIGUSR2, 330, True),
    ],
)
def test_what_changed_with_the_version(version, asked, drain, is_later):
    can = find_capabilities(version)
    assert can.restart_signal is asked
    assert can.drain_s == drain
    assert can.is_known is (version is not None)
    assert can.has_startup_probe is is_later
    assert can.hands_off_restarts is is_later
    assert can.takes_supervisor_mode is is_later
    assert can.disowns_replaced_command is is_later
    assert can.loads_stores is (version is not None and not is_later)


def test_an_unknown_release_promises_nothing():
    can = find_capabilities(None)
    promises = {each.name: getattr(can, each.name) for each in fields(Capabilities)}
    assert not [name for name, told in promises.items() if told is True]
    assert can.restart_signal is None


@pytest.mark.parametrize(
    ("version", "kept", "if_told"),
    [
        (None, None, None),
        ((2026, 1, 29), None, None),
        ((2026, 4, 14), None, 500),
        ((2026, 4, 20), 500, 500),
        ((2026, 8, 1), 500, 500),
        ((2026, 9, 6), 5000, 5000),
    ],
)
def test_how_many_entries_a_release_keeps_by_itself(version, kept, if_told):
    can = find_capabilities(version)
    assert (can.most_entries, can.most_if_told) == (kept, if_told)


def test_each_ability_is_a_field_of_the_capabilities():
    assert set(RULES) == set(Ability)
    names = {each.name for each in fields(Capabilities)}
    assert {str(ability) for ability in Ability} <= names
    figures = {
        "is_known",
        "is_measured",
        "store_heap",
        "database_heap",
        "restart_signal",
        "drain_s",
        "most_entries",
        "most_if_told",
    }
    assert names == {str(ability) for ability in Ability} | figures


def test_each_release_of_the_catalogue_has_what_its_package_says():
    table = read_catalogue()
    for release in table.releases:
        can = find_capabilities(order(release)[:3])
        for ability, rule in RULES.items():
            assert getattr(can, ability) is (table.find(rule.fact, release) == rule.value), release
        assert can.restart_signal is not None, release
        assert can.restart_signal.name == table.find(Fact.RESTART_SIGNAL, release)
        assert can.drain_s == table.find(Fact.STOP_BUDGET_S, release) + 5


def test_a_release_between_two_has_the_abilities_of_the_earlier_one():
    before = find_capabilities((2026, 7, 1))
    between = find_capabilities((2026, 7, 2))
    told = {str(each): getattr(between, each) for each in Ability}
    assert told == {str(each): getattr(before, each) for each in Ability}
    assert between.is_known


def _is_version(node: ast.AST) -> bool:
    if not isinstance(node, ast.Tuple) or len(node.elts) not in {2, 3}:
        return False
    numbers = [each.value for each in node.elts if isinstance(each, ast.Constant)]
    is_whole = len(numbers) == len(node.elts) and all(type(each) is int for each in numbers)
    return is_whole and numbers[0] in _YEARS


def test_no_module_outside_the_table_compares_versions():
    """A comparison needs the other side: a tuple that begins with a year, or two `.version`."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == Path(heaps.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            ordered = isinstance(node, ast.Compare) and any(
                isinstance(each, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for each in node.ops
            )
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            of_release = [
                each
                for each in sides
                if isinstance(each, ast.Attribute)
                and each.attr == "version"
                and "release" in ast.unparse(each)
            ]
            if _is_version(node) or (ordered and of_release):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []
