"""What must be proven before a file may go: pure functions, each a reason to keep it or None.

A fact that nobody could find out is None, and counts as a reason to keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.reclaim.patterns import Class

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NO_PREFIX = "its bytes do not begin a file that stays"


class Facts(NamedTuple):
    """What is known of one candidate.

    `age_ms` is since it was written last, of a folder since anything in it changed. `before_start`:
    it is older than the living gateway; True where none lives, None where nobody knows.
    `before_boot`: older than the last boot. `is_gateway_dead`: proven. `writer_lives`: a process
    that the name, or the lock, tells of. `is_target_whole`: the file that it was to become is there
    and valid. `is_named`: a record has its name. `is_prefix`: its bytes begin a file that stays.
    `hidden` says why processes may be unseen.
    """

    age_ms: int
    is_own: bool = True
    links: int = 1
    why: str | None = None
    before_start: bool | None = True
    before_boot: bool = False
    is_gateway_dead: bool = False
    writer_lives: bool | None = False
    is_open: bool = False
    hidden: str | None = None
    is_target_whole: bool | None = True
    is_locked: bool | None = False
    is_named: bool | None = None
    doubt: str | None = None
    is_prefix: bool | None = None
    is_newest: bool = False


class Ages(NamedTuple):
    """How old, at least, what may go must be."""

    debris_ms: int = HOUR_MS
    captures_ms: int = DAY_MS
    copies_ms: int = HOUR_MS
    history_ms: int = 7 * DAY_MS

    def of(self, kind: Class) -> int:
        """Return the age of a class."""
        return {
            Class.DEBRIS: self.debris_ms,
            Class.CAPTURES: self.captures_ms,
            Class.COPIES: self.copies_ms,
            Class.HISTORY: self.history_ms,
        }[kind]


def find_reason(kind: Class, facts: Facts, ages: Ages) -> str | None:
    """Find the first reason to keep a candidate of a class; None if all is proven.

    Its age comes last: what a record names does not go when it is older either.
    """
    why = next((why for ask in ASKED[kind] if (why := ask(facts)) is not None), None)
    is_young = facts.age_ms < ages.of(kind) and not (kind is Class.CAPTURES and facts.before_boot)
    return "it is too young" if why is None and is_young else why


def ask_owner(facts: Facts) -> str | None:
    """Ask whose it is."""
    return None if facts.is_own else "it belongs to another user"


def ask_links(facts: Facts) -> str | None:
    """Ask for other names of the same file."""
    return None if facts.links == 1 else "it has more than one name"


def ask_place(facts: Facts) -> str | None:
    """Ask whether anything may go where it lies."""
    return facts.why


def ask_start(facts: Facts) -> str | None:
    """Ask whether it is from before the gateway that lives."""
    if facts.before_start is None:
        return "it is not known whether a gateway lives: stop it"
    return None if facts.before_start else "the living gateway may have written it"


def ask_writer(facts: Facts) -> str | None:
    """Ask for the process that the name, or the lock, tells of."""
    if facts.writer_lives is None:
        return "it is not known whether its writer lives"
    return "its writer lives" if facts.writer_lives else None


def ask_users(facts: Facts) -> str | None:
    """Ask who has it open; unseen processes count unless the gateway is proven dead."""
    if facts.is_open:
        return "a process has it open"
    if facts.hidden is not None and not facts.is_gateway_dead:
        return f"{facts.hidden}: stop the gateway"
    return None


def ask_target(facts: Facts) -> str | None:
    """Ask for the file that it was to become."""
    if facts.is_target_whole:
        return None
    return "the file that it was to become is not there, or damaged: this may be all that is left"


def ask_lock(facts: Facts) -> str | None:
    """Ask for the lock of its session."""
    return None if facts.is_locked is False else "its session is locked"


def ask_records(facts: Facts) -> str | None:
    """Ask whether a store, a job or another record has its name."""
    if facts.doubt is not None:
        return facts.doubt
    if facts.is_named is None:
        return "its name is too short, or too strange, to look for"
    return "a record names it" if facts.is_named else None


def ask_prefix(facts: Facts) -> str | None:
    """Ask for a file that has all of its bytes."""
    return None if facts.is_prefix else NO_PREFIX


def ask_newest(facts: Facts) -> str | None:
    """Ask whether it is the newest of its kind."""
    return "it is the newest of its kind" if facts.is_newest else None


_ALWAYS = (ask_owner, ask_place)
_OF_FILES = (*_ALWAYS, ask_links)
ASKED: dict[Class, tuple[Callable[[Facts], str | None], ...]] = {
    Class.DEBRIS: (*_OF_FILES, ask_writer, ask_users, ask_start, ask_target),
    Class.CAPTURES: (*_ALWAYS, ask_users, ask_writer, ask_newest),
    Class.COPIES: (
        *_OF_FILES,
        ask_newest,
        ask_records,
        ask_writer,
        ask_users,
        ask_lock,
        ask_prefix,
    ),
    Class.HISTORY: (*_OF_FILES, ask_newest, ask_records, ask_writer, ask_users, ask_lock),
}
