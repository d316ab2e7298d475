"""What messages look like, and that no text makes them longer or breaks their lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.alert_rows import make_alert
from tailflip.alerts.words import (
    BODY_CHARS,
    SUBJECT_CHARS,
    Writer,
    fit_lines,
    name_alert,
    name_host,
    tell_lost,
)
from tailflip.flow.alerts import MessageKind, Urgency, Words

NOW = 1_770_000_000_000
WRITER = Writer("claw")
WORDS = Words(
    "crash loop",
    "3 deaths in a row; v8-heap-oom, proven: its heap was full",
    "compacted a session store",
    "tailflip incidents why 3",
    "tailflip restore A1 --apply",
)
LOOP = make_alert(12, NOW - 600_000, urgency=Urgency.CRITICAL, words=WORDS, cleared_ms=NOW - 60_000)


def test_an_opening():
    subject, body = WRITER.write(MessageKind.OPENED, (LOOP, make_alert(13)), NOW)
    assert subject == "claw: crash loop, and 1 more"
    assert body.splitlines() == [
        "tf-claw-12, critical: crash loop on claw, since 2026-02-02 02:30:00Z, 10 min ago.",
        "3 deaths in a row; v8-heap-oom, proven: its heap was full.",
        "Done: compacted a session store.",
        "Next: tailflip incidents why 3",
        "Undo: tailflip restore A1 --apply",
        "Seen: tailflip alerts ack tf-claw-12",
        "- tf-claw-13 job storm: a job runs again and again",
    ]


@pytest.mark.parametrize(
    ("urgency", "acked_ms", "asks"),
    [
        (Urgency.CRITICAL, None, True),
        (Urgency.CRITICAL, 5, False),
        (Urgency.WARNING, None, False),
    ],
)
def test_who_has_not_seen_what_is_critical_is_asked_to_say_so(urgency, acked_ms, asks):
    alert = make_alert(1, urgency=urgency, acked_ms=acked_ms)
    body = WRITER.write(MessageKind.OPENED, (alert,), NOW)[1]
    assert ("Seen: tailflip alerts ack tf-claw-1" in body) is asks


def test_an_end():
    subject, body = WRITER.write(MessageKind.WAS, (LOOP, make_alert(13, NOW)), NOW)
    assert subject == "claw: was: crash loop 02:30-02:39, and 1 more"
    assert body.splitlines() == [
        "tf-claw-12: crash loop on claw is over.",
        "From 2026-02-02 02:30:00Z to 2026-02-02 02:39:00Z, 9 min.",
        "It was: 3 deaths in a row; v8-heap-oom, proven: its heap was full.",
        "Done: compacted a session store.",
        "Undo: tailflip restore A1 --apply",
        "- tf-claw-13 job storm: 02:40-02:40",
    ]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (MessageKind.OPENED, "claw: crash loop"),
        (MessageKind.REMINDER, "claw: still: crash loop"),
        (MessageKind.ESCALATED, "claw: nobody answered: crash loop"),
        (MessageKind.RECOVERED, "claw: over: crash loop"),
    ],
)
def test_a_subject_says_what_it_is(kind, subject):
    assert WRITER.write(kind, (LOOP,), NOW)[0] == subject


@pytest.mark.parametrize(
    ("times", "told"),
    [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (112, "112th")],
)
def test_how_often_it_came_is_told(times, told):
    alert = make_alert(1, times=times)
    assert WRITER.write(MessageKind.OPENED, (alert,), NOW)[0].endswith(f"{told} time")


def test_another_gateway_of_the_host_is_named():
    assert Writer("claw", "work").write_digest(["x"])[0] == "claw (work): daily digest"


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("claw", "claw"),
        ("claw.example.org", "claw"),
        ("Ann's Mac\n", "Ann-s-Mac"),
        ("", "host"),
        ("\u2603", "host"),
        ("x" * 60, "x" * 24),
    ],
)
def test_the_name_of_a_host_is_one_word(name, host):
    assert name_host(name) == host
    assert name_alert(host, 3) == f"tf-{host}-3"


def test_what_does_not_fit_is_counted():
    body = fit_lines([f"- line {n} {'x' * 90}" for n in range(20)])
    assert len(body) <= BODY_CHARS
    assert body.splitlines()[-1] == "and 11 more"
    assert len(body.splitlines()) == 10


def test_lost_messages_are_counted_in_the_next_one():
    assert tell_lost("body", 0) == "body"
    assert tell_lost("body", 2) == "body\n2 messages before this one could not be delivered."
    long = tell_lost("x" * BODY_CHARS, 1)
    assert len(long) == BODY_CHARS
    assert long.endswith("1 message before this one could not be delivered.")


TEXT = st.text(max_size=300)


@given(
    texts=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=20),
    note=TEXT,
    kind=st.sampled_from(
        [k for k in MessageKind if k not in {MessageKind.DIGEST, MessageKind.TEST}]
    ),
    times=st.integers(1, 10**6),
)
def test_no_text_makes_a_message_longer_or_adds_a_line(texts, note, kind, times):
    alerts = [
        make_alert(
            at, words=Words(title, what, what, title, title), note=note, times=times, acked_ms=1
        )
        for at, (title, what) in enumerate(texts)
    ]
    subject, body = WRITER.write(kind, alerts, NOW)
    assert len(subject) <= SUBJECT_CHARS
    assert not any(ord(c) < 32 for c in subject)
    assert len(tell_lost(body, 3)) <= BODY_CHARS
    assert len(body.splitlines()) <= 7 + len(alerts)
    assert not any(ord(c) < 32 and c != "\n" for c in body)
