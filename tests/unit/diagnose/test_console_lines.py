"""A line comes out bare, whatever a console, a journal, a kernel or a container put around it."""

from __future__ import annotations

import json

import pytest

from tailflip.diagnose.console_lines import MAX_LINES, Line, read_lines

HEAP = "FATAL ERROR: Reached heap limit"
DRESSED = [
    "said",
    "said\r",
    "\x1b[31msaid\x1b[0m",
    "\x1b]8;;http://x\x07said\x1b]8;;\x07",
    "2026-11-02T03:04:05.678Z said",
    "2026-11-02 03:04:05,678 +01:00 said",
    "03:04:05 said",
    "03:04:05.678 said",
    "\u26a0\ufe0f said",
    "[gateway] said",
    "[openclaw] said",
    "03:04:05 [gateway] \U0001f99e said",
    "Nov  2 03:04:05 host openclaw[17]: said",
    "Nov 02 03:04:05.678901 host kernel: said",
    "2026-11-02T03:04:05+0100 host openclaw[17]: 2026-11-02T02:04:05Z [gateway] said",
    "[Mon Nov  2 03:04:05 2026] said",
    "[12345.678901] said",
    "openclaw-1  | 03:04:05 said",
    json.dumps({"message": "said"}),
    json.dumps({"msg": "said", "level": 50}),
    json.dumps({"0": "said", "subsystem": "gateway"}),
    "Nov  2 03:04:05 host openclaw[17]: " + json.dumps({"message": "[gateway] said"}),
]
OF_CHANNELS = [
    "[whatsapp] said",
    "03:04:05 [gateway] [telegram] said",
    "[gateway/channels] said",
    json.dumps({"subsystem": "discord", "message": "said"}),
    json.dumps({"subsystem": "gateway", "message": "[discord] said"}),
]
AS_IT_IS = [
    "[not a name] said",
    "said [gateway] more",
    "    at Object.<anonymous> (node:internal)",
    '{"nothing": "of ours"}',
    '{"message": 7}',
    "{torn",
    "[]",
    "",
]


@pytest.mark.parametrize("raw", DRESSED)
def test_the_text_is_bare_and_may_be_of_node(raw):
    assert read_lines(raw) == [Line("said", own=True)]


@pytest.mark.parametrize("raw", OF_CHANNELS)
def test_what_a_channel_says_is_not_of_node(raw):
    assert read_lines(raw) == [Line("said", own=False)]


@pytest.mark.parametrize("raw", AS_IT_IS)
def test_what_is_no_dress_stays(raw):
    assert read_lines(raw) == [Line(raw, own=True)]


def test_a_json_line_of_several_lines_is_several():
    assert read_lines(json.dumps({"message": "one\n[slack] two"})) == [
        Line("one", own=True),
        Line("two", own=False),
    ]


def test_json_behind_words_is_a_text_like_others():
    raw = 'he wrote {"message": "said"}'
    assert read_lines(raw) == [Line(raw, own=True)]


def test_the_line_of_v8_that_a_journal_cut_in_two_is_one_again():
    journal = "Nov  2 03:04:05 host node[1]: "
    cut = f"{journal}{HEAP}\n{journal}Allocation failed - x"
    assert read_lines(cut) == [Line(f"{HEAP} Allocation failed - x", own=True)]
    assert len(read_lines(f"chat\n{HEAP} Allocation failed - x\nAllocation failed - x")) == 3
    assert len(read_lines("somebody said\nAllocation failed - x")) == 2
    chat = read_lines(f"[slack] {HEAP}\nAllocation failed - x")
    assert chat == [Line(f"{HEAP} Allocation failed - x", own=False)]


def test_the_last_lines_count_and_long_ones_are_cut():
    lines = read_lines("\n".join(str(n) for n in range(MAX_LINES + 5)))
    assert [line.text for line in lines] == [str(n) for n in range(5, MAX_LINES + 5)]
    assert len(read_lines("x" * 5_000)[0].text) == 400
    many = read_lines(json.dumps({"message": "\n".join("x" * (MAX_LINES + 5))}))
    assert len(many) == MAX_LINES


def test_json_that_is_nested_too_deeply_is_text():
    raw = '{"message":' + "[" * 60_000 + "}"
    assert read_lines(raw) == [Line(raw[:400], own=True)]
