"""Watches a few files for changes; uses the kernel's notices and no polling.

The files' folders are watched (inotify on Linux), not the files: a store is replaced by a
rename. For a missing folder, the nearest one above is watched until the folder is there.
`check` finds changes without a notice, such as a folder above being moved away.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    EVENT_TYPE_DELETED,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from tailflip.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from watchdog.observers.api import BaseObserver, ObservedWatch

QUIET_S = 2.0
# Every watch takes two threads and an inotify instance; a user has 128 instances.
_MAX_FOLDERS = 32
_MAX_ROUNDS = 16
_OF_FOLDERS: list[type[FileSystemEvent]] = [DirCreatedEvent, DirMovedEvent, DirDeletedEvent]
_OF_FILES: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileDeletedEvent),
    *_OF_FOLDERS,
]


class ChangeWatcher(FileSystemEventHandler):
    """Calls back with the given paths that were made, changed, moved or deleted.

    The call comes from the watcher's own thread, `quiet_s` after the first change, however many
    follow. When a folder is there again, its files count as changed. Of more than 32 folders the
    rest is not watched; `unwatched` names those, and folders whose watch failed.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        on_change: Callable[[frozenset[Path]], None],
        *,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._on_change = on_change
        self._quiet_s = quiet_s
        self._given: dict[str, set[Path]] = {}  # file as events name it -> as it was given
        for path in paths:
            for name in (os.path.abspath(path), os.path.realpath(path)):  # noqa: PTH100
                self._given.setdefault(name, set()).add(path)
        self._folders = sorted({os.path.dirname(name) for name in self._given})  # noqa: PTH120
        self._ways = {
            str(above)
            for folder in self._folders
            for above in (Path(folder), *Path(folder).parents)
        }
        self._watches: dict[str, tuple[tuple[int, int], ObservedWatch]] = {}
        self._dead: set[str] = set()  # the system may use an inode number again at once
        self._turn = threading.Condition()
        self._changed: set[Path] = set()
        self._look_again = False
        self._stopped = False
        self._observer: BaseObserver | None = None
        self._worker: threading.Thread | None = None
        self.unwatched: frozenset[Path] = frozenset()

    def start(self) -> None:
        """Start the watch; changes after the return are seen."""
        self._observer = Observer()
        self._observer.start()
        self._arm(self._observer, at_start=True)
        self._worker = threading.Thread(target=self._run, name="tailflip-changes", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Stop the watch; after the return no call runs or comes."""
        with self._turn:
            self._stopped = True
            self._turn.notify()
        for thread in (self._worker, self._observer):
            if thread is not None and thread is not threading.current_thread():
                if thread is self._observer:
                    self._observer.stop()
                thread.join()

    def check(self) -> None:
        """Check that each watch is still on the folder of that name; costs two stats each."""
        watches = dict(self._watches)
        if any(_identify(path) != seen for path, (seen, _) in watches.items()) or any(
            _nearest(folder) not in watches for folder in self._folders[:_MAX_FOLDERS]
        ):
            self._wake(set(), look_again=True)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Sort one event; the observer's thread calls this."""
        names = [os.fsdecode(name) for name in (event.src_path, event.dest_path) if name]
        changed = {path for name in names for path in self._given.get(name, ())}
        moved = event.is_directory and any(name in self._ways for name in names)
        if event.event_type == EVENT_TYPE_DELETED and names[0] in self._watches:
            self._dead.add(names[0])
            moved = True
        if changed or moved:
            self._wake(changed, look_again=moved)

    def _wake(self, changed: set[Path], *, look_again: bool) -> None:
        with self._turn:
            self._changed |= changed
            self._look_again = self._look_again or look_again
            self._turn.notify()

    def _run(self) -> None:
        due_s: float | None = None
        while True:
            with self._turn:
                if not (self._look_again or self._stopped):
                    if due_s is None and not self._changed:
                        self._turn.wait()
                    elif due_s is not None:
                        self._turn.wait(max(0.0, due_s - clock.monotonic_s()))
                if self._stopped:
                    return
                look_again, self._look_again = self._look_again, False
            if look_again and self._observer is not None:
                self._arm(self._observer)
            with self._turn:
                if self._changed and due_s is None:
                    due_s = clock.monotonic_s() + self._quiet_s
                if due_s is None or clock.monotonic_s() < due_s:
                    continue
                due_s, changed = None, frozenset(self._changed)
                self._changed.clear()
            self._on_change(changed)

    def _arm(self, observer: BaseObserver, *, at_start: bool = False) -> None:
        """Watch the folders that exist, and repeat until no folder appears meanwhile."""
        for _ in range(_MAX_ROUNDS):
            wanted = {_nearest(folder) for folder in self._folders[:_MAX_FOLDERS]}
            now = {path: _identify(path) for path in wanted}
            for path, (seen, watch) in tuple(self._watches.items()):
                if now.get(path) != seen or path in self._dead:
                    self._dead.discard(path)
                    observer.unschedule(watch)
                    del self._watches[path]
            new = [path for path in wanted if path not in self._watches]
            if not new:
                break
            for path in new:
                identity = now[path]
                if identity is None or not self._schedule(observer, path, identity):
                    continue
                if not at_start:
                    self._note_files_of(path)
        missing = [folder for folder in self._folders if _nearest(folder) not in self._watches]
        self.unwatched = frozenset(Path(folder) for folder in missing)

    def _schedule(self, observer: BaseObserver, path: str, identity: tuple[int, int]) -> bool:
        """Watch one folder; False if it is gone again or the system has no more watches."""
        kinds = _OF_FILES if path in self._folders else _OF_FOLDERS
        try:
            watch = observer.schedule(self, path, event_filter=kinds)
        except OSError:
            return False
        self._watches[path] = (identity, watch)
        return True

    def _note_files_of(self, folder: str) -> None:
        if folder in self._folders:
            with self._turn:
                for name, given in self._given.items():
                    if os.path.dirname(name) == folder:  # noqa: PTH120
                        self._changed |= given


def _nearest(folder: str) -> str:
    """Find the folder itself, or the nearest existing one above it."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):  # noqa: PTH112, PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder


def _identify(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
