"""The list of all settings, as people are told of them."""

from __future__ import annotations

from tailflip.config.catalog import list_sections
from tailflip.config.load import Config


def test_each_section_says_what_it_is_for():
    assert list(list_sections()) == list(Config.model_fields)
    assert all(kind.__doc__ for kind in list_sections().values())
