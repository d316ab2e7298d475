"""Any store with any damage: the gate keeps what it does not touch, or refuses and says why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.stores import NOW_MS, split_members
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreInvalid
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.stores.salvage import apply_salvage, plan_salvage

if TYPE_CHECKING:
    from pathlib import Path

LAYOUTS = {
    "gateway": lambda store: json.dumps(store, indent=2),
    "crlf": lambda store: json.dumps(store, indent=2).replace("\n", "\r\n"),
    "compact": lambda store: json.dumps(store, separators=(",", ":")),
}
TEXT = st.text(st.sampled_from('ab"\\\n {}:,'), max_size=8)
LEAF = st.none() | st.booleans() | st.integers(-99, 99) | TEXT
VALUE = st.recursive(
    LEAF, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=6
)
STORES = st.dictionaries(
    st.integers(0, 99).map(lambda n: f"agent:main:direct:{n}"),
    st.dictionaries(TEXT, VALUE, min_size=1, max_size=4),
    min_size=1,
    max_size=6,
)
BYTES = st.sampled_from(b'"{}[],:\\ \nx0') | st.integers(0, 255)
PLACE = st.floats(0, 1, exclude_max=True)
DAMAGES = st.lists(
    st.tuples(st.just("change"), PLACE, BYTES)
    | st.tuples(st.just("remove"), PLACE, st.integers(1, 40))
    | st.tuples(st.just("insert"), PLACE, st.lists(BYTES, min_size=1, max_size=6).map(bytes))
    | st.tuples(st.just("nul"), PLACE, st.integers(1, 120))
    | st.tuples(st.just("cut"), PLACE, st.none()),
    min_size=1,
    max_size=3,
)


def spoil(data, kind, share, what):
    """Damage one place; each byte goes with its offset in the whole store, or None."""
    at = int(share * len(data))
    if kind == "cut":
        return data[:at]
    if kind == "remove":
        return data[:at] + data[at + what :]
    if kind == "insert":
        return [*data[:at], *((byte, None) for byte in what), *data[at:]]
    if kind == "change":
        return [*data[:at], (what, None), *data[at + 1 :]]
    count = min(what, len(data) - at)
    return [*data[:at], *[(0, None)] * count, *data[at + count :]]


def can_be_read(data):
    try:
        json.loads(data.decode())
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(store=STORES, damages=DAMAGES)
def test_what_the_damage_does_not_touch_is_kept_or_the_salvage_is_refused(
    tmp_path_factory, layout, store, damages
):
    whole = LAYOUTS[layout](store)
    assert whole.isascii()
    data = [(byte, at) for at, byte in enumerate(whole.encode())]
    for damage in damages:
        data = spoil(data, *damage)
    bad = bytes(byte for byte, _ in data)
    if can_be_read(bad):
        return  # so does the gateway: nothing tells that it was damaged
    place: Path = tmp_path_factory.mktemp("store")
    path = place / "sessions.json"
    path.write_bytes(bad)
    home = Home(place / "home")
    try:
        report = apply_salvage(
            plan_salvage(Store(path, None)), workspace=Workspace(home, RealDisk()), now_ms=NOW_MS
        )
    except StoreInvalid as e:
        refused = e
    else:
        refused = None
    if refused is not None:
        assert refused.hint
        assert path.read_bytes() == bad
        return
    assert home.quarantined(report.action_id).read_bytes() == bad
    saved = path.read_bytes()
    colon = ":" if layout == "compact" else ": "
    kept = [json.dumps(key) + colon + value for key, value in split_members(saved)]
    members = [json.dumps(key) + colon + value for key, value in split_members(whole.encode())]
    where = {at: n for n, (_, at) in enumerate(data) if at is not None}
    for text in members:
        start = whole.index(text)
        places = [where.get(at) for at in range(start, start + len(text))]
        if None not in places and places == list(range(places[0], places[0] + len(text))):
            assert text in kept
    # What is no entry of the whole store holds the damage: no field of one became an entry.
    for text in kept:
        if text not in members:
            assert text not in whole
