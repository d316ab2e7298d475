"""`--json` is an interface: each answer is what its schema says, with a version, also in failure.

Every command line of the tests in this folder that asks for JSON is held to its schema by the
fixture `place`. Here stand those that no other test runs, and the rules of the schemas.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from support.answers import check_answer, list_documents, make_strict
from support.incident_history import NOW_MS, record_night
from support.verbs import list_verbs, takes
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.answers.verbs import ANSWERS
from tailflip.cli.light import OPTIONS
from tailflip.cli.schema import make_schema
from tailflip.ledger.history import History

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
# Verbs that report nothing: they become another program, print a page, or act for people alone.
# What `serve` answers with and `metrics` prints have forms of their own.
WITHOUT = {
    "gate",
    "run",
    "maintenance run",
    "demo",
    "config example",
    "help",
    "schema",
    "serve",
    "page",
    "metrics",
}


def test_every_verb_that_reports_has_json_and_a_schema():
    """`incidents why --stderr` printed text, `status --watch --json` was refused."""
    verbs = list_verbs()
    with_json = {name for name, command in verbs.items() if takes(command, "--json")}
    assert set(ANSWERS) == with_json == set(verbs) - WITHOUT
    assert [each.name for each in OPTIONS["preflight"]][-1] == "--json"


@pytest.mark.parametrize("verb", ANSWERS)
def test_a_schema_is_printed_and_is_one(place, verb):
    code, out, err = place.run("schema", *verb.split())
    assert (code, err) == (0, "")
    schema = json.loads(out)
    assert schema == make_schema(verb)
    Draft202012Validator.check_schema(schema)
    for model in ANSWERS[verb]:
        answer = schema["$defs"][model.__name__]
        assert answer["properties"]["schema_version"]["const"] == 1
        assert answer["properties"]["verb"]["const"] == verb
        assert set(answer["required"]) == set(answer["properties"])
        assert "additionalProperties" not in answer, "fields may be added"


def test_schema_without_a_verb_lists_them(place):
    assert place.run("schema") == (0, "\n".join(ANSWERS) + "\n", "")
    code, out, err = place.run("schema", "archive")
    assert (code, out) == (64, "")
    assert err == "error: no schema of that name: archive\nhint: such as `archive list`\n"


def list_fields():
    """List name, schema and place of every field of every answer."""
    for verb in ANSWERS:
        for part, schema in make_schema(verb)["$defs"].items():
            for name, field in schema.get("properties", {}).items():
                yield name, field, f"{verb}: {part}.{name}"


def kind_of(field) -> str:
    """Give the JSON type of a field, without null."""
    if "$ref" in field:
        return "object"
    if "anyOf" in field:
        kinds = {kind_of(each) for each in field["anyOf"]} - {"null"}
        return kinds.pop() if len(kinds) == 1 else "any"
    return field.get("type", "any")


def test_one_name_is_one_type_and_one_unit():
    """A store had `bytes` in one verb and `size_bytes` in another; `stores` was list or object."""
    kinds: dict[str, set[str]] = {}
    for name, field, place in list_fields():
        kinds.setdefault(name, set()).add(kind_of(field))
        unit = re.search(r"_(bytes|ms|s)(_before|_after)?$", name)
        if unit:
            numbers = {"bytes": {"integer"}, "ms": {"integer"}, "s": {"number"}}
            assert kind_of(field) in numbers[unit[1]] | {"number"}, place
        assert not re.search(r"(^|_)(bytes|size|mb|kb|ticks|seconds|millis)$", name) or (
            name.endswith("_bytes")
        ), place
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), place
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_what_is_private_stays_private():
    """The whole of our values was printed: clock ticks of processes, boot ids, fingerprints."""
    names = {name for name, _, _ in list_fields()}
    assert not names & {"pid_ticks", "worker_ticks", "boot_id", "marks", "details", "capabilities"}
    assert not names & {"look", "guard", "began_ms"}


FAILURES = [
    (["check", "--frob"], "check", "usage", 64),
    (["compact", "--retention", "x"], "compact", "usage", 64),
    (["status", "--profile", "../x"], "status", "usage", 64),
    (["compact", "--state-dir", "/nonexistent"], "compact", "cannot-create", 73),
    (["archive", "show", "nope"], "archive show", "usage", 64),
    (["restore", "nope"], "restore", "usage", 64),
    (["incidents", "why", "9"], "incidents why", "usage", 64),
    (["incidents", "--frob"], "incidents list", "usage", 64),
    (["config", "check", "/nope.toml"], "config check", "config-invalid", 78),
    (["install"], "install", "usage", 64),
    (["preflight", "--frob"], "preflight", "usage", 64),
    (["watch", "--interval", "soon"], "watch", "usage", 64),
    (["undo"], "undo", "usage", 64),
    (["--color", "never", "archive", "show", "nope"], "archive show", "usage", 64),
    (["--color=sometimes", "check"], "", "usage", 64),
]


@pytest.mark.parametrize(("argv", "verb", "kind", "code"), FAILURES, ids=lambda v: str(v)[:40])
def test_an_error_is_json_on_standard_output_too(place, argv, verb, kind, code):
    """Standard output stayed empty, and a program had to read English."""
    place.state.mkdir()
    found, out, err = place.run(*argv, "--json")
    assert found == code
    document = json.loads(out)
    (error,) = document.pop("errors")
    assert document == {"schema_version": 1, "verb": verb}
    assert (error["kind"], error["exit_code"], error["retry"]) == (kind, code, False)
    assert err == f"error: {error['message']}\nhint: {error['hint']}\n"


def test_an_error_of_one_store_is_in_the_answer(place):
    place.put(b"{")
    for verb in ("compact", "inspect"):
        code, out, _ = place.run(verb, "--json")
        assert (code, json.loads(out)["errors"][0]["kind"]) == (65, "store-invalid")


def test_why_stderr_is_json_when_asked_for(place):
    history = History(Workspace(Home(place.home), RealDisk()), str(place.state))
    place.fill(10_000)
    record_night(history, store=str(place.store))
    code, out, err = place.run("incidents", "why", "1", "--stderr", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["stderr"].startswith("secret-token\nFATAL ERROR: Reached heap limit")
    assert told["stderr_life_id"] == "n6"
    assert told["incident"]["opened_ms"] < NOW_MS


def start(*argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tailflip", *argv], stdout=subprocess.PIPE, text=True
    )


def test_status_watch_writes_a_line_for_each_look(place):
    place.fill(10_000)
    argv = ("status", "--watch", "--json")
    watching = start(*argv)
    lines = [watching.stdout.readline(), watching.stdout.readline()]
    watching.send_signal(signal.SIGINT)
    rest, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    check_answer(argv, 0, "".join([*lines, rest]))
    first, second = map(json.loads, lines)
    assert first["now_ms"] < second["now_ms"]
    assert first["store_totals"]["count"] == 1


def test_watch_writes_a_line_for_each_round(place):
    """Its log is for people; a program reads what each round did and found."""
    place.fill()
    argv = ("watch", "--rounds", "2", "--interval", "1s", "--json")
    watching = start(*argv)
    out, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    check_answer(argv, 0, out)
    first, second = (json.loads(line) for line in out.splitlines())
    assert {step["kind"] for step in first["steps"]} >= {"zombies", "retention"}
    assert first["at_ms"] < second["at_ms"]
    assert first["findings"]


def test_archive_show_writes_a_line_for_the_action_and_for_each_entry(place):
    place.fill()
    place.run("compact", "--apply", "--json")
    action = json.loads(place.run("archive", "list", "--json")[1])["actions"][0]
    out = place.run("archive", "show", action["id"], "--json")[1]
    first, *entries = list_documents(out)
    assert (first["line"], first["action"]["id"]) == ("action", action["id"])
    assert {each["line"] for each in entries} == {"entry"}
    assert len(entries) == action["rewrite"]["records"]
    assert len(out.splitlines()) == 1 + len(entries)


def test_a_field_that_no_schema_names_is_noticed():
    answer = {"schema_version": 1, "verb": "version", "errors": [], "version": "1", "engine": "x"}
    validator = make_strict("version")
    assert validator.is_valid(answer)
    assert not validator.is_valid(answer | {"more": 1})
    assert not validator.is_valid({**answer, "schema_version": 2})


def test_the_page_names_every_verb_and_says_what_stays():
    text = PAGE.read_text()
    for verb in ANSWERS:
        assert f"`{verb}`" in text
    assert '"schema_version": 1' in text
