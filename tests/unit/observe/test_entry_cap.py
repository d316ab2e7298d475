"""How many entries a gateway keeps: its configuration, else the default of its release."""

from __future__ import annotations

import json

import pytest

from tailflip.observe.entry_cap import find_entry_cap
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.installation import locate

OLD, MIDDLE, UNKNOWN = (2026, 4, 14), (2026, 5, 28), None


@pytest.mark.parametrize(
    ("version", "told", "most"),
    [
        (MIDDLE, {}, 500),
        (MIDDLE, {"mode": "warn"}, None),
        (MIDDLE, {"maxEntries": 20_000}, 20_000),
        (MIDDLE, {"mode": "enforce", "maxEntries": "many"}, 500),
        (MIDDLE, {"maxEntries": True}, 500),
        (OLD, {}, None),
        (OLD, {"maxEntries": 300}, None),
        (OLD, {"mode": "enforce"}, 500),
        (OLD, {"mode": "enforce", "maxEntries": 300}, 300),
        (UNKNOWN, {}, None),
        (UNKNOWN, {"mode": "enforce"}, None),
    ],
)
def test_what_a_gateway_keeps(tmp_path, version, told, most):
    config = {"session": {"maintenance": told}}
    (tmp_path / "openclaw.json").write_text(json.dumps(config))
    installation = locate({"HOME": str(tmp_path)}, state_dir=tmp_path)
    cap = find_entry_cap(installation, find_capabilities(version))
    assert (None if cap is None else cap.kept) == most


@pytest.mark.parametrize(("kept", "high_water"), [(49, 50), (50, 75), (500, 550), (5001, 5502)])
def test_it_deletes_in_batches(tmp_path, kept, high_water):
    config = {"session": {"maintenance": {"maxEntries": kept}}}
    (tmp_path / "openclaw.json").write_text(json.dumps(config))
    installation = locate({"HOME": str(tmp_path)}, state_dir=tmp_path)
    assert find_entry_cap(installation, find_capabilities(MIDDLE)) == (kept, high_water)
