"""Hypothesis by the clock: quick as ever, or `TAILFLIP_FUZZ_SECONDS` long with ever new seeds."""

from __future__ import annotations

import functools
import os
import secrets
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("TAILFLIP_FUZZ_SECONDS", "0"))
ROUND = 100  # examples between two looks at the clock
SHRINKING_S = 400  # hypothesis gives up after five minutes


def fuzzed(examples: int = 150) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a `@given` test with so many examples, or again and again while there is time."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        test = settings(
            max_examples=ROUND if SECONDS else examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=True,
        )(test)

        # `wraps` leaves it a hypothesis test to pytest, so a failure is shown as ever.
        @functools.wraps(test)
        def run(*args: object, **kwargs: object) -> None:
            end_s = time.monotonic() + SECONDS
            while True:
                if SECONDS:
                    seed(secrets.randbits(64))(test)
                test(*args, **kwargs)
                if time.monotonic() >= end_s:
                    return

        return pytest.mark.fuzz(pytest.mark.timeout(SECONDS + SHRINKING_S)(run))

    return decorate
