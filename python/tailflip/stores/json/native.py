"""Calls of the extension for JSON stores; it reads and writes the bytes of a store."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json

from tailflip import _native
from tailflip.base import errors
from tailflip.base.units import format_counted
from tailflip.flow.numbers import (
    ListedEntry,
    RestoreNumbers,
    RewriteNumbers,
    SalvageNumbers,
    Selection,
    SurveyNumbers,
    VerifyNumbers,
)
from tailflip.stores.extension import explain_scratch, open_scratch, run_native
from tailflip.stores.tables import Ends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.observed import Evidence
    from tailflip.plan.policy import Policy
    from tailflip.stores.extension import OnProgress

_PIPE_BYTES = 64 << 10


@dataclass(frozen=True)
class Surveyed:
    """A measured store, and the inputs by which a rewrite judges it the same way again."""

    numbers: SurveyNumbers
    handle: _native.Survey
    policy: _native.Policy
    evidence: _native.Evidence


def compile_policy(
    policy: Policy, evidence: Evidence, now_ms: int
) -> tuple[_native.Policy, _native.Evidence]:
    """Convert policy and evidence to the form that the extension judges by.

    Raises:
        Unavailable: There is more proof of life than fits; acting without it would be unsafe.
    """
    gateway = evidence.gateway
    compiled = _native.Policy(
        now_ms=now_ms,
        slim_runs=policy.slim,
        slim_idle_ms=policy.slim_idle_ms,
        retire=policy.retire,
        retention_ms=policy.retention_ms,
        max_lifetime_ms=policy.max_lifetime_ms,
        single_flight=policy.single_flight,
        cap_per_job=policy.cap_per_job,
        cap_total=policy.cap_total,
        drop_kinds=[(kind.value, limit_ms) for kind, limit_ms in policy.drop_kinds],
        # The runs of a stopped gateway are over; beside a living one, those from before its start.
        owner_died_before_ms=now_ms if gateway.alive is False else gateway.started_ms,
        knows_ends=evidence.knows_ends,
    )
    known = _native.Evidence(evidence.over.raw if isinstance(evidence.over, Ends) else None)
    fits = all(known.add_live_session(s) for s in evidence.live_sessions)
    fits = fits and all(known.add_protected_key(k) for k in evidence.protected_keys)
    if not fits:
        raise errors.Unavailable(
            "too many live sessions to protect: "
            f"{format_counted(len(evidence.live_sessions), 'session')} and "
            f"{format_counted(len(evidence.protected_keys), 'key')}; nothing was changed",
            hint="stop the gateway first",
        )
    if not all(known.add_dropped_key(k) for k in evidence.dropped_keys):
        raise errors.Usage(f"too many keys named: {len(evidence.dropped_keys)}")
    return compiled, known


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


def list_entries(fd: int, joined: _native.Joined | None = None) -> Iterator[ListedEntry]:
    """Stream the entries that evidence may judge through a pipe, in bounded memory.

    Args:
        fd: The store.
        joined: The ledgers' lines about its entries.

    Raises:
        StoreInvalid: As for a survey; it may come after entries were yielded.
    """
    reading, writing = os.pipe()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            run_native(lambda c: _native.list_entries(fd, writing, joined, c), None)
        except BaseException as e:  # noqa: BLE001 - raised again by the reader
            outcome.append(e)
        finally:
            os.close(writing)

    writer = threading.Thread(target=work, name="tailflip-list", daemon=True)
    writer.start()
    try:
        with os.fdopen(reading, "rb", _PIPE_BYTES) as lines:
            for line in lines:
                yield ListedEntry(*from_json(line))
    finally:
        # A reader that stops early has closed its end: the writer then fails with EPIPE.
        writer.join()
    if outcome:
        raise outcome[0]


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
