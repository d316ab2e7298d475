"""A store that a real gateway's own tool brought into its database, and what is asked of it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import real_gateway
from sqlite_states import import_sessions

from support.agent_database import dump, read_entries
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real_gateway import Install, Running

READY_S = 240  # a machine may be busy
_STAYS_S = 10
_AGE_MS = 3 * 86_400_000  # so that all of its runs are old enough to go


@dataclass(frozen=True)
class ImportedStore:
    """A state directory of an installed release, and the database of its one agent."""

    install: Install
    state: Path

    @property
    def database(self) -> Path:
        return self.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"

    def bring_in(self, size_bytes: int) -> None:
        """Write an incident's store of this size, and let the release's own tool import it."""
        now_ms = int(time.time() * 1000) - _AGE_MS
        write_incident(self.state, size_bytes=size_bytes, now_ms=now_ms)
        real_gateway.configure(self.state)
        import_sessions(self.install, self.state)

    def keys(self) -> set[str]:
        return set(read_entries(self.database))

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        return dump(self.database)

    def compact(self) -> None:
        self._change("compact")

    def restore(self, database: Path | None = None) -> None:
        self._change("restore", "--all", "--store", str(database or self.database))

    def _change(self, *words: str) -> None:
        ran = real_gateway.tailflip(self.install, self.state, *words, "--apply", "--json")
        assert ran.returncode == 0, f"{words[0]}: exit {ran.returncode}: {ran.stderr[-600:]}"

    @contextmanager
    def started(self) -> Iterator[Running]:
        """Start its gateway; it answers, and goes on answering."""
        config = json.loads((self.state / "openclaw.json").read_text("utf-8"))
        port = config["gateway"]["port"]
        with real_gateway.gateway(self.install, self.state, port=port) as running:
            assert running.settle(READY_S), running.output()[-600:]
            # Its sweep may keep it from answering for some seconds.
            assert running.stays_up(_STAYS_S) or running.settle(READY_S), running.output()[-600:]
            yield running

    def is_left_alone(self) -> bool:
        """Say whether `compact --apply` leaves the database alone, beside a gateway that lives."""
        ran = real_gateway.tailflip(self.install, self.state, "compact", "--apply")
        return "nothing was changed" in ran.stderr or "nothing to do" in ran.stdout
