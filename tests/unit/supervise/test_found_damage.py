"""A damaged database explains an end without a reason; one with a reason keeps that."""

from __future__ import annotations

from tailflip.flow.lives import Clues
from tailflip.supervise.found_damage import look_into

UNTOLD = Clues(exit_code=78)
TOLD = Clues(exit_code=78, stderr_tail="Gateway failed to start: Invalid config at /s/o.json:\n")


def test_a_damaged_database_is_looked_for_where_nothing_else_explains(make_gateway, state):
    gateway = make_gateway()
    assert look_into(gateway, UNTOLD) == UNTOLD
    path = state / "state" / "openclaw.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"garbage" * 1000)
    assert look_into(gateway, UNTOLD).damaged == (f"{path}: file is not a database",)
    assert look_into(gateway, TOLD) == TOLD
