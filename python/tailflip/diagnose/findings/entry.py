"""What the registry holds of each finding."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailflip.flow.findings import Code, Severity


class Found(NamedTuple):
    """One thing that a rule found; without a hint of its own it has the entry's."""

    subject: str
    message: str
    evidence: tuple[str, ...] = ()
    hint: str = ""


class Stands(StrEnum):
    """How long a finding on record counts, where a look cannot look for it anew.

    `RECORD`: until the record says that it ended. `GUARDED`: while a guard lives that would end
    it. `MEMORY_INCIDENT`: while an incident of memory is open.
    """

    RECORD = "record"
    GUARDED = "guarded"
    MEMORY_INCIDENT = "memory-incident"


@dataclass(frozen=True)
class Entry:
    """One finding.

    Args:
        code: what it is called.
        severity: how bad it is.
        find: finds it, in the inputs that its parameters name; pure.
        doc: one sentence for people: what is wrong, and why that matters.
        hint: what to do; a rule that knows better says so in `Found`.
        rather: a finding that says more about the same subject, and takes its place.
        stands: how long one on record counts.
        ends_with_good_life: a gateway that lives long enough ends it.
    """

    code: Code
    severity: Severity
    find: Callable[..., Iterable[Found]]
    doc: str
    hint: str
    rather: Code | None = None
    stands: Stands = Stands.RECORD
    ends_with_good_life: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the inputs that it is found in, in the order of the rule's parameters."""
        code = self.find.__code__
        names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
        return names
