"""The ranges of Node that OpenClaw's packages ask for."""

import pytest

from tailflip.observe.gateway.catalogue import Fact, read_catalogue
from tailflip.observe.gateway.node_range import allows

OF_TODAY = ">=22.22.3 <23 || >=24.15.0 <25 || >=25.9.0"


@pytest.mark.parametrize(
    ("wanted", "version", "is_allowed"),
    [
        (">=22.12.0", (22, 12, 0), True),
        (">=22.12.0", (22, 11, 9), False),
        (OF_TODAY, (22, 22, 2), False),
        (OF_TODAY, (22, 22, 3), True),
        (OF_TODAY, (23, 1, 0), False),
        (OF_TODAY, (24, 15, 0), True),
        (OF_TODAY, (25, 0, 0), False),
        (OF_TODAY, (26, 0, 0), True),
        (">= 24", (24, 0, 0), True),
        ("latest", (1, 0, 0), True),
    ],
)
def test_a_range_allows_what_npm_allows(wanted, version, is_allowed):
    assert allows(wanted, version) is is_allowed


def test_every_range_of_the_catalogue_is_one_that_is_read():
    for change in read_catalogue().facts[Fact.NODE]:
        assert not allows(str(change.value), (0, 0, 1)), change
        assert allows(str(change.value), (99, 0, 0)), change
