"""Whether an answer while a gateway starts is good; living ones are in test_run_health.py."""

from __future__ import annotations

import pytest

from tailflip.base import clock
from tailflip.config.schema import HealthSettings
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.health import Probe, parse_answer
from tailflip.supervise.event_loop import Loop
from tailflip.supervise.health import HealthCheck

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html>"
NO_PAGE = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\nNot Found"
FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n"
LIVE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"ok": true, "status": "live"}'
OLD, NEW = (2026, 1, 29), (2026, 3, 28)


@pytest.mark.parametrize(
    ("version", "data", "is_good"),
    [
        (OLD, PAGE, True),
        (OLD, NO_PAGE, True),
        (OLD, FAILED, False),
        (OLD, b"", False),
        (NEW, PAGE, False),
        (NEW, NO_PAGE, False),
        (NEW, LIVE, True),
        (None, PAGE, False),
        (None, LIVE, True),
    ],
)
def test_a_release_without_a_health_endpoint_has_answered_with_any_page(version, data, is_good):
    """2026.1.29 was ended again and again, for nobody ever heard it say that it lives."""
    heard = []
    check = HealthCheck(
        Loop(),
        HealthSettings(),
        where=Probe(1),
        find_host=lambda: None,
        can=find_capabilities(version),
        is_ready=False,
        on_ready=lambda: heard.append("ready") is None,
        on_hang=heard.append,
        on_news=lambda: None,
    )
    check._judge(parse_answer(data))
    assert heard == ["ready"] * is_good


def test_silence_and_its_end_are_news_once():
    """The heartbeat says it at once, long before a silence makes a hang."""
    news = []
    check = HealthCheck(
        Loop(),
        HealthSettings(),
        where=Probe(1),
        find_host=lambda: None,
        can=find_capabilities(NEW),
        is_ready=True,
        on_ready=lambda: True,
        on_hang=lambda _: None,
        on_news=lambda: news.append("news"),
    )
    assert (check.silent_s, check.answer_ms) == (None, None)
    told = []
    for data in (b"", LIVE, b"", b"", b"", b"", LIVE, LIVE):
        check._judge(parse_answer(data))
        told.append(len(news))
    assert told == [0, 0, 0, 0, 1, 1, 2, 2]
    assert check.silent_s < 5
    assert check.answer_ms == 0


def test_the_end_of_a_long_silence_is_news_also_after_few_questions(monkeypatch):
    """Two late answers were told as a failure, and that it was over only five minutes later."""
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: now[0])
    news = []
    check = HealthCheck(
        Loop(),
        HealthSettings(),
        where=Probe(1),
        find_host=lambda: None,
        can=find_capabilities(NEW),
        is_ready=True,
        on_ready=lambda: True,
        on_hang=lambda _: None,
        on_news=lambda: news.append("news"),
    )
    for at_s, data, count in ((0, LIVE, 0), (30, b"", 0), (45, LIVE, 0), (91, LIVE, 1)):
        now[0] = 100.0 + at_s
        check._judge(parse_answer(data))
        assert len(news) == count
    assert check.silent_s == 0
