"""A place for processes that are guarded; whatever is left in it is killed at the end."""

from __future__ import annotations

import pytest

from support.guarded_gateway import Place


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    try:
        yield made
    finally:
        made.end()
