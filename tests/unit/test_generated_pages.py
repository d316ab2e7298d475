"""Pages that are made from tables in the code say what the code says."""

import pytest

from matrix import catalogue_page, page
from tools.write_docs import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_current(name: str):
    """Write it anew with `python tests/tools/write_docs.py`."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()


def test_the_page_of_releases_is_current():
    """Write it anew with `PYTHONPATH=tests:tests/gateway python -m matrix page`."""
    assert page.PAGE.read_text("utf-8") == page.write()


def test_the_page_of_the_catalogue_is_current():
    """Write it anew with `PYTHONPATH=tests:tests/gateway python -m matrix page`."""
    assert catalogue_page.PAGE.read_text("utf-8") == catalogue_page.write()
