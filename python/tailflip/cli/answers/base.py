"""What all answers have in common: a version, the verb, and the errors.

A model takes its fields from our values by name. Where the interface has another name, or looks
deeper, the field says so. What it does not name stays private.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import AliasPath, BaseModel, ConfigDict, Field

from tailflip.base.render import choose_hint, to_json
from tailflip.cli.light import GROUPS
from tailflip.flow.values import to_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.errors import TailflipError

SCHEMA_VERSION: Final = 1


def taken(path: str, description: str | None = None) -> Any:
    """Declare a field that has another name in our values, or lies deeper: `look.port`."""
    return Field(validation_alias=AliasPath(*path.split(".")), description=description)


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        defer_build=True,
        populate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def of(cls, value: object) -> Self:
        """Take the fields from one of our values, or from a dict of them."""
        return cls.model_validate(value)


class Problem(Part):
    """An error. `exit_code` is that of the verb if it is the first; `retry`: trying again helps."""

    kind: str = Field(description="The class of the error, such as usage or try-later.")
    exit_code: int
    message: str
    hint: str
    retry: bool

    @classmethod
    def of_error(cls, error: TailflipError) -> Problem:
        """Describe an error."""
        name = type(error).__name__
        kind = "".join(f"-{each.lower()}" if each.isupper() else each for each in name)
        return cls(
            kind=kind.lstrip("-"),
            exit_code=error.exit_code,
            message=error.message,
            hint=choose_hint(error),
            retry=error.retry,
        )


class Answer(Part):
    """An answer; the errors it met by the way are in `errors`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    verb: str
    errors: tuple[Problem, ...] = ()

    @classmethod
    def to(cls, *, failed: Sequence[TailflipError] = (), **values: Any) -> Self:
        """Answer with these values and errors."""
        problems = [Problem.of_error(each) for each in failed]
        return cls.of({**values, "errors": problems})

    def say(self) -> None:
        """Print the answer as one document."""
        print(to_json(self))

    def say_line(self) -> None:
        """Print the answer as one line of JSON Lines, at once."""
        print(json.dumps(to_plain(self)), flush=True)


class Failure(Answer):
    """The answer of a verb that failed: nothing but its errors."""


def fail(argv: list[str], error: TailflipError) -> None:
    """Answer that the verb of a command line failed."""
    Failure.to(verb=name_verb(argv), failed=[error]).say_line()


def name_verb(argv: list[str]) -> str:
    """Name the verb of a command line, with its group."""
    words = list(takewhile(lambda word: not word.startswith("-"), argv[:2]))
    if words in (["incidents"], ["alerts"]):
        return f"{words[0]} list"
    if words == ["maintenance"]:
        return "maintenance status"
    return " ".join(words if words[:1] and words[0] in GROUPS else words[:1])
