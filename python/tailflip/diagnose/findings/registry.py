"""The registry of findings, which runs each rule whose inputs a look has.

`check`, `status`, `watch`, `run` and `gate` each fill in `Inputs` with what they have seen. A rule
runs if all its inputs are there. The other findings are "not looked for": those on record stand.

A new finding is a member of `flow.findings.Code` and, in one module of this folder, a rule with
its entry in `ENTRIES`; its test is a case in tests/unit/diagnose/findings/test_registry.py.
`tests/tools/write_docs.py` then writes docs/findings.md. The parameters of a rule name the
inputs that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.diagnose.findings import (
    databases,
    guard,
    heap,
    host,
    jobs,
    killers,
    stores,
    transcripts,
)
from tailflip.diagnose.findings.entry import Stands
from tailflip.flow.findings import Code, Finding, Looked, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.diagnose.findings.entry import Entry
    from tailflip.diagnose.findings.inputs import Inputs

ENTRIES: dict[Code, Entry] = {
    entry.code: entry
    for module in (guard, stores, databases, transcripts, heap, jobs, killers, host)
    for entry in module.ENTRIES
}
ENDED_BY_GOOD_LIFE = frozenset(code for code, entry in ENTRIES.items() if entry.ends_with_good_life)
_ORDER = {code.value: place for place, code in enumerate(ENTRIES)}


def find_all(inputs: Inputs) -> Looked:
    """Run the rule of every finding whose inputs are there."""
    codes: set[str] = set()
    found: list[Finding] = []
    for entry in ENTRIES.values():
        values = [getattr(inputs, name) for name in entry.needs]
        if any(value is None for value in values):
            continue
        codes.add(entry.code)
        found += [
            Finding(
                entry.code, one.severity or entry.severity, one.subject, one.message,
                one.hint or entry.hint, one.evidence,
            )
            for one in entry.find(*values)
        ]  # fmt: skip
    return Looked(_arrange(found), frozenset(codes))


def merge(*looks: Looked) -> Looked:
    """Merge looks that were made one after the other."""
    findings = dict.fromkeys(finding for look in looks for finding in look.findings)
    return Looked(_arrange(findings), frozenset[str]().union(*(look.codes for look in looks)))


def recall(
    look: Looked, noted: Iterable[Finding], *, is_guarded: bool, died_of_memory: bool
) -> Looked:
    """Add findings on record that the look did not look for.

    Args:
        look: the present look.
        noted: the findings that stand on record.
        is_guarded: a guard lives, which ends a finding on record as soon as it is over.
        died_of_memory: an incident of memory is open.
    """
    counts = {
        Stands.RECORD: True, Stands.GUARDED: is_guarded, Stands.MEMORY_INCIDENT: died_of_memory
    }  # fmt: skip
    recalled = [
        finding
        for finding in noted
        if finding.code not in look.codes and counts[_stands(finding.code)]
    ]
    return Looked(_arrange([*look.findings, *recalled]), look.codes)


def _stands(code: str) -> Stands:
    entry = ENTRIES.get(Code(code)) if code in _ORDER else None
    return entry.stands if entry is not None else Stands.RECORD


def _arrange(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort errors first, else by the registry; leave out a finding that another one replaces."""
    findings = list(found)
    told = {(finding.code, finding.subject) for finding in findings}
    kept = [
        finding
        for finding in findings
        if finding.code not in _ORDER
        or (ENTRIES[Code(finding.code)].rather, finding.subject) not in told
    ]
    return tuple(
        sorted(
            kept,
            key=lambda one: (one.severity != Severity.ERROR, _ORDER.get(one.code, len(_ORDER))),
        )
    )
