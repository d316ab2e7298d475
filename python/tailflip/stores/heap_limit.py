"""The heap limit of a gateway: one reading for all verbs.

The first that tells counts: a person, now or in the settings; the living gateway's process; its
service definition; what we have on record of its last start; the caller's shell. The shell's
limit is a guess: no verb says "it fits" by it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError, Usage
from tailflip.base.openclaw_units import parse_size_bytes
from tailflip.config.kinds import LEAST_HEAP_BYTES
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import HeapLimit
from tailflip.ledger.facts import HEAP_LIMIT_FACT
from tailflip.observe.gateway.heap import HeapOwner, read_heap_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.config.schema import Config
    from tailflip.ledger.history import History
    from tailflip.observe.next_start import Owners


_EXAMPLES = "write it as 2gb or 512mb"


def find_told_limit(config: Config, given: str | None = None) -> HeapLimit | None:
    """Find the limit that a person gave, now or in the settings; None for neither.

    Raises:
        Usage: the given limit is no size, or less than any gateway has.
    """
    margin = config.heal.margin
    if given is None:
        set_bytes = config.gateway.heap_limit_bytes
        return None if set_bytes is None else HeapLimit(set_bytes, "gateway.heap_limit", margin)
    try:
        limit_bytes = parse_size_bytes(given)
    except ValueError as e:
        raise Usage(f"--heap-limit is not a size: {given}", hint=_EXAMPLES) from e
    if limit_bytes < LEAST_HEAP_BYTES:
        raise Usage(f"--heap-limit must be at least 16mb: {given}", hint=_EXAMPLES)
    return HeapLimit(limit_bytes, "--heap-limit", margin)


def find_started_limit(config: Config, owner: HeapOwner, history: History) -> HeapLimit:
    """Find the limit of a gateway that we start; node is asked once, and then the record."""
    told = find_told_limit(config)
    found = told or read_heap_limit(owner, _OnRecord(history))
    return replace(found, margin=config.heal.margin)


def find_limit(config: Config, owners: Owners, history: History | None) -> HeapLimit:
    """Find the limit of a gateway that others start, where nobody told it.

    Args:
        config: its settings.
        owners: what sizes its heap.
        history: its record, None for none.
    """
    tried = [read_heap_limit(owners.living)] if owners.living is not None else []
    if owners.services:
        tried.append(_choose_least(list(map(read_heap_limit, owners.services))))
    if history is not None and owners.may_recall:
        recalled = _OnRecord(history).recall()
        tried += [recalled] if recalled is not None else []
    best = next((each for each in tried if each.is_known), None)
    best = best or next((each for each in tried if each.bytes is not None), None)
    if best is None:
        best = replace(read_heap_limit(owners.shell), is_known=False)
    return replace(best, margin=config.heal.margin)


def _choose_least(limits: Sequence[HeapLimit]) -> HeapLimit:
    """Choose the least of several definitions' limits; it is known where they agree."""
    least = min(limits, key=lambda each: each.bytes if each.bytes is not None else 1 << 62)
    if len({each.bytes for each in limits}) == 1:
        return least
    return replace(least, is_known=False, source=f"{least.source}; another service says otherwise")


@dataclass(frozen=True)
class _OnRecord:
    """The limit of a gateway's last start by us, on its record."""

    history: History

    def get(self, key: str) -> int | None:
        """Return node's recorded answer to this question, if there is one."""
        fact = self._read()
        answer = fact.get("answer_bytes") if fact.get("key") == key else None
        return answer if isinstance(answer, int) else None

    def put(self, key: str, answer_bytes: int, limit: HeapLimit) -> None:
        """Put the answer on record; if that fails, node is asked again next time."""
        with suppress(TailflipError):
            self.history.workspace.create()
            told = {"limit_bytes": limit.bytes, "source": limit.source, "known": limit.is_known}
            fact = {"key": key, "answer_bytes": answer_bytes, **told}
            self.history.facts.put(HEAP_LIMIT_FACT, fact)

    def recall(self) -> HeapLimit | None:
        """Return the limit that the last start had; None where there is none on record."""
        fact = self._read()
        limit_bytes, source = fact.get("limit_bytes"), fact.get("source")
        if not isinstance(limit_bytes, int):
            return None
        source = f"at its last start by tailflip: {source}"
        return HeapLimit(limit_bytes, source, is_known=fact.get("known") is not False)

    def _read(self) -> dict[str, object]:
        with suppress(TailflipError):
            fact = self.history.facts.get(HEAP_LIMIT_FACT)
            return fact if isinstance(fact, dict) else {}
        return {}
