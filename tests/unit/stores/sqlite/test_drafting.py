"""Records of a draft that are too large to wait in memory."""

import pytest

from tailflip.stores.sqlite.drafting import Spool

MIB = 1 << 20


@pytest.mark.parametrize("pieces", [(1,), (MIB,), (7, 3 * MIB, 9), (400_000,) * 7])
def test_a_record_comes_back_as_it_was_put_in_after_one_of_any_size(pieces):
    """A draft with an event of 4 MB and a smaller large one after it was refused as damaged."""
    with Spool() as spool:
        for first in (0, 5, MIB + 1, 5 * MIB):
            spool.put(b"a" * first)
            assert b"".join(spool.take()) == b"a" * first
            data = [bytes([n]) * size for n, size in enumerate(pieces)]
            for each in data:
                spool.put(each)
            assert spool.size_bytes == sum(pieces)
            assert b"".join(spool.take()) == b"".join(data)
            assert spool.size_bytes == 0
