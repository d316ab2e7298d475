"""Scripts of users and of reporters take values from the package, and outlive a move inside it."""

from __future__ import annotations

import pytest

from tailflip import flow
from tailflip.flow import lives


def test_a_value_is_found_in_whichever_file_it_is():
    assert flow.Clues is lives.Clues
    assert flow.Store.__module__ == "tailflip.flow.observed"


@pytest.mark.parametrize("name", ["NoSuchValue", "_parse", "StrEnum"])
def test_what_is_no_value_of_the_room_is_told_as_missing(name):
    with pytest.raises(AttributeError, match=name):
        getattr(flow, name)
