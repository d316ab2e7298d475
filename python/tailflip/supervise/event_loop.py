"""The event loop: one queue and one thread, which calls one handler after the other."""

from __future__ import annotations

import queue
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tailflip.base import clock
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MAX_SLEEP_S = 3600.0


@dataclass(frozen=True)
class Outcome:
    """The result of slow work, or the error that it raised."""

    value: Any = None
    error: BaseException | None = None


class Loop:
    """Calls handlers for posted calls, signals, timers, and finished work.

    `post` may be called from any thread and from a signal handler; call the other methods in the
    loop's own thread.
    """

    def __init__(self) -> None:
        # SimpleQueue.put is reentrant: a signal handler may interrupt a `put`, and put as well.
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self.is_working = False

    def post(self, call: Callable[[], None]) -> None:
        """Queue a call for the loop."""
        self._posted.put(call)

    def at(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        """Set a timer to one call after a delay; a call that it had before is dropped."""
        self._timers[name] = (clock.monotonic_s() + delay_s, call)

    def bring_forward(self, name: str, delay_s: float) -> None:
        """Bring a set timer forward to a delay, unless it is due sooner already."""
        timer = self._timers.get(name)
        if timer is not None:
            due_s, call = timer
            self._timers[name] = (min(due_s, clock.monotonic_s() + delay_s), call)

    def cancel(self, *names: str) -> None:
        """Cancel timers."""
        for name in names:
            self._timers.pop(name, None)

    def has(self, name: str) -> bool:
        """Say whether a timer is set."""
        return name in self._timers

    def step(self) -> None:
        """Run the due timers, else wait for the next call or timer and run it.

        Timers come first, so that a flood of calls cannot delay them.
        """
        if self._run_due():
            return
        now_s = clock.monotonic_s()
        due_s = min((due for due, _ in self._timers.values()), default=now_s + _MAX_SLEEP_S)
        try:
            call = self._posted.get(timeout=max(0.0, min(due_s - now_s, _MAX_SLEEP_S)))
        except queue.Empty:
            return
        call()

    def _run_due(self) -> bool:
        """Run the timers that are due; say whether any was."""
        now_s = clock.monotonic_s()
        due = [name for name, (due_s, _) in self._timers.items() if due_s <= now_s]
        for name in due:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer[1]()
        return bool(due)

    def work(self, job: Callable[[], Any], on_done: Callable[[Outcome], None]) -> None:
        """Do slow work in a thread of its own, one piece at a time."""
        self.is_working = True

        def done(outcome: Outcome) -> None:
            self.is_working = False
            on_done(outcome)

        def run() -> None:
            try:
                outcome = Outcome(job())
            except BaseException as e:  # noqa: BLE001 - the loop handles it
                outcome = Outcome(error=e)
            self.post(lambda: done(outcome))

        threading.Thread(target=run, name="work", daemon=True).start()

    @contextmanager
    def catching(
        self, numbers: Iterable[signal.Signals], handler: Callable[[signal.Signals], None]
    ) -> Iterator[None]:
        """Handle signals in the loop while the block runs."""

        def post(number: int, _frame: object) -> None:
            self.post(lambda: handler(signal.Signals(number)))

        before = {number: signal.signal(number, post) for number in numbers}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)
