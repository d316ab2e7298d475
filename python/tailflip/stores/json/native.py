"""The only importer of the extension: bytes are read and written there, never here.

Each call runs on a worker thread with the GIL released, so the main thread keeps
Ctrl-C and the progress bar. What the extension raises comes out as `tailflip.base.errors`,
without a path: callers add it with `durable.naming`.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic_core import from_json

from tailflip import _native
from tailflip.base import errors
from tailflip.base.durable import open_scratch
from tailflip.base.units import format_counted
from tailflip.flow.numbers import (
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
    from collections.abc import Callable, Iterable, Iterator

    from tailflip.flow.observed import Evidence, OverRun
    from tailflip.observe.records.runlog import RunLine
    from tailflip.plan.policy import Policy

    OnProgress = Callable[[int], None]

_T = TypeVar("_T")

_POLL_S = 0.1
_HEADERS_A_CALL = 1_000
_STARTS_A_CALL = 4_096
_PIPE_BYTES = 64 << 10

# One for every kind but those that `_explain` tells in words of their own.
_SENTENCES = {
    "empty": "the file is empty",
    "bom": "it starts with a byte order mark",
    "utf16": "it is UTF-16, not UTF-8",
    "utf8": "invalid UTF-8 at byte {offset}",
    "truncated": "it breaks off at byte {offset}",
    "syntax": "not JSON at byte {offset}",
    "control": "a raw control character inside a string at byte {offset}",
    "escape": "an escape that JSON does not know at byte {offset}",
    "scalar": "a malformed number or word at byte {offset}",
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


class Ends:
    """How runs ended and which sessions live: as many as there are, in constant memory.

    What does not fit goes to a file without a name. Takes no more once it was looked into.
    """

    def __init__(self) -> None:
        self.raw = _native.Ends(_open_scratch())

    @classmethod
    def of(cls, runs: Iterable[OverRun]) -> Ends:
        """Gather ends; of several of one run the latest counts.

        Raises:
            CannotCreate: There are more than fit into memory, and no room for the others.
        """
        ends = cls()
        for run in runs:
            ends.add(run)
        return ends

    def add(self, run: OverRun) -> None:
        """Note how one run ended."""
        try:
            self.raw.add(run.key, run.session_id, run.status, run.ended_at_ms, run.runtime_ms)
        except OSError as e:
            raise _explain_scratch(e) from e

    def keep(self, session_id: str) -> None:
        """Note a session that lives: no entry that has it is touched."""
        try:
            self.raw.keep(session_id)
        except OSError as e:
            raise _explain_scratch(e) from e

    def is_kept(self, session_id: str) -> bool:
        """Say whether a session is known to live."""
        return self.raw.is_kept(session_id)

    def find(self, key: str, session_id: str | None = None) -> tuple[str, int, int] | None:
        """Find status, end and length of a run."""
        return self.raw.find(key, session_id)


class Ledgers:
    """Lines of several ledgers, by which the entries of one store are to be judged."""

    def __init__(self) -> None:
        self._raw = _native.Ledgers(_open_scratch())

    def add(self, ledger: int, line: RunLine) -> None:
        """Add one line to a ledger; `ListedEntry.ends` are in the order of their numbers.

        Raises:
            CannotCreate: There are more than fit into memory, and no room for the others.
        """
        session = line.session_id or (line.key or "").rpartition(":")[2]
        try:
            self._raw.add(
                ledger, line.job_id, line.key, session, line.status, line.started_ms, line.ended_ms
            )
        except OSError as e:
            raise _explain_scratch(e) from e

    def look_ahead(self, fd: int) -> _native.Joined:
        """Read a store once, and find out whom lines without a session key are about."""
        try:
            return _run(lambda c: self._raw.look_ahead(fd, c), None)
        except OSError as e:
            raise _explain_scratch(e) from e


class Starts:
    """When the runs of each job began; jobs are known by hashes that depend on a seed."""

    def __init__(self, seed: int) -> None:
        self._raw = _native.Starts(seed, _open_scratch())

    def add(self, job_id: str, at_ms: int) -> None:
        """Note one start."""
        try:
            self._raw.add(job_id, at_ms)
        except OSError as e:
            raise _explain_scratch(e) from e

    def gather(self, fd: int, since_ms: int) -> None:
        """Note the starts, later than `since_ms`, of all cron runs of a store."""
        try:
            _run(lambda c: self._raw.gather(fd, since_ms, c), None)
        except OSError as e:
            raise _explain_scratch(e) from e

    def hash(self, job_id: str) -> int:
        """Return what a job is known by here."""
        return self._raw.hash(job_id)

    def name(self, job_hash: int) -> str | None:
        """Return a job's id, if it was among the first few thousand."""
        return self._raw.name(job_hash)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Stream all starts by job, the oldest first; once, and then nothing may be added."""
        while found := self._raw.next(_STARTS_A_CALL):
            yield from found


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
        drop_kinds=[(kind.value, limit_ms) for kind, limit_ms in policy.drop_kinds],
        # A gateway that is gone took all its runs with it; a living one, those before its start.
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


def list_entries(fd: int, joined: _native.Joined | None = None) -> Iterator[ListedEntry]:
    """Stream the entries that evidence may judge, through a pipe and so in bounded memory.

    Args:
        fd: The store.
        joined: What ledgers know of its entries.

    Raises:
        StoreInvalid: As of a survey; perhaps only after entries were yielded.
    """
    reading, writing = os.pipe()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            _run(lambda c: _native.list_entries(fd, writing, joined, c), None)
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
    fd_store: int, fd_out: int | None, fd_archive: int, selection: Selection
) -> RestoreNumbers:
    """Write the store with archived entries put back; without `fd_out` only measure."""
    out = -1 if fd_out is None else fd_out
    wanted, scratch = selection.model_dump_json(), _open_scratch()
    text = _run(lambda c: _native.restore(fd_store, out, fd_archive, wanted, scratch, c), None)
    return RestoreNumbers.model_validate_json(text)


def gather_sessions(fd: int) -> _native.Sessions:
    """Read once which sessions' transcripts the entries of a store still need."""
    scratch = _open_scratch()
    try:
        return _run(lambda c: _native.Sessions(fd, scratch, c), None)
    except OSError as e:
        raise _explain_scratch(e) from e


def _open_scratch() -> _native.Scratch:
    fd = open_scratch()
    try:
        return _native.Scratch(fd)
    finally:
        if fd >= 0:
            os.close(fd)


def _explain_scratch(error: OSError) -> BaseException:
    """Tell of a full disk by what it was needed for; the store is only read here."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return errors.CannotCreate(
        f"cannot judge store: no room for a scratch file ({error.strerror}); nothing was changed",
        hint="free some room in /var/tmp, or set TMPDIR to a folder that has some",
    )


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
        sentence = _SENTENCES[kind].format(offset=offset)
        return errors.StoreInvalid(
            f"store is not valid JSON: {sentence}; bytes intact",
            hint="the gateway would take it for empty and overwrite it: do not start it; "
            "`tailflip compact` shows what can be salvaged",
        )
    if type(failure).__name__ == "PanicException":
        return errors.InternalError(f"the extension panicked: {failure}")
    return failure
