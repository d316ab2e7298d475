"""Tables of ends, ledger lines and starts, in constant memory whatever their size.

Lines that do not fit into memory go to a file without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.stores.extension import explain_scratch, open_scratch, run_native

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailflip.flow.observed import OverRun
    from tailflip.observe.records.runlog import RunLine

_STARTS_A_CALL = 4_096


class Ends:
    """Ends of runs, and sessions that live, in constant memory.

    Ends that do not fit into memory go to a file without a name. The table takes no more after
    its first lookup.
    """

    def __init__(self) -> None:
        self.raw = _native.Ends(open_scratch())

    @classmethod
    def of(cls, runs: Iterable[OverRun]) -> Ends:
        """Make a table of ends; of several ends of one run the latest counts.

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
            raise explain_scratch(e) from e

    def keep(self, session_id: str) -> None:
        """Note a session that lives, so that its entries stay as they are."""
        try:
            self.raw.keep(session_id)
        except OSError as e:
            raise explain_scratch(e) from e

    def is_kept(self, session_id: str) -> bool:
        """Say whether a session is known to live."""
        return self.raw.is_kept(session_id)

    def find(self, key: str, session_id: str | None = None) -> tuple[str, int, int] | None:
        """Find the status, end and length of a run."""
        return self.raw.find(key, session_id)


class Ledgers:
    """Lines of several ledgers, by which the entries of one store are judged."""

    def __init__(self) -> None:
        self._raw = _native.Ledgers(open_scratch())

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
            raise explain_scratch(e) from e

    def look_ahead(self, fd: int) -> _native.Joined:
        """Read a store once, and match lines without a session key to its runs."""
        try:
            return run_native(lambda c: self._raw.look_ahead(fd, c), None)
        except OSError as e:
            raise explain_scratch(e) from e


class Starts:
    """The starts of each job's runs; a job is known by a hash that depends on a seed."""

    def __init__(self, seed: int) -> None:
        self._raw = _native.Starts(seed, open_scratch())

    def add(self, job_id: str, at_ms: int) -> None:
        """Note one start of a run."""
        try:
            self._raw.add(job_id, at_ms)
        except OSError as e:
            raise explain_scratch(e) from e

    def gather(self, fd: int, since_ms: int) -> None:
        """Note the starts, later than `since_ms`, of all cron runs of a store."""
        try:
            run_native(lambda c: self._raw.gather(fd, since_ms, c), None)
        except OSError as e:
            raise explain_scratch(e) from e

    def hash(self, job_id: str) -> int:
        """Return the hash that stands for a job in this table."""
        return self._raw.hash(job_id)

    def name(self, job_hash: int) -> str | None:
        """Return a job's id, if it was among the first few thousand."""
        return self._raw.name(job_hash)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Stream all starts by job, the oldest first; can be done once, after the last `add`."""
        while found := self._raw.next(_STARTS_A_CALL):
            yield from found
