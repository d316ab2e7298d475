"""Calls of the extension for JSON stores; it reads and writes the bytes of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import (
    RestoreNumbers,
    RewriteNumbers,
    SalvageNumbers,
    Selection,
    SurveyNumbers,
    VerifyNumbers,
)
from tailflip.stores.extension import explain_scratch, open_scratch, run_native
from tailflip.stores.policies import compile_policy

if TYPE_CHECKING:
    from tailflip.flow.observed import Evidence
    from tailflip.plan.policy import Policy
    from tailflip.stores.extension import OnProgress


@dataclass(frozen=True)
class Surveyed:
    """A measured store, and the inputs by which a rewrite judges it the same way again."""

    numbers: SurveyNumbers
    handle: _native.Survey
    policy: _native.Policy
    evidence: _native.Evidence


def survey(
    fd: int, policy: Policy, evidence: Evidence, now_ms: int, on_progress: OnProgress | None = None
) -> Surveyed:
    """Measure a store and judge it by the policy, in one read."""
    compiled, known = compile_policy(policy, evidence, now_ms)
    handle = run_native(lambda c: _native.survey(fd, compiled, known, c), on_progress)
    return Surveyed(SurveyNumbers.model_validate_json(handle.json), handle, compiled, known)


def rewrite(
    fd_in: int,
    fd_out: int,
    fd_archive: int,
    surveyed: Surveyed,
    on_progress: OnProgress | None = None,
) -> RewriteNumbers:
    """Write the entries that the policy keeps, and archive those that it removes.

    Raises:
        StoreChanged: The bytes are no longer those that were surveyed.
        StoreInvalid: The archive does not read back as it was written.
    """
    s = surveyed
    text = run_native(
        lambda c: _native.rewrite(fd_in, fd_out, fd_archive, s.policy, s.evidence, s.handle, c),
        on_progress,
    )
    return RewriteNumbers.model_validate_json(text)


def verify(fd: int, on_progress: OnProgress | None = None) -> VerifyNumbers:
    """Read a store whole and validate it."""
    text = run_native(lambda c: _native.verify(fd, c), on_progress)
    return VerifyNumbers.model_validate_json(text)


def salvage(
    fd_in: int, fd_out: int | None, on_progress: OnProgress | None = None
) -> SalvageNumbers:
    """Write every entry that is proven; without `fd_out`, measure alone."""
    out = -1 if fd_out is None else fd_out
    text = run_native(lambda c: _native.salvage(fd_in, out, c), on_progress)
    return SalvageNumbers.model_validate_json(text)


def restore(
    fd_store: int, fd_out: int | None, fd_archive: int, selection: Selection
) -> RestoreNumbers:
    """Write the store with archived entries put back; without `fd_out`, measure alone."""
    out = -1 if fd_out is None else fd_out
    wanted, scratch = selection.model_dump_json(), open_scratch()
    text = run_native(
        lambda c: _native.restore(fd_store, out, fd_archive, wanted, scratch, c), None
    )
    return RestoreNumbers.model_validate_json(text)


def gather_sessions(fd: int) -> _native.Sessions:
    """Read once which sessions' transcripts the entries of a store still need."""
    scratch = open_scratch()
    try:
        return run_native(lambda c: _native.Sessions(fd, scratch, c), None)
    except OSError as e:
        raise explain_scratch(e) from e
