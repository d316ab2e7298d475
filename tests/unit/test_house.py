"""The shape of the code, as far as a rule can hold it. Who may import whom is in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
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
