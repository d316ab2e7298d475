"""A head is judged as the gateway does it: what it skips is skipped, what it refuses is refused."""

from __future__ import annotations

import pytest

from tailflip.observe.records.heads import RECORDS, Head, NoJson, is_record, judge_head, parse_line

HEADER = b'{"type":"session","version":3,"id":"a","timestamp":"t","cwd":"/w"}\n'
MESSAGE = b'{"type":"message","id":"1","parentId":null,"message":{"role":"user"}}\n'


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (HEADER + MESSAGE, Head.WHOLE),
        (b"\xef\xbb\xbf" + HEADER, Head.WHOLE),  # the gateway cuts the mark off
        (b"\r\n \n" + HEADER.replace(b"\n", b"\r\n"), Head.WHOLE),
        (
            b"damaged\n\0\0\0\n" + HEADER + MESSAGE,
            Head.WHOLE,
        ),  # both lines are skipped
        (HEADER.rstrip(), Head.WHOLE),
        (MESSAGE, Head.HEADLESS),
        (b"damaged\n" + MESSAGE, Head.HEADLESS),
        (HEADER[:-9] + b"\n" + MESSAGE, Head.HEADLESS),
        (b'{"type":"session","id":"a","n":NaN}\n' + MESSAGE, Head.HEADLESS),
        (b'{"type":"session","version":3}\n' + MESSAGE, Head.HEADLESS),
        (b'{"type":"session","id":7}\n' + MESSAGE, Head.HEADLESS),
        (b"null\n" + MESSAGE, Head.HEADLESS),
        (b'["session"]\n', Head.HEADLESS),
        (MESSAGE + HEADER, Head.HEADLESS),  # the first that parses counts
        (b"", Head.UNKNOWN),
        (b"\n\n", Head.UNKNOWN),
        (b"damaged", Head.UNKNOWN),
        (b"\0" * 4096, Head.UNKNOWN),
    ],
)
def test_the_first_line_that_parses_decides(data, head):
    assert judge_head(data, is_all=True).head is head


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"x\n" + MESSAGE, "its first line is no JSON"),
        (MESSAGE, "its first line is a message"),
        (b"7\n", "its first line is no record"),
        (b'{"type":"session"}\n', "its first line is a header without an id"),
        (b'{"type":"frob"}\n', "its first line is no header"),
    ],
)
def test_it_is_told_what_stands_there(data, why):
    assert judge_head(data, is_all=True).why == why


def test_a_line_that_goes_on_behind_what_was_read_is_judged_by_its_begin_alone():
    for kind in RECORDS:
        cut = f'{{"type":"{kind}","id":"1","te'.encode()
        assert judge_head(cut, is_all=False).head is Head.HEADLESS
    assert judge_head(HEADER[:30], is_all=False).head is Head.UNKNOWN
    assert judge_head(b'{"id":"1","type":"message","te', is_all=False).head is Head.UNKNOWN
    assert judge_head(b"\0" * 4096, is_all=False).head is Head.UNKNOWN


@pytest.mark.parametrize("line", [b"[" * 100_000, b"{'a':1}", b'"\t"', b"Infinity", b"1 2"])
def test_what_is_no_json_for_the_gateway_is_none_for_us(line):
    with pytest.raises(NoJson):
        parse_line(line)


def test_numbers_of_any_length_and_bytes_of_no_text_are_json_for_the_gateway():
    assert parse_line(b"9" * 5_000) == float("inf")
    assert parse_line(b'"\xff"') == "\ufffd"


def test_a_record_is_of_a_known_type_and_has_an_id():
    assert is_record(parse_line(MESSAGE))
    assert not is_record({"type": "message"})  # an old form, without ids
    assert not is_record({"type": "frob", "id": "1", "parentId": None})
    assert not is_record({"type": "message", "id": "1", "parentId": 5})
    assert not is_record([])
