"""Holds what a verb prints with `--json` to the schema of the verb."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from tailflip.cli.answers.base import name_verb
from tailflip.cli.answers.verbs import ANSWERS
from tailflip.cli.exit_codes import ALSO, ALWAYS
from tailflip.cli.schema import make_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


STOPPED = 128


@cache
def make_strict(verb: str) -> Draft202012Validator:
    """Make a validator that allows no field which the schema does not name."""
    schema = make_schema(verb)
    for each in schema["$defs"].values():
        if "properties" in each:
            each["additionalProperties"] = False
    return Draft202012Validator(schema)


def list_documents(out: str) -> Iterator[Any]:
    """List the documents on standard output: one, or a line for each."""
    decoder, at = json.JSONDecoder(), 0
    while out[at:].strip():
        at += len(out[at:]) - len(out[at:].lstrip())
        document, at = decoder.raw_decode(out, at)
        yield document


def check_code(argv: Sequence[str], code: int) -> None:
    """Check that an exit code is one that is documented for the verb."""
    verb = name_verb(list(argv))
    if verb in ALSO and code < STOPPED:
        assert code in (*ALWAYS, *ALSO[verb]), (argv, code)


def check_answer(argv: Sequence[str], code: int, out: str) -> None:
    """Check the answer of a command line that asked for JSON."""
    own = list(argv[: argv.index("--")] if "--" in argv else argv)
    if "--json" not in own:
        return
    verb = name_verb(own[2:] if own[0] == "--color" else own)
    documents = list(list_documents(out))
    assert documents, (argv, "a program that asks for JSON gets JSON")
    errors = [error for each in documents for error in each["errors"]]
    assert {each["schema_version"] for each in documents} == {1}
    assert {each["verb"] for each in documents} == {verb}
    if verb in ANSWERS:
        for document in documents:
            make_strict(verb).validate(document)
    assert code == errors[0]["exit_code"] if errors else code in (0, 1), (argv, code, errors)
