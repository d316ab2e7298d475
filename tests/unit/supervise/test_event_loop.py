"""One thing after the other, and none is kept from its turn."""

from __future__ import annotations

from tailflip.base import clock
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


def test_a_timer_is_brought_forward_and_never_put_off(monkeypatch):
    now_s, rang = [0.0], []
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s[0])
    loop = Loop()
    loop.bring_forward("round", 0)  # not set: there is nothing to bring forward
    assert not loop.has("round")
    loop.at("round", 900, lambda: rang.append(now_s[0]))
    loop.bring_forward("round", 5)
    loop.bring_forward("round", 300)
    for now_s[0] in (4.0, 6.0):
        loop.post(lambda: None)
        loop.step()
    assert rang == [6.0]
