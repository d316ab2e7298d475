"""Measures the room on the gateway's disks and on ours, and warns before they are full."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.observe.host.space import read_space
from tailflip.reconcile.judge import room

if TYPE_CHECKING:
    from tailflip.flow.conditions import DwindlingRoom
    from tailflip.reconcile.context import Reconciliation


def look_at_room(work: Reconciliation) -> None:
    """Measure each file system, and name the day on which it will be full."""
    facts, now_ms = work.history.facts, work.scene.now_ms
    found: list[DwindlingRoom] = []
    with work.result.keeping_error():
        for space in read_space(work.scene.installation.state_dir, work.workspace.home.root):
            fact = f"room {space.path}"
            points = room.add_point(room.from_fact(facts.get(fact)), space, now_ms)
            if work.terms.apply:
                work.workspace.create()
                facts.put(fact, room.to_fact(points))
            told = room.judge_room(points, space, now_ms)
            found += [told] if told is not None else []
    work.result.inputs = replace(work.result.inputs, dwindling=tuple(found))
