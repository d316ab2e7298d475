"""One queue, one thread: whatever happens becomes a call in the loop, one after the other."""

from __future__ import annotations

import queue
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailflip.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MAX_SLEEP_S = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What slow work gave, or what it raised."""

    value: Any = None
    error: BaseException | None = None


class Loop:
    """Calls handlers: for what was posted, for signals, for timers, for work that is done.

    `post` may be called from any thread and from a signal handler; everything else is
    for the loop's own thread.
    """

    def __init__(self) -> None:
        # SimpleQueue.put is the one that may interrupt itself: signals come at any moment.
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self.is_working = False

    def post(self, call: Callable[[], None]) -> None:
        """Have something called in the loop."""
        self._posted.put(call)

    def at(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        """Have something called once after a delay, instead of what this timer had before."""
        self._timers[name] = (clock.monotonic_s() + delay_s, call)

    def bring_forward(self, name: str, delay_s: float) -> None:
        """Have a timer that is set ring after a delay, unless it rings sooner as it is."""
        timer = self._timers.get(name)
        if timer is not None:
            due_s, call = timer
            self._timers[name] = (min(due_s, clock.monotonic_s() + delay_s), call)

    def cancel(self, *names: str) -> None:
        """Take timers back."""
        for name in names:
            self._timers.pop(name, None)

    def has(self, name: str) -> bool:
        """Say whether a timer is set."""
        return name in self._timers

    def step(self) -> None:
        """Do what is due, else wait for the next thing and do it.

        Timers come first, or a flood of calls would keep them from their turn.
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
        """Run the timers whose time has come; say whether any did."""
        now_s = clock.monotonic_s()
        due = [name for name, (due_s, _) in self._timers.items() if due_s <= now_s]
        for name in due:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer[1]()
        return bool(due)

    def work(self, job: Callable[[], Any], on_done: Callable[[Outcome], None]) -> None:
        """Do something slow in a thread of its own, one thing at a time."""
        self.is_working = True

        def done(outcome: Outcome) -> None:
            self.is_working = False
            on_done(outcome)

        def run() -> None:
            try:
                outcome = Outcome(job())
            except BaseException as e:  # noqa: BLE001 - the loop looks at it
                outcome = Outcome(error=e)
            self.post(lambda: done(outcome))

        threading.Thread(target=run, name="work", daemon=True).start()

    @contextmanager
    def catching(
        self, numbers: Iterable[signal.Signals], handler: Callable[[signal.Signals], None]
    ) -> Iterator[None]:
        """Have signals handled in the loop while the block runs."""

        def post(number: int, _frame: object) -> None:
            self.post(lambda: handler(signal.Signals(number)))

        before = {number: signal.signal(number, post) for number in numbers}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)
