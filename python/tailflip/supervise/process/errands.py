"""Starts errands: short-lived children that tell people, so that a guard need not.

A guard imports nothing that sends, and waits for no receiver. One errand runs at a time. It is
started soon after news, and at the time that the last one named.
"""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.alerts.background import list_own, scrub
from tailflip.base import clock, log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.supervise.event_loop import Loop

_TIMER = "errand"
# What belongs together comes within a second: a death, its verdict, and the decision.
_GATHER_S = 1.0
_AGAIN_S = 60.0
# No timer is longer: the wall clock may be set, and a machine may have slept.
_LOOK_S = 60.0
_PATIENCE_S = 25.0

# The shell starts the child in the background and ends: the child is then nobody's, and no zombie
# of the program that `gate` becomes. In the background, descriptor 0 is /dev/null.
_DETACH = 'exec 3<&0; "$@" <&3 3<&- &'


def run_detached(env: Mapping[str, str], order: bytes) -> None:
    """Start an errand that outlives this process, and is not its child."""
    _run(["/bin/sh", "-c", _DETACH, "sh", *list_own("_turn")], env, order)


def run_and_wait(env: Mapping[str, str], order: bytes) -> None:
    """Run an errand before this process ends: a service manager ends with it what it started."""
    _run(list_own("_turn"), env, order)


def _run(command: list[str], env: Mapping[str, str], order: bytes) -> None:
    with suppress(OSError, subprocess.TimeoutExpired):
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=scrub(env),
            cwd=os.sep,
            start_new_session=True,
        )
        child.communicate(order, _PATIENCE_S)


class Errands:
    """The errands of one guard. `news` may be called from any thread.

    `make_order` returns what the next errand is to know, or None where nobody is to be told.
    """

    def __init__(
        self, loop: Loop, env: Mapping[str, str], make_order: Callable[[], bytes | None]
    ) -> None:
        self._loop, self._env, self._make_order = loop, env, make_order
        self._child: subprocess.Popen[bytes] | None = None
        self._has_news = False
        self._due_ms: int | None = None

    @property
    def pids(self) -> frozenset[int]:
        """The child that is waited for; whoever reaps others leaves it alone."""
        return frozenset() if self._child is None else frozenset({self._child.pid})

    def news(self) -> None:
        """Have an errand started soon: something happened that people may have to hear of."""
        self._loop.post(self._take_news)

    def leave(self) -> None:
        """Start a last errand, which outlives this process, if there is news."""
        if self._has_news and self._child is None:
            child = self._start()
            if child is not None:
                self._hand_over(child[0], child[1], is_last=True)

    def _take_news(self) -> None:
        self._has_news = True
        if self._child is None:
            self._look_in(_GATHER_S)

    def _look_in(self, delay_s: float) -> None:
        if self._loop.has(_TIMER):
            self._loop.bring_forward(_TIMER, delay_s)
        else:
            self._loop.at(_TIMER, delay_s, self._look)

    def _look(self) -> None:
        """Start an errand if one is due, else look again in a while."""
        if self._child is not None:
            return
        left_s = self._left_s()
        if left_s > 0:
            self._look_in(min(left_s, _LOOK_S))
            return
        started = self._start()
        if started is None:
            return
        self._child, order = started
        waiting = threading.Thread(
            target=self._wait, args=(self._child, order), name="errand", daemon=True
        )
        try:
            waiting.start()
        except RuntimeError:  # the host gives no more threads; without an order, the child ends
            self._child.kill()
            self._child.communicate()
            self._end(b"")

    def _left_s(self) -> float:
        if self._has_news:
            return 0.0
        return float("inf") if self._due_ms is None else (self._due_ms - clock.now_ms()) / 1000

    def _start(self) -> tuple[subprocess.Popen[bytes], bytes] | None:
        self._has_news, self._due_ms = False, None
        order = self._make_order()
        if order is None:
            return None
        try:
            child = subprocess.Popen(
                list_own("_turn"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=scrub(self._env),
                cwd=os.sep,
                start_new_session=True,
            )
        except OSError as e:
            log.error("nobody can be told: no process can be started", error=e.strerror)
            self._due_ms = clock.now_ms() + int(1000 * _AGAIN_S)
            self._look_in(_AGAIN_S)
            return None
        return child, order

    def _wait(self, child: subprocess.Popen[bytes], order: bytes) -> None:
        answer = self._hand_over(child, order)
        self._loop.post(lambda: self._end(answer))

    def _hand_over(
        self, child: subprocess.Popen[bytes], order: bytes, *, is_last: bool = False
    ) -> bytes:
        with suppress(OSError, ValueError):
            if is_last and child.stdin is not None:
                child.stdin.write(order)
                child.stdin.close()
            else:
                return child.communicate(order)[0]
        return b""

    def _end(self, answer: bytes) -> None:
        self._child = None
        try:
            self._due_ms = None if answer.strip() == b"null" else int(answer)
        except ValueError:
            log.warning("the process that tells people ended without an answer")
            self._due_ms = clock.now_ms() + int(1000 * _AGAIN_S)
        if self._has_news or self._due_ms is not None:
            self._look_in(max(_GATHER_S, min(self._left_s(), _LOOK_S)))
