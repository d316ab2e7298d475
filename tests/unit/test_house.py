"""The shape of the code, as far as a rule can hold it. Who may import whom is in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "tailflip"
UNIT = ROOT / "tests" / "unit"
MOST_LINES = {"python/tailflip": (".py", 400), "rust": (".rs", 600)}


def test_no_two_modules_import_each_other_by_any_way_round():
    """Neither lazily nor for their types alone."""
    graph = grimp.build_graph("tailflip")
    for module in sorted(graph.modules):
        below = graph.find_modules_directly_imported_by(module)
        back = [each for each in below if graph.find_shortest_chain(each, module) is not None]
        assert not back, f"{module} imports {back}, which import it"


def test_the_top_of_the_package_holds_rooms_and_nothing_else():
    graph = grimp.build_graph("tailflip")
    top = {module for module in graph.find_children("tailflip") if not graph.find_children(module)}
    assert top == {"tailflip.__main__"}


@pytest.mark.parametrize("folder", MOST_LINES)
def test_a_file_is_short_enough_to_have_one_subject(folder):
    ending, most = MOST_LINES[folder]
    files = [path for path in (ROOT / folder).rglob(f"*{ending}") if "target" not in path.parts]
    assert files
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := len(path.read_text().splitlines())) > most
    }
    assert not long


def test_every_module_has_a_test_of_its_name_or_says_which_covers_it():
    """`covered_elsewhere.toml` holds the reasons; a row that is not needed fails as well."""
    rows = tomllib.loads((UNIT / "covered_elsewhere.toml").read_text())
    modules = {
        str(path.relative_to(PACKAGE).with_suffix(""))
        for path in PACKAGE.rglob("*.py")
        if not path.name.startswith("__")
    }
    named = {
        module
        for module in modules
        if (UNIT / module).with_name(f"test_{Path(module).name}.py").exists()
    }
    assert set(rows) == modules - named
    for module, row in rows.items():
        assert set(row) == {"test", "why"}, module
        assert (ROOT / "tests" / row["test"]).is_file(), module
        assert row["why"], module
