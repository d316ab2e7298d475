"""Markup in which no text acts, whatever it holds."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tailflip.report.page.html import Html, escape, join, tag


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def read(markup: Html) -> Reader:
    reader = Reader()
    reader.feed(markup.text)
    reader.close()
    return reader


def test_an_element_with_attributes():
    made = tag("p", "a", None, tag("br"), Html("<b>x</b>"), cls="c", aria_label="l", id=None)
    assert made.text == '<p class="c" aria-label="l">a<br><b>x</b></p>'
    assert tag("line", x1=0, y1=2.5).text == '<line x1="0" y1="2.5"/>'


@given(st.text())
def test_any_text_stays_one_text(text):
    found = read(tag("p", text, title=text))
    assert [name for name, _ in found.tags] == ["p"]
    assert "".join(found.texts) == found.tags[0][1]["title"]


@given(st.text(alphabet="<>&\"'/=! abscript\n"))
def test_markup_in_a_text_is_shown_as_it_is(text):
    assert "".join(read(tag("p", text)).texts) == text


def test_what_hides_or_turns_a_text_becomes_visible():
    for mark in ("\x00", "\x1b", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\r"):
        assert escape(f"a{mark}b") == "a\ufffdb", ascii(mark)
    assert escape("a\n\tü☃") == "a\n\tü☃"


def test_pieces_are_put_together():
    assert join(["<", Html("<i>"), None, "&"]).text == "&lt;<i>&amp;"
