"""Whom the registry of sub-agents protects: all that a run without an end may answer to."""

from __future__ import annotations

import pytest

from tailflip.observe.records.subagents import SubagentRun, list_protected

RUN, CHILD, GRANDCHILD = "agent:main:cron:j:run:1", "agent:main:subagent:a", "agent:main:subagent:b"


def spawned(child, requester, ended_ms=None):
    return SubagentRun((child, requester), 1, ended_ms, "" if ended_ms is None else "done")


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ((), set()),
        ((spawned(CHILD, RUN),), {CHILD, RUN}),
        ((spawned(CHILD, RUN, 2),), set()),
        ((spawned(CHILD, RUN, 2), spawned(GRANDCHILD, CHILD)), {GRANDCHILD, CHILD, RUN}),
        ((spawned(GRANDCHILD, CHILD, 2), spawned(CHILD, RUN)), {CHILD, RUN}),
        ((spawned(CHILD, RUN, 2), spawned(RUN, CHILD)), {CHILD, RUN}),
    ],
    ids=["none", "a child", "that ended", "of one that ended", "whose child ended", "in a ring"],
)
def test_a_run_is_protected_with_all_that_are_above_it(registry, expected):
    assert list_protected(registry) == expected
