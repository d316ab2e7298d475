"""Requests as strangers write them: what is not plainly right is refused."""

from __future__ import annotations

import pytest

from tailflip.report.page.http import Answer, Refused, parse_head


def parse(*lines: bytes):
    return parse_head(b"\r\n".join(lines) + b"\r\n\r\n")


def test_a_plain_request_is_read():
    request = parse(
        b"GET /incidents/7%20?t=a-b&x=%3Cb%3E HTTP/1.1", b"Host: localhost", b"X-Empty:",
        b"Cookie:  a=1; tailflip=x=y ; tailflip=z",
    )  # fmt: skip
    assert (request.method, request.path) == ("GET", "/incidents/7 ")
    assert request.query == {"t": "a-b", "x": "<b>"}
    assert request.headers["host"] == "localhost"
    assert request.headers["x-empty"] == ""
    assert request.cookies == {"a": "1", "tailflip": "x=y"}


@pytest.mark.parametrize(
    "lines",
    [
        (b"",),
        (b"GET",),
        (b"GET /",),
        (b"GET / HTTP/2.0",),
        (b"GET / HTTP/1.1 ",),
        (b"GET  / HTTP/1.1",),
        (b"GET http://evil.example/ HTTP/1.1",),
        (b"GET * HTTP/1.1",),
        (b"GET /\x00 HTTP/1.1",),
        (b"GET /\xff HTTP/1.1",),
        (b"GET //evil.example/ HTTP/1.1",),
        (b"GET / HTTP/1.1", b"Host localhost"),
        (b"GET / HTTP/1.1", b"Host : localhost"),
        (b"GET / HTTP/1.1", b" folded: x"),
        (b"GET / HTTP/1.1", b"A: b\n c"),
        (b"GET / HTTP/1.1", b"A: b\x00"),
        (b"GET / HTTP/1.1", b"Host: localhost", b"host: evil.example"),
        (b"GET / HTTP/1.1", b"Authorization: a", b"Authorization: b"),
        (b"GET / HTTP/1.1", b"Content-Length: 5"),
        (b"GET / HTTP/1.1", b"Transfer-Encoding: chunked"),
        (b"GET /?" + b"&".join(b"a=%d" % n for n in range(50)) + b" HTTP/1.1",),
        (b"\x16\x03\x01\x02\x00",),
    ],
    ids=str,
)
def test_what_is_not_plainly_a_request_is_refused(lines):
    with pytest.raises(Refused) as refused:
        parse(*lines)
    assert refused.value.status == 400


def test_a_method_with_a_body_is_read_so_that_it_can_be_refused_by_name():
    assert parse(b"POST / HTTP/1.1", b"Content-Length: 5").method == "POST"


def test_an_answer_tells_its_length_and_a_head_has_no_body():
    answer = Answer(200, b"body", headers={"X-B": "2"})
    head, _, body = answer.write({"X-A": "1"}).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK", b"X-A: 1", b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 4", b"Connection: close", b"X-B: 2",
    ]  # fmt: skip
    assert body == b"body"
    assert answer.write({"X-A": "1"}, is_head=True) == head + b"\r\n\r\n"
