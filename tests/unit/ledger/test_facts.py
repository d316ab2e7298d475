"""Facts come back, and are written when they change."""

from __future__ import annotations

from support.ledger_rows import commits


def test_facts_come_back_and_are_written_when_they_change(counted):
    value = {"b": [1, None], "a": "x"}
    counted.facts.put("limit", value)
    counted.facts.put("limit", {"a": "x", "b": [1, None]})
    assert commits(counted) == 1
    assert counted.facts.get("limit") == value
    counted.facts.put("limit", 5)
    assert counted.facts.get("limit") == 5
