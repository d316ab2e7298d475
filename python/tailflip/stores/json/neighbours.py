"""Tells by their names the files that a gateway leaves beside a store.

Source: `artifacts.ts` and the writers of 2026.3.28, 4.14, 5.28 and 7.35 (PR #90503): a temporary
file is `sessions.json.<uuid>.tmp`, since 5.x `sessions.json.<pid>.<uuid>.tmp`; the older writer
of JSON files has 16 hex digits after the pid.
"""

from __future__ import annotations

import re

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TEMPORARY = re.compile(rf"\.(?:(?:\d+\.)?{_UUID}|\d+\.[0-9a-f]{{16}})\.tmp", re.IGNORECASE)
_BACKUP = re.compile(r"\.bak\.[0-9]+")
# Endings of copies by people, editors and other tools. `.migrated`, `.imported`: receipts.
_COPY = re.compile(
    r"~|\.(?:bak|backup|old|orig|save|copy)(?:[._-].*)?|\.(?:\d+\.\d+\.)?tmp", re.IGNORECASE
)


def is_backup(name: str, store_name: str) -> bool:
    """Say whether the name is one of a backup, made when the gateway rotated the store."""
    return _matches(_BACKUP, name, store_name)


def is_temporary(name: str, store_name: str) -> bool:
    """Say whether the name is one of a temporary file of a living or killed writer of the store."""
    return _matches(_TEMPORARY, name, store_name)


def is_copy(name: str, store_name: str) -> bool:
    """Say whether the name is one of a copy that a person, an editor or another tool made."""
    return _matches(_COPY, name, store_name)


def _matches(pattern: re.Pattern[str], name: str, store_name: str) -> bool:
    return (
        name.startswith(store_name) and pattern.fullmatch(name.removeprefix(store_name)) is not None
    )
