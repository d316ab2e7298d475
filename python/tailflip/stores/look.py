"""One look at each store and at the files beside it, for `check`; reads only."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from tailflip.base.errors import StoreInvalid, TailflipError
from tailflip.flow.observed import ObservedStore
from tailflip.stores.formats import find_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import Store


def observe_all(
    stores: Iterable[Store],
    measure: Callable[[Store], SurveyNumbers | None],
    now_ms: int,
) -> tuple[ObservedStore, ...]:
    """Look at stores, present or missing.

    Args:
        stores: usually an installation's `stores` and `missing`.
        measure: surveys one store, or returns None; an error that it raises becomes that store's
            `error`.
        now_ms: wall clock.
    """
    return tuple(_observe(store, measure, now_ms) for store in stores)


def _observe(
    store: Store, measure: Callable[[Store], SurveyNumbers | None], now_ms: int
) -> ObservedStore:
    litter, backups = find_engine(store.path).look_beside(store.path, now_ms)

    def found(
        size_bytes: int | None,
        error: str | None,
        numbers: SurveyNumbers | None = None,
        *,
        damaged: bool = False,
    ) -> ObservedStore:
        return ObservedStore(store, size_bytes, numbers, error, damaged, litter, backups)

    try:
        status = store.path.stat()
    except FileNotFoundError:
        return found(None, "missing")
    except OSError as error:
        return found(None, error.strerror)
    if not stat.S_ISREG(status.st_mode):
        return found(None, "not a regular file")
    try:
        return found(status.st_size, None, measure(store))
    except StoreInvalid as error:
        return found(status.st_size, error.message, damaged=True)
    except TailflipError as error:
        return found(status.st_size, error.message)
