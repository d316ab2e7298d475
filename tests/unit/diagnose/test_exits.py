"""An exit is understood as a signal where a shell or a container tells a signal so."""

from __future__ import annotations

import pytest

from tailflip.diagnose.exits import name_signal, see
from tailflip.flow.lives import Clues

EXITS = [
    # exit code, signal: what it was, and how it is told
    (1, None, 1, None, "exit 1"),
    (0, None, 0, None, "exit 0"),
    (137, None, None, 9, "exit 137 (SIGKILL)"),
    (134, None, None, 6, "exit 134 (SIGABRT)"),
    (143, None, None, 15, "exit 143 (SIGTERM)"),
    (None, 9, None, 9, "SIGKILL"),
    (1, 11, None, 11, "SIGSEGV"),
    (129 + 60, None, 189, None, "exit 189"),
    (128, None, 128, None, "exit 128"),
    (138, None, 138, None, "exit 138"),  # SIGUSR1 ends nobody who is not told so
    (None, None, None, None, "exit not seen"),
]


@pytest.mark.parametrize(("exit_code", "signal", "code", "number", "told"), EXITS)
def test_an_exit_and_its_words(exit_code, signal, code, number, told):
    seen = see(Clues(exit_code=exit_code, signal=signal))
    assert (seen.code, seen.signal, seen.end) == (code, number, told)
    assert seen.unseen is (told == "exit not seen")


def test_what_is_known_of_its_memory_is_told():
    assert see(Clues()).memory == ()
    assert see(Clues(peak_rss_bytes=3_000_000)).memory == ("peak memory 3.0 MB",)
    both = see(Clues(peak_rss_bytes=3_000_000, heap_limit_bytes=2_000_000))
    assert both.memory == ("peak memory 3.0 MB, heap limit 2.0 MB",)


def test_a_signal_without_a_name_is_a_number():
    told = [name_signal(number) for number in (15, 63, 99)]
    assert told == ["SIGTERM", "signal 63", "signal 99"]
