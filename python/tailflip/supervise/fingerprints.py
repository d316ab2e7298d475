"""Fingerprints of the files whose change a refused or delayed start waits for."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.moments import read_moment
from tailflip.flow.late import dataclass
from tailflip.observe.cures import (
    is_settled,
    list_program_files,
    list_service_files,
    list_state_files,
    mark,
    measure_room,
)
from tailflip.observe.gateway.release import read_release
from tailflip.supervise.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.observe.installation import Installation
    from tailflip.supervise.context import GuardedGateway

_RESTLESS_S = 120.0
# A service manager starts it, with an environment of its own.
_UNPACED = {"first_delay_s": 0.0, "safe_start": False}


@dataclass
class Fingerprints:
    """Reads the world of one gateway; `at` is a fresh result of `locate`, or None."""

    gateway: GuardedGateway
    _restless_since_s: float | None = field(default=None, init=False)

    def read_world(
        self, *, cured: bool = False, held: bool = False, is_paced: bool = True
    ) -> World:
        """Gather the world that the breaker decides by.

        Args:
            cured: as in `World`.
            held: likewise.
            is_paced: False if a service manager paces the starts.
        """
        gateway, now = self.gateway, read_moment()
        limits, at = gateway.config.restart, gateway.locate()
        return World(
            now_ms=now.at_ms,
            mono_ms=now.mono_ms,
            boot=now.boot,
            random=random.random(),  # noqa: S311 - jitter, no secret
            config_mark=self.mark_config(at),
            stores_mark=self.mark_stores(at),
            state_mark=self.mark_state(at),
            program_mark=self.mark_program(),
            room=self.measure_room(),
            settled=self.is_settled(at),
            cured=cured,
            held=held,
            other_alive=gateway.find_other(at) is not None,
            limits=limits if is_paced else limits.model_copy(update=_UNPACED),
        )

    def mark_config(self, at: Installation | None = None) -> str:
        """Fingerprint the release and the configuration files.

        A change ends the wait after a configuration fault.
        """
        gateway = self.gateway
        installation = at or gateway.locate()
        paths = [gateway.state_dir / ".env"]
        if installation is not None:
            paths.append(installation.config_path)
            with suppress(OSError):  # files that `$include` may name lie beside it
                paths += sorted(installation.config_path.parent.glob("*.json*"))
        paths += list_service_files(gateway.env)  # a service's environment may name a secret
        return f"{read_release(gateway.command, gateway.env).text} {_mark_known(paths)}"

    def mark_stores(self, at: Installation | None = None) -> str:
        """Fingerprint stores and heap limit; a change ends the wait after a memory fault."""
        installation = at or self.gateway.locate()
        paths = [store.path for store in installation.stores] if installation else []
        return f"{_mark_known(paths)} {self.gateway.find_heap_limit().bytes}"

    def mark_state(self, at: Installation | None = None) -> str:
        """Fingerprint databases and stores; a change ends the wait after a migration fault."""
        gateway = self.gateway
        return mark(list_state_files(gateway.state_dir, at or gateway.locate()))

    def mark_program(self) -> str:
        """Fingerprint package, node and service files.

        A change ends the wait after the fault of a broken installation.
        """
        return mark(list_program_files(self.gateway.release, self.gateway.state_dir))

    def is_settled(self, at: Installation | None = None) -> bool:
        """Say whether state and program have stopped changing.

        Files that go on changing do not hold a start up for ever: after two minutes they count as
        settled once.
        """
        gateway = self.gateway
        state = list_state_files(gateway.state_dir, at or gateway.locate())
        program = list_program_files(gateway.release, gateway.state_dir)
        now_s = clock.monotonic_s()
        if is_settled((*state, *program), clock.now_ms()):
            self._restless_since_s = None
            return True
        if self._restless_since_s is None:
            self._restless_since_s = now_s
        if now_s - self._restless_since_s < _RESTLESS_S:
            return False
        self._restless_since_s = now_s
        return True

    def measure_room(self) -> tuple[int, ...]:
        """Measure the free room on the disks that the gateway writes to."""
        temporary = self.gateway.release.env.get("TMPDIR") or "/tmp"  # noqa: S108 - only looked at
        return measure_room((self.gateway.state_dir, Path(temporary)))


def _mark_known(paths: Sequence[Path]) -> str:
    """Fingerprint existing files by name, size and time of the last write."""
    parts = []
    for path in dict.fromkeys(paths):
        with suppress(OSError):
            info = path.stat()
            parts.append(f"{path.name}:{info.st_size}:{info.st_mtime_ns}")
    return " ".join(parts)
