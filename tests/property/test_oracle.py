"""The scanner accepts exactly what Python's strict `json` accepts, of valid UTF-8 objects."""

import json
import tempfile

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailflip.base import errors
from tailflip.stores.json import native

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def is_store(data: bytes) -> bool:
    """Say what the oracle says; `json` is laxer only in NaN and Infinity, which we forbid."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(data.decode("utf-8"), parse_constant=refuse), dict)
    except (ValueError, RecursionError):
        return False


def is_accepted(data: bytes) -> int | None:
    """Return the number of entries the engine finds, or None when it refuses."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            return native.verify(file.fileno()).entries
        except errors.StoreInvalid:
            return None


@settings(max_examples=300, deadline=None)
@given(
    store=st.dictionaries(st.text(), JSON),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_every_store_that_json_writes_is_read_with_all_its_entries(store, ascii_only, indent):
    text = json.dumps(store, ensure_ascii=ascii_only, indent=indent)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate written raw is no UTF-8 and cannot be in a file
    expected = len(store) if is_store(data) else None
    assert is_accepted(data) == expected


@settings(max_examples=500, deadline=None)
@given(
    store=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    at=st.integers(min_value=0, max_value=1 << 16),
    byte=st.integers(min_value=0, max_value=255),
)
@example(store={"a": "\ud800"}, at=0, byte=0x7B)
@example(store={}, at=1, byte=0x7D)
def test_a_changed_byte_is_judged_as_the_oracle_judges_it(store, at, byte):
    data = bytearray(json.dumps(store).encode())
    data[at % len(data)] = byte
    assert (is_accepted(bytes(data)) is not None) == is_store(bytes(data))


@settings(max_examples=1000, deadline=None)
@given(data=st.binary(max_size=40).map(lambda tail: b'{"k":' + tail))
def test_arbitrary_bytes_after_a_key_are_judged_as_the_oracle_judges_them(data):
    for closed in (data, data + b"}"):
        assert (is_accepted(closed) is not None) == is_store(closed)
