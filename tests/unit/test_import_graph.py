"""No module imports itself by any way round: not lazily, not for its types alone."""

from __future__ import annotations

import grimp


def test_no_two_modules_import_each_other_by_any_way_round():
    graph = grimp.build_graph("tailflip")
    for module in sorted(graph.modules):
        below = graph.find_modules_directly_imported_by(module)
        back = [each for each in below if graph.find_shortest_chain(each, module) is not None]
        assert not back, f"{module} imports {back}, which import it"


def test_the_top_of_the_package_holds_rooms_and_nothing_else():
    graph = grimp.build_graph("tailflip")
    top = {module for module in graph.find_children("tailflip") if not graph.find_children(module)}
    assert top == {"tailflip.__main__"}
