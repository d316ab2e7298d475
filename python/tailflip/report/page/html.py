"""Writes HTML in which every text is escaped: only what this module made counts as markup.

A template engine would do the same for 3 MiB, and the page's process may have 32.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = frozenset({"meta", "br"})
_IN_SVG = frozenset({"line", "path", "rect", "circle"})
# What would hide, turn or break a text: controls, marks of direction, halves of characters.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
# As `html.escape`, whose module loads the names of all characters.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


class Html:
    """A piece of markup."""

    def __init__(self, text: str) -> None:
        """Take markup that is known to be good; texts go through `tag` or `join`."""
        self.text = text


def tag(name: str, /, *children: Html | str | None, **attributes: str | float | None) -> Html:
    """Make an element.

    Args:
        name: of the element, ours.
        children: markup, or texts, which are escaped; None is left out.
        attributes: `cls` is `class`, and `_` stands for `-`; None is left out.
    """
    told = "".join(
        f' {_name(key)}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _IN_SVG:
        return Html(f"<{name}{told}/>")
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{join(children).text}</{name}>")


def join(children: Iterable[Html | str | None]) -> Html:
    """Put pieces one after the other; texts are escaped."""
    parts = (each.text if isinstance(each, Html) else escape(each or "") for each in children)
    return Html("".join(parts))


def escape(text: str) -> str:
    """Escape a text for an element or an attribute; what cannot be seen becomes visible."""
    return _UNSHOWN.sub("\ufffd", text).translate(_ESCAPED)


def _name(key: str) -> str:
    return "class" if key == "cls" else key.replace("_", "-")
