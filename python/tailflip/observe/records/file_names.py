"""Tells the kind of a file in a folder of transcripts by its name.

Source: file names of 2026.3.28 to 2026.9.6.
"""

from __future__ import annotations

import re

from tailflip.flow.observed import REPAIR_COPIES

TRANSCRIPT, OTHER = "transcript", "other"
ENDING = ".jsonl"
_ID = "[0-9A-Za-z][0-9A-Za-z._-]*?"
# The first pattern that matches gives a file's kind; `id` is its session's id.
# They are compiled when they are asked: most folders need two of them.
_KINDS = (
    ("store", r"sessions\.json"),
    ("set aside by the gateway", rf"{_ID}\.jsonl\.(?:deleted|reset|bak)\..+"),
    (REPAIR_COPIES, rf"{_ID}\.jsonl\.(?:bak-[0-9]+-[0-9]+|corrupt-.+|repair-.+)"),
    ("copy before a compaction", rf"{_ID}\.checkpoint\.[0-9a-f-]{{36}}\.jsonl"),
    ("trace", rf"(?P<id>{_ID})\.trajectory(?:\.jsonl|-path\.json)"),
    (TRANSCRIPT, rf"(?P<id>{_ID})(?:-topic-.+)?\.jsonl"),
    ("lock", r".+\.lock"),
    ("copy of the store", r"sessions\.json\..+"),
)


def name_kind(name: str) -> tuple[str, str | None]:
    """Tell a file's kind, and the id of its session where the name has one."""
    for kind, pattern in _KINDS:
        match = re.fullmatch(pattern, name)
        if match is not None:
            return kind, match.groupdict().get("id")
    return OTHER, None
