"""The table of causes: whole, and the only place that knows sets of causes."""

import ast
from pathlib import Path

import pytest

import tailflip
from tailflip.diagnose.causes import CAUSES, OUT_OF_MEMORY, WAITS, WANTED, Opens, Wish, choose_step
from tailflip.flow.findings import Code
from tailflip.flow.lives import Cause, Waiting

PACKAGE = Path(tailflip.__file__).parent
# The table, and the modules that tell a cause from an exit, an error or a text.
# Words that mean something else as well.
PLAIN = {"unknown", "locked", "parked", "hang"}
CLASSIFY = {
    "flow/lives.py",
    "diagnose/causes.py",
    "diagnose/deaths.py",
    "diagnose/known_texts.py",
    "diagnose/last_error.py",
    "diagnose/last_words.py",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_cause_has_one_row_and_every_wait_its_words():
    assert list(CAUSES) == list(Cause)  # in the same order, so that two files read alike
    assert set(WAITS) == set(Waiting)
    # A dict keeps only the last of two rows of one cause: count them in the source.
    tree = ast.parse((PACKAGE / "diagnose" / "causes.py").read_text("utf-8"))
    table = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "CAUSES"
    )
    assert isinstance(table, ast.Dict)
    assert len(table.keys) == len(Cause)


@pytest.mark.parametrize("cause", Cause)
def test_a_row_tells_all_that_people_are_told(cause: Cause):
    row = CAUSES[cause]
    assert row.words.split()[0] in ("it", "its", "the", "a", "nothing", "another", "native",
                                    "systemd-oomd"), cause  # fmt: skip
    assert row.next_step
    assert not row.words.endswith(".")
    # What is waited for is told: status and incidents take their words from there.
    assert row.waiting is Waiting.TIME or WAITS[row.waiting].until
    assert "VERSION" not in choose_step(cause, version="2026.9.6")


@pytest.mark.parametrize("cause", Cause)
def test_a_row_does_not_contradict_itself(cause: Cause):
    row = CAUSES[cause]
    if row.wish is not None:
        assert row.opens is Opens.LATER
        assert not row.of_memory
        assert not row.of_other
    if row.of_memory:
        assert row.waiting is Waiting.CURE
    if row.opens is not Opens.LATER:
        assert row.waiting is not Waiting.TIME, "at once, and nothing to wait for"
        assert row.is_curable
    assert (cause in WANTED) == (row.wish is not None)
    assert (cause in OUT_OF_MEMORY) == row.of_memory


def test_each_wish_has_its_cause():
    assert {row.wish for row in CAUSES.values()} == {None, *Wish}


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_no_module_beside_the_table_names_a_cause(path: Path):
    """A breaker that listed causes of its own forgot the ones that came later."""
    if path.relative_to(PACKAGE).as_posix() in CLASSIFY:
        return
    tree = ast.parse(path.read_text("utf-8"))
    named = [
        f"line {node.lineno}: Cause.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Cause"
        and node.attr in Cause.__members__
    ]
    named += [
        f"line {node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in {*Cause} - {*Code} - PLAIN
    ]
    assert not named
