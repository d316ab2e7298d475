"""What may be shown in a browser, and handed on.

That is no path below a state directory, no address of a service, no session and no name of a job.
What may hold one is told in words of ours instead.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from tailflip.diagnose.findings.registry import ENTRIES
from tailflip.flow.findings import Code
from tailflip.report.narrative import describe_action

if TYPE_CHECKING:
    from tailflip.flow.findings import Finding
    from tailflip.flow.lives import Life
    from tailflip.report.status import Situation
    from tailflip.stores.archive import Archived

LEFT_OUT = "\N{HORIZONTAL ELLIPSIS}"
_HIDDEN = re.compile(
    r"""[a-z][a-z0-9+.-]*://[^\s"'`]+"""  # an address, which may hold a token
    r"""|\bagent:[^\s,;"'`]+"""  # a session
    r"""|(?<![\w.])~?/[^\s,;:()"'`]+(?:/[^\s,;:()"'`]*)*"""  # a path
    r"""|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f-]{4,}\b"""  # an id of a job or session
    r"""|\b[A-Za-z0-9_-]{32,}\b""",  # what looks like a key
    re.IGNORECASE,
)
# Their messages are words of ours about causes and numbers; those of others name jobs and files.
_TOLD = frozenset(
    {
        Code.GATEWAY_DOWN, Code.STARTS_STOPPED, Code.START_WAITS, Code.INCIDENT_OPEN,
        Code.CRASH_LOOP, Code.RESTART_LOOP, Code.SAFE_START, Code.MEMORY_TREND,
        Code.HEAP_FORECAST, Code.HEAP_CLOSE,
    }
)  # fmt: skip
OTHER = "other"
_UNKNOWN = "a finding of another release of tailflip"
_AGENTS = "agents"


def hide(text: str) -> str:
    """Leave out of a sentence of ours what a name or an address may be."""
    return _HIDDEN.sub(LEFT_OUT, text)


def tell_finding(finding: Finding) -> str:
    """Tell what is wrong; as its code does, where the message may name a job or a path."""
    if finding.code in _TOLD:
        return hide(finding.message)
    return ENTRIES[Code(finding.code)].doc if _is_known(finding) else _UNKNOWN


def tell_cure(finding: Finding) -> str:
    """Tell what to do as the code does; the finding's own hint may name a job or a path."""
    return ENTRIES[Code(finding.code)].hint if _is_known(finding) else "see `tailflip check`"


def name_code(finding: Finding) -> str:
    """Name the code, where it is one of ours: a text on record may be anything."""
    return str(finding.code) if _is_known(finding) else OTHER


def _is_known(finding: Finding) -> bool:
    return finding.code in {each.value for each in Code}


def tell_reason(situation: Situation) -> str:
    """Tell why the verdict is what it is."""
    reason = situation.verdict.reason
    for each in situation.findings:
        if each.finding.message and reason.startswith(each.finding.message):
            return tell_finding(each.finding).rstrip(".")
    if situation.look.problem and reason == situation.look.problem:
        return "the gateway's directory or its configuration cannot be read"
    if situation.refused:
        return "the last start was refused; `tailflip status` says why"
    return hide(reason)


def tell_step(situation: Situation) -> str:
    """Tell the next step."""
    step = situation.next_step
    for each in situation.findings:
        if step == each.finding.hint:
            return tell_cure(each.finding)
    return hide(step)


def name_place(path: str) -> str:
    """Name what an action changed: the agent whose store it was, or what kind of record."""
    parts = PurePath(path).parts
    if _AGENTS in parts and parts.index(_AGENTS) + 1 < len(parts):
        return parts[parts.index(_AGENTS) + 1]
    return {"cron": "the jobs", "tasks": "the tasks", "state": "the gateway's records"}.get(
        PurePath(path).parent.name, "a store"
    )


def tell_action(archived: Archived) -> str:
    """Tell an action without the path of what it changed."""
    return f"{describe_action(archived)} ({name_place(archived.action.store)})"


def hide_life(life: Life) -> Life:
    """Leave out of a life what it worked on, and what its death quoted."""
    death = life.death
    if death is not None:
        told = {"signature": death.cause.value, "evidence": (), "hint": ""}
        death = death.model_copy(update=told)
    return life.model_copy(update={"in_flight": None, "death": death, "command": ()})
