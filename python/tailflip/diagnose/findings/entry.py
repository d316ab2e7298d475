"""The entry that the registry holds for each finding."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailflip.flow.findings import Code, Severity


class Found(NamedTuple):
    """One thing that a rule found; without its own hint or severity, the entry's counts."""

    subject: str
    message: str
    evidence: tuple[str, ...] = ()
    hint: str = ""
    severity: Severity | None = None


class Stands(StrEnum):
    """The end of a finding on record, where a look cannot look for it again.

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
        code: its name.
        severity: error or warning.
        find: the rule, a function of the inputs that its parameters name.
        doc: one sentence for people: what is wrong, and why that matters.
        hint: what to do; a more exact hint of the rule is in `Found`.
        rather: a finding that says more about the same subject, and replaces this one.
        stands: how long a finding on record counts.
        ends_with_good_life: a good life of the gateway ends the finding.
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
        """List the inputs that the rule needs, in the order of its parameters."""
        code = self.find.__code__
        names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
        return names
