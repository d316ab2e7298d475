"""Watches for writes to the stores and the configuration, as the kernel reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.observe.host.changes import ChangeWatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.event_loop import Loop


class ChangedFiles:
    """Watches the folders of a gateway's stores; a missed change is found at the next look."""

    def __init__(self, gateway: GuardedGateway, loop: Loop, on_changed: Callable[[], None]) -> None:
        self._gateway = gateway
        self._loop = loop
        self._on_changed = on_changed
        self._watcher: ChangeWatcher | None = None

    def watch(self) -> None:
        """Begin to watch, unless it has begun or the gateway has no files yet."""
        installation = self._gateway.locate()
        if installation is None or self._watcher is not None:
            return
        paths = [store.path for store in (*installation.stores, *installation.missing)]
        self._watcher = ChangeWatcher(
            [*paths, installation.config_path, installation.cron_store],
            lambda _changed: self._loop.post(self._on_changed),
        )
        try:
            self._watcher.start()
        except OSError as e:
            log.warning("cannot watch the stores' folders", error=e)

    def check(self) -> None:
        """Follow folders that were made or replaced meanwhile."""
        if self._watcher is not None:
            self._watcher.check()

    def stop(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.stop()
