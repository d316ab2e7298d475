"""`tailflip schema`: the JSON Schema of what a verb answers with `--json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic.json_schema import models_json_schema

from tailflip.base.errors import Usage
from tailflip.cli.answers.base import SCHEMA_VERSION, Failure
from tailflip.cli.answers.verbs import ANSWERS

if TYPE_CHECKING:
    from tailflip.cli.answers.base import Part

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VERB...]",
            help="Such as `check` or `archive list`; without one, the verbs that have a schema.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of what a verb prints with --json.

    Where a verb writes JSON Lines, it is the schema of a line.
    """
    if not words:
        print("\n".join(ANSWERS))
        return
    print(json.dumps(make_schema(" ".join(words)), indent=2))


def make_schema(verb: str) -> dict[str, Any]:
    """Make the schema of a verb's answer, failures included.

    Raises:
        Usage: the verb has no JSON.
    """
    models = ANSWERS.get(verb)
    if models is None:
        near = [each for each in ANSWERS if each.split()[0] == verb.split(maxsplit=1)[0]]
        hint = f"such as `{near[0]}`" if near else "`tailflip schema` lists those that have"
        raise Usage(f"no schema of that name: {verb}", hint=hint)
    every: list[type[Part]] = [*models, Failure]
    places, document = models_json_schema(
        [(each, "serialization") for each in every], by_alias=False
    )
    return {
        "$schema": _DIALECT,
        "title": f"tailflip {verb} --json, schema_version {SCHEMA_VERSION}",
        "anyOf": [places[each, "serialization"] for each in every],
        "$defs": document["$defs"],
    }
