"""Judges why a gateway ended: one verdict, with its evidence and confidence.

The rules are in the order of their proof; the first that gives a verdict decides. An end without
clues is unknown, and the evidence then says what is missing. The exit status alone proves
little: behind its wrapper the gateway's every violent end is exit 1, and exit 78 is a refused
configuration, a missing migration or a healthy twin.

Source: measured on 2026.3.28, 2026.4.14 and 2026.9.6; exit codes from the releases' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes
from tailflip.diagnose.causes import CAUSES, SET_FLAGS
from tailflip.diagnose.exits import (
    ABORT,
    CONFIG_EXIT,
    CRASHES,
    FLAG_EXIT,
    KILL,
    NO_PROGRAM_EXITS,
    ORDERLY,
    PARKED_EXIT,
    STOPS,
    UPDATE_EXIT,
    WRAPPER_EXIT,
    Seen,
    name_signal,
    see,
)
from tailflip.flow.lives import Asked, Cause, Confidence, Death

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.flow.lives import Clues

_STOP_WORDS = frozenset({"SIGTERM", "SIGINT"})
# Number of lines that other processes may write to the same pipe after V8's last ones.
_OTHERS_LINES = 20
_MAX_SIGNATURE = 80
# Number of lines with which a refusal explains itself: hints, the holder of the port.
_CLOSING_LINES = 12


def classify(clues: Clues) -> Death:
    """Judge one end of the gateway's process.

    Any clues give a verdict. Its strings are safe for logs and the ledger: of stderr, they repeat
    known texts, error classes and configuration keys.
    """
    seen = see(clues)
    judged = (death for rule in _RULES if (death := rule(seen)) is not None)
    return next(judged, None) or _give_up(seen)


def _judge_asked(seen: Seen) -> Death | None:
    """Judge an end that the guard asked for; a full heap explains a hang."""
    asked = seen.clues.asked
    if asked is None:
        return None
    if asked is Asked.HANG:
        heap = _judge_heap_text(seen)
        if heap is not None:
            return heap
        how = "alive, but it did not answer; ended by tailflip"
        return _death(Cause.HANG, Confidence.PROVEN, seen.end, how, *seen.memory)
    if asked.is_restart:
        return _death(Cause.PLANNED_RESTART, Confidence.PROVEN, seen.end, f"asked by {asked}")
    return _death(Cause.ASKED_STOP, Confidence.PROVEN, seen.end, f"asked by {asked}")


def _judge_handed_off(seen: Seen) -> Death | None:
    if seen.clues.handed_off and seen.code in (0, None) and seen.signal is None:
        return _death(Cause.PLANNED_RESTART, Confidence.PROVEN, seen.end, "restart handed over")
    return None


def _judge_heap_text(seen: Seen) -> Death | None:
    """Judge V8's own text about its heap in the last lines of stderr."""
    words = seen.words
    if words.heap is None or seen.code in ORDERLY:
        return None
    crashed = seen.signal in CRASHES
    # A text far from the end is of a child of the gateway, such as a build of an agent.
    if not crashed and words.after_heap > _OTHERS_LINES:
        return None
    proven = crashed or (words.after_heap == 0 and not seen.unseen)
    confidence = Confidence.PROVEN if proven else Confidence.LIKELY
    return _death(Cause.V8_HEAP, confidence, seen.end, f"stderr: {words.heap}", *seen.memory)


def _judge_heap_report(seen: Seen) -> Death | None:
    report = seen.clues.heap_report or ""
    is_heap = report == "OOMError" or "heap out of memory" in report
    if is_heap and seen.code not in ORDERLY:
        how = "node wrote a report: OOMError"
        return _death(Cause.V8_HEAP, Confidence.PROVEN, seen.end, how, *seen.memory)
    return None


def _judge_killed(seen: Seen) -> Death | None:
    """Judge a SIGKILL that the kernel or systemd-oomd reports as its own."""
    kills = seen.clues.oom_kills
    if seen.signal == KILL and kills:
        return _death(
            Cause.CGROUP_OOM, Confidence.PROVEN, seen.end, _count_kills(kills), *seen.memory
        )
    if seen.code is not None and seen.code != WRAPPER_EXIT:
        return None
    if seen.signal not in (None, KILL):
        return None
    if seen.clues.oomd:
        sure = Confidence.PROVEN if seen.signal == KILL else Confidence.LIKELY
        return _death(Cause.OOMD, sure, seen.end, "systemd-oomd took its cgroup", *seen.memory)
    if seen.words.killed is not None:
        cause, said = seen.words.killed
        sure = Confidence.PROVEN if seen.signal == KILL else Confidence.LIKELY
        return _death(cause, sure, seen.end, f"log: {said}", *seen.memory)
    return None


def _judge_refusal(seen: Seen) -> Death | None:
    """Judge a start that the gateway refused with a reason."""
    failure = seen.words.failure
    if failure is None or seen.code in (UPDATE_EXIT, PARKED_EXIT):
        return None
    # The loader of macOS names a missing library, and aborts.
    if seen.signal not in (None, ABORT if failure.cause is Cause.INSTALLATION else None):
        return None
    # A running gateway writes the same about a file that it reloads, and lives on.
    lived_on = failure.after > _CLOSING_LINES or seen.clues.oom_kills or seen.code == 0
    # It answers before it has read its tasks, and looks at itself for minutes after that failed.
    is_final = CAUSES[failure.cause].of_other or failure.cause is Cause.TASK_LEDGER
    if seen.clues.was_ready and seen.code != CONFIG_EXIT and lived_on and not is_final:
        return None
    cause, evidence = failure.cause, [seen.end, f"stderr: {failure.said}"]
    if cause is Cause.PORT_IN_USE and seen.clues.other_pid is not None:
        # The gateway calls any holder of its port a gateway; this one is a gateway.
        cause = Cause.OTHER_INSTANCE
    if CAUSES[cause].of_other:
        other = seen.clues.other_pid
        evidence.append(f"pid {other} lives there" if other else "no other gateway was found")
    evidence.extend(f"problem at {key}" for key in failure.keys)
    evidence.extend(f"variable {name} is not set" for name in failure.names)
    told = f": {failure.said}" if CAUSES[cause].by_text else ""
    return _death(
        cause, _trust(seen), *evidence, signature=f"{cause}{told}", hint=failure.hint, seen=seen
    )


def _judge_error(seen: Seen) -> Death | None:
    """Judge the last error on stderr, if its code or text tells the cause."""
    error = seen.words.error
    if error is None or error.cause is None or seen.signal is not None:
        return None
    if seen.code in (UPDATE_EXIT, PARKED_EXIT) or error.after > _CLOSING_LINES:
        return None
    if seen.code == 0 and (seen.clues.was_ready or not error.at_start):
        return None
    sure = _trust(seen) if error.after == 0 else Confidence.LIKELY
    return _death(
        error.cause,
        sure,
        seen.end,
        f"stderr: {error.said}",
        *(seen.memory if error.cause is Cause.NATIVE_MEMORY else ()),
        signature=f"{error.cause}: {error.said}",
        hint=error.hint,
        seen=seen,
    )


def _judge_damage(seen: Seen) -> Death | None:
    """Judge a refused start without a known text by its databases: one is damaged."""
    refused = seen.code in (WRAPPER_EXIT, CONFIG_EXIT) and not seen.clues.was_ready
    if not seen.clues.damaged or not (refused or seen.unseen):
        return None
    return _death(Cause.DAMAGED, Confidence.LIKELY, seen.end, *seen.clues.damaged, seen=seen)


def _judge_exit_code(seen: Seen) -> Death | None:
    """Judge an exit code that has one meaning."""
    likely, code, end = Confidence.LIKELY, seen.code, seen.end
    if code == UPDATE_EXIT:
        return _death(Cause.UPDATE, likely, "exit 75: an update goes on")
    if code == PARKED_EXIT:
        return _death(Cause.PARKED, likely, "exit 79: the updater wants it parked")
    if code in NO_PROGRAM_EXITS:
        how = "a shell or service manager found no program to run, or may not run it"
        return _death(Cause.INSTALLATION, likely, end, how, seen=seen)
    if code == FLAG_EXIT and not seen.clues.was_ready:
        how = "node ends so when it refuses a flag"
        return _death(Cause.CONFIG, likely, end, how, hint=SET_FLAGS)
    return _judge_config_exit(seen) if code == CONFIG_EXIT else None


def _judge_config_exit(seen: Seen) -> Death:
    """Guess at exit 78 without a text: a configuration, a state or a healthy twin."""
    other = seen.clues.other_pid
    if other is not None:
        how = f"pid {other} lives there"
        return _death(Cause.OTHER_INSTANCE, Confidence.LIKELY, seen.end, how)
    how = "no known text on stderr says of what kind"
    return _death(Cause.CONFIG, Confidence.GUESS, "exit 78: refused to start", how)


def _judge_crash(seen: Seen) -> Death | None:
    """Judge a crash of the gateway itself without V8's text about its heap."""
    if seen.signal not in CRASHES:
        if seen.words.fatal is not None and seen.code not in (0, None):
            said = f"stderr: {seen.words.fatal}"
            return _death(Cause.NATIVE_CRASH, Confidence.LIKELY, seen.end, said)
        return None
    if seen.words.native_memory is not None:
        said = f"stderr: {seen.words.native_memory}"
        return _death(Cause.NATIVE_MEMORY, Confidence.PROVEN, seen.end, said, *seen.memory)
    if seen.signal == ABORT and seen.words.lines == 0:
        how = "no stderr was seen; a node that runs out of heap ends so, and little else does"
        return _death(Cause.V8_HEAP, Confidence.GUESS, seen.end, how, *seen.memory)
    name = name_signal(seen.signal)
    how = "no word of the heap on stderr" if seen.words.lines else "no stderr was seen"
    if seen.words.fatal is not None:
        how = f"stderr: {seen.words.fatal}"
    sure = Confidence.PROVEN if seen.words.lines else Confidence.LIKELY
    signature = f"{Cause.NATIVE_CRASH} {name}"
    return _death(Cause.NATIVE_CRASH, sure, seen.end, how, signature=signature)


def _judge_wrapped_kill(seen: Seen) -> Death | None:
    """Judge an exit 1 without a text, with a kill on the kernel's count: the wrapper's child."""
    kills = seen.clues.oom_kills
    if not kills or seen.code not in (None, WRAPPER_EXIT) or seen.signal is not None:
        return None
    # A gateway that names an error was not killed; the kernel killed another process.
    if seen.words.error is not None:
        return None
    counted = _count_kills(kills)
    return _death(Cause.CGROUP_OOM, Confidence.LIKELY, seen.end, counted, *seen.memory)


def _judge_worker_heap(seen: Seen) -> Death | None:
    if seen.words.worker_heap and seen.code not in (0, None):
        how = "stderr: ERR_WORKER_OUT_OF_MEMORY"
        return _death(Cause.V8_HEAP, Confidence.LIKELY, seen.end, how, *seen.memory)
    return None


def _judge_stop(seen: Seen) -> Death | None:  # noqa: PLR0911 - one for each end
    """Judge whether an end is a stop, or one that nobody is known to have asked for.

    Exit 0 and SIGTERM prove no stop: gateways end with 0 of themselves (openclaw/openclaw
    #55410, #119882), and tools against a lack of memory send SIGTERM too. If the gateway names the
    signal it got, the sender is unknown: likely a service manager, not proven; and not one where
    its guard would know.
    """
    words = seen.words
    if seen.code == 0 and words.restarts:
        said = "stderr: restart mode: full process restart"
        return _death(Cause.PLANNED_RESTART, Confidence.LIKELY, seen.end, said)
    told = words.stop_signal
    if told in _STOP_WORDS and (seen.code == 0 or (seen.code == WRAPPER_EXIT and words.timed_out)):
        said = f"stderr: {words.stop_said}{', shutdown timed out' if words.timed_out else ''}"
        if not seen.clues.guarded:
            return _death(Cause.ASKED_STOP, Confidence.LIKELY, seen.end, said)
        return _end_by_signal(seen, str(told), said)
    if seen.code == WRAPPER_EXIT and words.timed_out and told:
        said = f"stderr: {words.stop_said}, shutdown timed out"
        return _death(Cause.PLANNED_RESTART, Confidence.LIKELY, seen.end, said)
    if seen.signal in STOPS:
        return _end_by_signal(seen, name_signal(seen.signal))
    if seen.code == 0 and not _failed_to_start(seen):
        how = "ended in order; nothing says that somebody asked for it"
        return _death(Cause.ENDED, Confidence.LIKELY, seen.end, how)
    return None


def _judge_stores(seen: Seen) -> Death | None:
    """Judge an end without a reason by its stores: they needed more heap than there was."""
    need = seen.clues.need
    if need is None or seen.words.error is not None or seen.signal not in (None, KILL, ABORT):
        return None
    how = (
        f"its stores needed about {format_bytes(need.heap_bytes)} of heap, and the limit was "
        f"{format_bytes(need.limit_bytes)}"
    )
    if need.was_compacted:
        how += "; they have been compacted since"
    sure = Confidence.LIKELY if need.measured else Confidence.GUESS
    return _death(Cause.V8_HEAP, sure, seen.end, how)


def _end_by_signal(seen: Seen, name: str, *said: str) -> Death:
    """Judge an end by a signal that people send, whose sender is unknown."""
    how = "not sent by tailflip, and nothing says who sent it"
    signature = f"{Cause.ENDED} {name}"
    return _death(Cause.ENDED, Confidence.LIKELY, seen.end, *said, how, signature=signature)


def _failed_to_start(seen: Seen) -> bool:
    """Say whether the gateway wrote that it failed to start, whatever its exit code is."""
    error = seen.words.error
    return error is not None and error.at_start and not seen.clues.was_ready


def _give_up(seen: Seen) -> Death:
    """Return an unknown cause, with the clues that are missing."""
    evidence, words = [seen.end], seen.words
    error = words.error.said if words.error is not None else ""
    if error:
        evidence.append(f"stderr: {error}")
    elif words.shell_killed:
        evidence.append("stderr: Killed, as a shell says of SIGKILL")
    elif words.lines == 0:
        evidence.append("no stderr was seen")
    else:
        evidence.append("no known text on stderr")
    if seen.signal == KILL or (seen.code == WRAPPER_EXIT and not error):
        evidence.append(_miss_kills(seen.clues.oom_kills))
    told = f": {error}" if error else ""
    return _death(
        Cause.UNKNOWN,
        Confidence.GUESS,
        *evidence,
        *seen.memory,
        signature=f"{Cause.UNKNOWN} {seen.end}{told}",
    )


def _trust(seen: Seen) -> Confidence:
    """Choose the confidence of a verdict by the gateway's own words."""
    seen_well = not seen.unseen and not seen.clues.was_ready
    return Confidence.PROVEN if seen_well else Confidence.LIKELY


def _count_kills(kills: int) -> str:
    # The counter has every process of the cgroup, and kills for lack of the machine's memory too.
    return f"the cgroup's counter of OOM kills grew by {kills}"


def _miss_kills(kills: int | None) -> str:
    if kills is None:
        return (
            "no cgroup counter was seen: a kill by the kernel for want of memory looks the same "
            "as one by hand"
        )
    if kills == 0:
        return "the cgroup's counter of OOM kills did not grow: it was not the kernel's OOM killer"
    return "the cgroup's counter of OOM kills grew, but the gateway itself spoke of an error"


def _death(
    cause: Cause,
    sure: Confidence,
    *evidence: str,
    signature: str | None = None,
    hint: str = "",
    seen: Seen | None = None,
) -> Death:
    return Death(
        cause=cause,
        signature=(signature or str(cause))[:_MAX_SIGNATURE],
        confidence=sure,
        evidence=evidence,
        hint=hint,
        unready=seen is not None and not seen.clues.was_ready,
    )


_RULES: tuple[Callable[[Seen], Death | None], ...] = (
    _judge_asked,
    _judge_handed_off,
    _judge_heap_text,
    _judge_heap_report,
    _judge_killed,
    _judge_refusal,
    _judge_error,
    _judge_damage,
    _judge_exit_code,
    _judge_crash,
    _judge_worker_heap,
    _judge_wrapped_kill,
    _judge_stop,
    _judge_stores,
)
