"""Runs calls of the extension on a worker thread, cancels them, and translates their errors.

The GIL is released meanwhile, so that the main thread can handle Ctrl-C and draw the progress
bar. Errors of the extension come out as `tailflip.base.errors`, without a path: callers add it
with `durable.naming`.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import tailflip
from tailflip import _native
from tailflip.base import errors
from tailflip.base.durable import open_scratch as open_nameless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailflip.base.progress import Progress

    OnProgress = Callable[[int], None]

_T = TypeVar("_T")

_POLL_S = 0.1

# One sentence for every kind, except those that `_explain` has a sentence for.
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


def report_to(
    progress: Progress | None, phase: str, total_bytes: int
) -> Callable[[int], None] | None:
    """Adapt a progress callback to a single call of the extension."""
    if progress is None:
        return None
    return lambda done_bytes: progress(phase, done_bytes, total_bytes)


def features() -> str:
    """Name the scanner's kernel and version."""
    return _native.features()


def describe() -> str:
    """Name the version and what the engine can do."""
    return f"tailflip {tailflip.__version__} ({features()})"


def open_scratch() -> _native.Scratch:
    """Open a file without a name for what does not fit into a table's memory."""
    fd = open_nameless()
    try:
        return _native.Scratch(fd)
    finally:
        if fd >= 0:
            os.close(fd)


def explain_scratch(error: OSError) -> BaseException:
    """Explain a full disk by the scratch file that needed the room."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return errors.CannotCreate(
        f"cannot judge store: no room for a scratch file ({error.strerror}); nothing was changed",
        hint="free some room in /var/tmp, or set TMPDIR to a folder that has some",
    )


def run_native(call: Callable[[_native.Control], _T], on_progress: OnProgress | None) -> _T:
    """Run a call on a worker thread; on an interrupt, cancel the call and wait for its end."""
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
        worker.join()  # it writes to our descriptors: close them after it has ended
        raise
    worker.join()
    if failures:
        raise _explain(failures[0]) from failures[0]
    if on_progress is not None:
        on_progress(control.done_bytes)
    return results[0]


@contextmanager
def translating() -> Iterator[None]:
    """Translate the errors of short calls that are made on this thread."""
    try:
        yield
    except _native.StoreInvalid as e:
        raise _explain(e) from e


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
