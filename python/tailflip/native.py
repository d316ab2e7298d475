"""The only importer of the extension: bytes are read and written there, never here.

Each call runs on a worker thread with the GIL released, so the main thread keeps
Ctrl-C and the progress bar. What the extension raises comes out as `tailflip.errors`,
without a path: callers add it with `durable.naming`.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tailflip import _native, errors
from tailflip.flow import (
    ArchiveNumbers,
    ListedEntry,
    RecordHeader,
    RestoreNumbers,
    RewriteNumbers,
    SalvageNumbers,
    Selection,
    SurveyNumbers,
    VerifyNumbers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tailflip.flow import Evidence
    from tailflip.plan.policy import Policy

    OnProgress = Callable[[int], None]

_T = TypeVar("_T")

_POLL_S = 0.1
_HEADERS_A_CALL = 1_000

_SENTENCES = {
    "empty": "the file is empty",
    "bom": "it starts with a byte order mark",
    "utf16": "it is UTF-16, not UTF-8",
    "utf8": "invalid UTF-8 at byte {offset}",
    "truncated": "it breaks off at byte {offset}",
    "syntax": "not JSON at byte {offset}",
    "control": "a raw control character inside a string at byte {offset}",
    "escape": "an escape that JSON does not know at byte {offset}",
    "number": "a malformed number at byte {offset}",
    "literal": "a word that JSON does not know at byte {offset}",
    "depth": "nested deeper than the limit at byte {offset}",
    "trailing": "something follows the closing brace at byte {offset}",
    "root": "its root is not an object",
}


@dataclass(frozen=True)
class Surveyed:
    """A measured store, and what a rewrite needs to judge it the same way again."""

    numbers: SurveyNumbers
    handle: _native.Survey
    policy: _native.Policy
    evidence: _native.Evidence


def features() -> str:
    """Name the scanner's kernel and version."""
    return _native.features()


def compile_policy(
    policy: Policy, evidence: Evidence, now_ms: int
) -> tuple[_native.Policy, _native.Evidence]:
    """Turn policy and evidence into what the extension judges by.

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
        # A gateway that is gone took all its runs with it; a living one, those before its start.
        owner_died_before_ms=now_ms if gateway.alive is False else gateway.started_ms,
    )
    known = _native.Evidence()
    for run in evidence.over:
        end = (run.status, run.ended_at_ms, run.runtime_ms)
        if run.session_id is None:
            fits = known.add_over(run.key, *end)
        else:
            fits = known.add_over_session(run.key, run.session_id, *end)
        if not fits:
            break  # newest first: older verdicts are only a convenience, age decides without them
    fits = all(known.add_live_session(s) for s in evidence.live_sessions)
    fits = fits and all(known.add_protected_key(k) for k in evidence.protected_keys)
    if not fits:
        raise errors.Unavailable(
            f"too many live sessions to protect: {len(evidence.live_sessions)} sessions and "
            f"{len(evidence.protected_keys)} keys; nothing was changed",
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
    handle = _run(lambda c: _native.survey(fd, compiled, known, c), on_progress)
    return Surveyed(SurveyNumbers.model_validate_json(handle.json), handle, compiled, known)


def rewrite(
    fd_in: int,
    fd_out: int,
    fd_archive: int,
    surveyed: Surveyed,
    on_progress: OnProgress | None = None,
) -> RewriteNumbers:
    """Write what the policy leaves, and archive what it takes.

    Raises:
        StoreChanged: The bytes are no longer those that were surveyed.
        StoreInvalid: The archive does not read back as it was written.
    """
    s = surveyed
    text = _run(
        lambda c: _native.rewrite(fd_in, fd_out, fd_archive, s.policy, s.evidence, s.handle, c),
        on_progress,
    )
    return RewriteNumbers.model_validate_json(text)


def verify(fd: int, on_progress: OnProgress | None = None) -> VerifyNumbers:
    """Read a store whole and validate it."""
    return VerifyNumbers.model_validate_json(_run(lambda c: _native.verify(fd, c), on_progress))


def salvage(
    fd_in: int, fd_out: int | None, on_progress: OnProgress | None = None
) -> SalvageNumbers:
    """Write every entry that is proven; without `fd_out` only measure."""
    out = -1 if fd_out is None else fd_out
    text = _run(lambda c: _native.salvage(fd_in, out, c), on_progress)
    return SalvageNumbers.model_validate_json(text)


def list_entries(fd: int) -> Iterator[ListedEntry]:
    """Stream the entries that evidence may judge, through a pipe and so in bounded memory.

    Raises:
        StoreInvalid: As of a survey; perhaps only after entries were yielded.
    """
    reading, writing = os.pipe()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            _run(lambda c: _native.list_entries(fd, writing, c), None)
        except BaseException as e:  # noqa: BLE001 - raised again by the reader
            outcome.append(e)
        finally:
            os.close(writing)

    writer = threading.Thread(target=work, name="tailflip-list", daemon=True)
    writer.start()
    try:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                yield ListedEntry.model_validate_json(line)
    finally:
        # A reader that stops early has closed its end: the writer then fails with EPIPE.
        writer.join()
    if outcome:
        raise outcome[0]


def archive_verify(fd: int, on_progress: OnProgress | None = None) -> ArchiveNumbers:
    """Read an archive whole, decompressing and checking every record."""
    text = _run(lambda c: _native.archive_verify(fd, c), on_progress)
    return ArchiveNumbers.model_validate_json(text)


def read_headers(fd: int) -> Iterator[RecordHeader]:
    """Stream an archive's record headers, a thousand in memory at a time."""
    reader = _run(lambda _: _native.ArchiveReader(fd), None)
    while texts := _run(lambda _: reader.next_headers(_HEADERS_A_CALL), None):
        for text in texts:
            yield RecordHeader.model_validate_json(text)


def restore(
    fd_store: int,
    fd_out: int | None,
    fd_archive: int,
    selection: Selection,
    skip: int = 0,
) -> RestoreNumbers:
    """Write the store with archived entries put back; without `fd_out` only measure."""
    out = -1 if fd_out is None else fd_out
    wanted = selection.model_dump_json()
    text = _run(lambda c: _native.restore(fd_store, out, fd_archive, wanted, skip, c), None)
    return RestoreNumbers.model_validate_json(text)


def referenced_sessions(fd: int, ids: Sequence[str]) -> list[bool]:
    """Say for each session id whether an entry of the store still needs its transcript."""
    return _run(lambda c: _native.referenced_sessions(fd, list(ids), c), None)


def _run(call: Callable[[_native.Control], _T], on_progress: OnProgress | None) -> _T:
    """Run a call on a worker thread; cancel it, and wait for it, when we are interrupted."""
    control = _native.Control()
    done = threading.Event()
    results: list[_T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call(control))
        except BaseException as e:  # noqa: BLE001 - a panic of the extension is a BaseException
            failures.append(e)
        finally:
            done.set()

    # Daemon: a descriptor that blocks for ever must not keep a finished process alive.
    worker = threading.Thread(target=work, name="tailflip-native", daemon=True)
    worker.start()
    try:
        while not done.wait(_POLL_S):
            if on_progress is not None:
                on_progress(control.done_bytes)
    except BaseException:
        control.cancel()
        worker.join()  # it writes to our descriptors; they may be closed only after it
        raise
    worker.join()
    if failures:
        raise _explain(failures[0]) from failures[0]
    if on_progress is not None:
        on_progress(control.done_bytes)
    return results[0]


def _explain(failure: BaseException) -> BaseException:
    if isinstance(failure, _native.StoreInvalid):
        kind, offset = failure.args
        if kind == "changed":
            return errors.StoreChanged(
                "store changed while it was read; nothing was changed by us", hint="try again"
            )
        if kind == "archive":
            return errors.ArchiveDamaged(f"archive is damaged at byte {offset}")
        sentence = _SENTENCES.get(kind, kind + " at byte {offset}").format(offset=offset)
        return errors.StoreInvalid(
            f"store is not valid JSON: {sentence}; bytes intact",
            hint="the gateway would take it for empty and overwrite it: do not start it; "
            "`tailflip compact` shows what can be salvaged",
        )
    if type(failure).__name__ == "PanicException":
        return errors.InternalError(f"the extension panicked: {failure}")
    return failure
