"""Why did the gateway end? One verdict, with its proof in words and how sure it is.

The rules stand in the order of their proof; the first that speaks decides. What nobody
saw stays unknown, and the evidence then says what is missing. The exit status alone
proves little: behind its wrapper the gateway's every violent end is exit 1, and exit 78
is a refused configuration, a missing migration or a healthy twin.

Source: measured on 2026.3.28, 2026.4.14 and 2026.9.6; exit codes from the releases' code.
"""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.diagnose.lastwords import LastWords, read_last_words
from tailflip.flow import Cause, Confidence, Death
from tailflip.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.flow import Clues

# What our own supervisor writes into `Clues.asked`. For a hang it ends the gateway, for any
# other reason of its own it means to start it again. Whoever else asked, asked for a stop.
ASKED_HANG = "tailflip: hang"
ASKED_BY_US = "tailflip: "

_CONFIG_EXIT, _UPDATE_EXIT, _PARKED_EXIT = 78, 75, 79
_WRAPPER_EXIT = 1
# The gateway chose these codes itself: whatever ran out of memory was a child of it.
_ORDERLY = frozenset({0, _CONFIG_EXIT, _UPDATE_EXIT, _PARKED_EXIT})
_SHELL_BASE = 128  # a shell or container runtime tells signal n as exit 128 + n
_KILL = int(signals.SIGKILL)
_ABORT = int(signals.SIGABRT)
_CRASHES = frozenset(
    int(number)
    for number in (
        signals.SIGABRT,
        signals.SIGBUS,
        signals.SIGFPE,
        signals.SIGILL,
        signals.SIGSEGV,
        signals.SIGSYS,
        signals.SIGTRAP,
    )
)
_STOPS = frozenset(
    int(number) for number in (signals.SIGTERM, signals.SIGINT, signals.SIGHUP, signals.SIGQUIT)
)
# Lines that other processes may still have written to the same pipe after V8's last ones.
_OTHERS_LINES = 20
# Lines with which a refusal explains itself: hints, who holds the port.
_CLOSING_LINES = 12


@dataclass(frozen=True)
class _Seen:
    """Clues, with a shell's 128 + n read as the signal it tells, and stderr understood."""

    clues: Clues
    code: int | None
    signal: int | None
    words: LastWords

    @property
    def unseen(self) -> bool:
        return self.code is None and self.signal is None

    @property
    def end(self) -> str:
        """The exit in words, as evidence begins."""
        if self.signal is not None:
            name = _name_signal(self.signal)
            return (
                name if self.clues.signal is not None else f"exit {self.clues.exit_code} ({name})"
            )
        return f"exit {self.code}" if self.code is not None else "exit not seen"

    @property
    def memory(self) -> tuple[str, ...]:
        peak, limit = self.clues.peak_rss_bytes, self.clues.heap_limit_bytes
        told = []
        if peak is not None:
            told.append(f"peak memory {format_bytes(peak)}")
        if limit is not None:
            told.append(f"heap limit {format_bytes(limit)}")
        return (", ".join(told),) if told else ()


def classify(clues: Clues) -> Death:
    """Judge one end of the gateway's process.

    Total: any clues give a verdict. The strings in it are safe for logs and the ledger:
    of stderr, only known texts, error classes and configuration keys are repeated.
    """
    code, signal = clues.exit_code, clues.signal
    if code is not None and signal is None and _is_signal(code - _SHELL_BASE):
        signal = code - _SHELL_BASE
    if signal is not None:
        code = None
    seen = _Seen(clues, code, signal, read_last_words(clues.stderr_tail))
    for rule in _RULES:
        death = rule(seen)
        if death is not None:
            return death
    return _give_up(seen)


def _judge_asked(seen: _Seen) -> Death | None:
    """We know best what we asked for, but a heap that ran out explains a hang."""
    asked = seen.clues.asked
    if asked is None:
        return None
    if asked == ASKED_HANG:
        heap = _judge_heap_text(seen)
        if heap is not None:
            return heap
        how = "alive, but it did not answer; ended by tailflip"
        return _death(Cause.HANG, Confidence.PROVEN, seen.end, how, *seen.memory)
    if asked.startswith(ASKED_BY_US):
        return _death(Cause.PLANNED_RESTART, Confidence.PROVEN, seen.end, f"asked by {asked}")
    return _death(Cause.ASKED_STOP, Confidence.PROVEN, seen.end, f"asked by {asked}")


def _judge_handed_off(seen: _Seen) -> Death | None:
    if seen.clues.handed_off and seen.code in (0, None) and seen.signal is None:
        return _death(Cause.PLANNED_RESTART, Confidence.PROVEN, seen.end, "restart handed over")
    return None


def _judge_heap_text(seen: _Seen) -> Death | None:
    """V8 says so itself, on stderr and nowhere else, in its last lines."""
    words = seen.words
    if words.heap is None or seen.code in _ORDERLY:
        return None
    crashed = seen.signal in _CRASHES
    # Far from the end it was a child of the gateway, a build of some agent's for instance.
    if not crashed and words.after_heap > _OTHERS_LINES:
        return None
    proven = crashed or (words.after_heap == 0 and not seen.unseen)
    confidence = Confidence.PROVEN if proven else Confidence.LIKELY
    return _death(Cause.V8_HEAP, confidence, seen.end, f"stderr: {words.heap}", *seen.memory)


def _judge_heap_report(seen: _Seen) -> Death | None:
    report = seen.clues.heap_report or ""
    is_heap = report == "OOMError" or "heap out of memory" in report
    if is_heap and seen.code not in _ORDERLY:
        how = "node wrote a report: OOMError"
        return _death(Cause.V8_HEAP, Confidence.PROVEN, seen.end, how, *seen.memory)
    return None


def _judge_killed(seen: _Seen) -> Death | None:
    """SIGKILL, and the kernel or systemd-oomd says that it was the one."""
    kills = seen.clues.oom_kills
    if seen.signal == _KILL and kills:
        return _death(
            Cause.CGROUP_OOM, Confidence.PROVEN, seen.end, _count_kills(kills), *seen.memory
        )
    if seen.code is not None and seen.code != _WRAPPER_EXIT:
        return None
    if seen.signal not in (None, _KILL):
        return None
    if seen.clues.oomd:
        sure = Confidence.PROVEN if seen.signal == _KILL else Confidence.LIKELY
        return _death(Cause.OOMD, sure, seen.end, "systemd-oomd took its cgroup", *seen.memory)
    if seen.words.killed is not None:
        cause, said = seen.words.killed
        sure = Confidence.PROVEN if seen.signal == _KILL else Confidence.LIKELY
        return _death(cause, sure, seen.end, f"log: {said}", *seen.memory)
    return None


def _judge_refusal(seen: _Seen) -> Death | None:
    """The gateway refused to start, and said why."""
    failure = seen.words.failure
    if failure is None or seen.signal is not None or seen.code not in (None, 0, 1, _CONFIG_EXIT):
        return None
    if seen.code == 0 and failure.cause not in (Cause.OTHER_INSTANCE, Cause.PORT_IN_USE):
        return None  # only "there is one already" counts as success
    # A running gateway says the same of a file it is told to reload, and lives on.
    lived_on = failure.after > _CLOSING_LINES or seen.clues.oom_kills
    if seen.clues.was_ready and seen.code != _CONFIG_EXIT and lived_on:
        return None
    cause, evidence = failure.cause, [seen.end, f"stderr: {failure.said}"]
    if cause is Cause.PORT_IN_USE and seen.clues.other_pid is not None:
        # It calls whoever holds its port a gateway; this time it is one.
        cause = Cause.OTHER_INSTANCE
    if cause in (Cause.OTHER_INSTANCE, Cause.PORT_IN_USE):
        other = seen.clues.other_pid
        evidence.append(f"pid {other} lives there" if other else "no other gateway was found")
    evidence.extend(f"problem at {key}" for key in failure.keys)
    seen_well = not seen.unseen and not seen.clues.was_ready
    confidence = Confidence.PROVEN if seen_well else Confidence.LIKELY
    told = f": {failure.said}" if cause in (Cause.CONFIG, Cause.MIGRATION) else ""
    return _death(cause, confidence, *evidence, signature=f"{cause}{told}")


def _judge_exit_code(seen: _Seen) -> Death | None:
    """Exit codes that mean one thing. 78 means three; without a text, which is a guess."""
    if seen.code == _UPDATE_EXIT:
        return _death(Cause.UPDATE, Confidence.LIKELY, "exit 75: an update goes on")
    if seen.code == _PARKED_EXIT:
        return _death(Cause.PARKED, Confidence.LIKELY, "exit 79: the updater wants it parked")
    if seen.code != _CONFIG_EXIT:
        return None
    other = seen.clues.other_pid
    if other is not None:
        how = f"pid {other} lives there"
        return _death(Cause.OTHER_INSTANCE, Confidence.LIKELY, seen.end, how)
    how = "no known text on stderr says of what kind"
    return _death(Cause.CONFIG, Confidence.GUESS, "exit 78: refused to start", how)


def _judge_crash(seen: _Seen) -> Death | None:
    """Died of itself, and V8 did not speak of its heap."""
    if seen.signal not in _CRASHES:
        if seen.words.fatal is not None and seen.code not in (0, None):
            said = f"stderr: {seen.words.fatal}"
            return _death(Cause.NATIVE_CRASH, Confidence.LIKELY, seen.end, said)
        return None
    if seen.signal == _ABORT and seen.words.lines == 0:
        how = "no stderr was seen; a node that runs out of heap ends so, and little else does"
        return _death(Cause.V8_HEAP, Confidence.GUESS, seen.end, how, *seen.memory)
    name = _name_signal(seen.signal)
    how = "no word of the heap on stderr" if seen.words.lines else "no stderr was seen"
    if seen.words.fatal is not None:
        how = f"stderr: {seen.words.fatal}"
    sure = Confidence.PROVEN if seen.words.lines else Confidence.LIKELY
    signature = f"{Cause.NATIVE_CRASH} {name}"
    return _death(Cause.NATIVE_CRASH, sure, seen.end, how, signature=signature)


def _judge_wrapped_kill(seen: _Seen) -> Death | None:
    """Exit 1, nothing said, and the kernel counted a kill: the wrapper's child was taken."""
    kills = seen.clues.oom_kills
    if not kills or seen.code not in (None, _WRAPPER_EXIT) or seen.signal is not None:
        return None
    # A gateway that says what went wrong was not killed; the kernel took another process.
    if seen.words.error is not None:
        return None
    counted = _count_kills(kills)
    return _death(Cause.CGROUP_OOM, Confidence.LIKELY, seen.end, counted, *seen.memory)


def _judge_worker_heap(seen: _Seen) -> Death | None:
    if seen.words.worker_heap and seen.code not in (0, None):
        how = "stderr: ERR_WORKER_OUT_OF_MEMORY"
        return _death(Cause.V8_HEAP, Confidence.LIKELY, seen.end, how, *seen.memory)
    return None


def _judge_stop(seen: _Seen) -> Death | None:
    """It ended in order, or by a signal that people and service managers send.

    Who sent it is not known: earlyoom, a stray `kill` and a person look the same. A stop is
    only what is known to have been asked for, and `_judge_asked` has that.
    """
    words = seen.words
    if seen.signal in _STOPS:
        name = _name_signal(seen.signal)
        return _death(
            Cause.ENDED,
            Confidence.LIKELY,
            f"{seen.end}, not sent by tailflip",
            signature=f"{Cause.ENDED} {name}",
        )
    if seen.code == 0 and words.restarts:
        said = "stderr: restart mode: full process restart"
        return _death(Cause.PLANNED_RESTART, Confidence.LIKELY, seen.end, said)
    if seen.code == 0:
        if words.stop_signal in ("SIGTERM", "SIGINT"):
            said = f"stderr: signal {words.stop_signal} received; tailflip did not send it"
            told = f"{Cause.ENDED} {words.stop_signal}"
            return _death(Cause.ENDED, Confidence.LIKELY, seen.end, said, signature=told)
        how = "ended in order; nobody is known to have asked for it"
        return _death(Cause.ENDED, Confidence.LIKELY, seen.end, how)
    if seen.code == _WRAPPER_EXIT and words.timed_out and words.stop_signal:
        said = f"stderr: signal {words.stop_signal} received, shutdown timed out"
        stops = words.stop_signal in ("SIGTERM", "SIGINT")
        cause = Cause.ENDED if stops else Cause.PLANNED_RESTART
        signature = f"{cause} {words.stop_signal}" if stops else str(cause)
        return _death(cause, Confidence.LIKELY, seen.end, said, signature=signature)
    return None


def _give_up(seen: _Seen) -> Death:
    """Say that it is unknown, and what would have told."""
    evidence = [seen.end]
    if seen.words.error is not None:
        evidence.append(f"stderr: {seen.words.error}")
    elif seen.words.lines == 0:
        evidence.append("no stderr was seen")
    else:
        evidence.append("no known text on stderr")
    if seen.signal == _KILL or (seen.code == _WRAPPER_EXIT and seen.words.error is None):
        evidence.append(_miss_kills(seen.clues.oom_kills))
    told = f": {seen.words.error}" if seen.words.error else ""
    return _death(
        Cause.UNKNOWN,
        Confidence.GUESS,
        *evidence,
        *seen.memory,
        signature=f"{Cause.UNKNOWN} {seen.end}{told}",
    )


def _count_kills(kills: int) -> str:
    # It counts every process of the cgroup, and kills for want of the machine's memory too.
    return f"the cgroup's counter of OOM kills grew by {kills}"


def _miss_kills(kills: int | None) -> str:
    if kills is None:
        return "no cgroup counter was seen: a kill by the kernel looks the same as one by hand"
    if kills == 0:
        return "the cgroup's counter of OOM kills did not grow: it was not the kernel's OOM killer"
    return "the cgroup's counter of OOM kills grew, but the gateway itself spoke of an error"


def _is_signal(number: int) -> bool:
    return number == _KILL or number in _CRASHES or number in _STOPS


def _name_signal(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _death(cause: Cause, sure: Confidence, *evidence: str, signature: str | None = None) -> Death:
    return Death(
        cause=cause,
        signature=signature or str(cause),
        confidence=sure,
        evidence=evidence,
    )


_RULES: tuple[Callable[[_Seen], Death | None], ...] = (
    _judge_asked,
    _judge_handed_off,
    _judge_heap_text,
    _judge_heap_report,
    _judge_killed,
    _judge_refusal,
    _judge_exit_code,
    _judge_crash,
    _judge_worker_heap,
    _judge_wrapped_kill,
    _judge_stop,
)
