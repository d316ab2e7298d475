"""One thing after the other, and none is kept from its turn."""

from __future__ import annotations

from tailflip.supervise.event_loop import Loop


def test_a_flood_of_calls_keeps_no_timer_from_its_turn():
    """The keep-alive and the next look at a dead gateway are timers."""
    loop, rang = Loop(), []
    loop.at("due", 0, lambda: rang.append(True))

    def call_again() -> None:
        loop.post(call_again)

    loop.post(call_again)
    for _ in range(10):
        loop.step()
    assert rang == [True]
