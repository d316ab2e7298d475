"""One command line: every verb is asked for help, misspelt and refused in the same words."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import tailflip
from tailflip.cli.app import _LIGHT, _OF_ITSELF, _VERBS, _WITH_COMMAND
from tailflip.cli.light import GROUPS, OPTIONS, read_options
from tailflip.cli.suggestions import _MEANT, _MEANT_IN

IN_GROUPS = {
    "archive": ("list", "show", "verify", "expire"),
    "incidents": ("list", "why", "ack"),
    "alerts": ("list", "ack", "test", "flush"),
    "maintenance": ("on", "off", "status", "run"),
    "config": ("show", "check", "example"),
}
WORDS = [
    *((verb,) for verb in (*_VERBS, *_LIGHT, *_OF_ITSELF)),
    *((group, verb) for group, verbs in IN_GROUPS.items() for verb in verbs),
]
HELP_WORDS = [words for words in WORDS if words != ("help",)]


@pytest.mark.parametrize("words", HELP_WORDS, ids=" ".join)
def test_help_is_asked_for_in_three_ways_and_looks_the_same(place, words):
    """`-h` was an error for most verbs, and `run`, `gate`, `preflight` had a help of their own."""
    code, out, err = place.run(*words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: tailflip {' '.join(words)} ")
    assert re.search(r"^Options:$.*^ +-h, --help +Show this message", out, re.MULTILINE | re.DOTALL)
    assert place.run(*words, "-h") == (0, out, "")
    assert place.run("help", *words) == (0, out, "")


def test_help_of_all_is_asked_for_in_four_ways(place):
    code, out, err = place.run()
    assert (code, err) == (0, "")
    assert out.startswith("Usage: tailflip ")
    for verb in (*_VERBS, *_LIGHT, *_OF_ITSELF):
        assert re.search(rf"^  {verb} +\S", out, re.MULTILINE), verb
    for ask in ("-h", "--help", "help"):
        assert place.run(ask) == (0, out, "")


def test_the_version_is_asked_for_in_three_ways(place):
    code, out, err = place.run("--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"tailflip \d+\.\d+\.\d+ \(\w+ .*\)\n", out)
    for ask in ("version", "-V"):
        assert place.run(ask) == (0, out, "")


MEANT = [
    ("undo", "restore"),
    ("doctor", "check"),
    ("start", "run"),
    ("restart", "run"),
    ("repair", "compact"),
    ("setup", "install"),
    ("backups", "archive list"),
    ("why", "incidents why"),
    ("ack", "incidents ack"),
    ("jobs", "tasks"),
    ("pause", "maintenance on"),
    ("Status", "status"),
    ("stauts", "status"),
    ("comapct", "compact"),
    ("inspct", "inspect"),
    ("reconsile", "reconcile"),
    ("preflght", "preflight"),
    ("repiar", "compact"),
]


@pytest.mark.parametrize(("word", "verb"), MEANT)
def test_a_word_that_is_no_verb_names_the_verb_that_is_meant(place, word, verb):
    """`restart` was taken for `restore` or `status`, `undo` for nothing at all."""
    assert place.run(word) == (
        64,
        "",
        (
            f"error: no such command: {word}\n"
            f"hint: did you mean `tailflip {verb}`? `tailflip --help` lists all\n"
        ),
    )


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (("archive", "delete"), "archive expire"),
        (("archive", "verfy"), "archive verify"),
        (("incidents", "show"), "incidents why"),
        (("config", "validate"), "config check"),
    ],
)
def test_in_a_group_too(place, words, verb):
    code, out, err = place.run(*words)
    assert (code, out) == (64, "")
    assert f"did you mean `tailflip {verb}`? `tailflip {words[0]} --help` lists all" in err


def test_suggestions_are_verbs_and_each_word_means_one():
    known = {" ".join(words) for words in WORDS}
    assert set(_MEANT) <= known
    said = [word for words in _MEANT.values() for word in words.split()]
    assert len(said) == len(set(said))
    assert not {word for word in said if word in known}, "a verb stands for itself"
    for group, table in _MEANT_IN.items():
        assert set(table) == set(IN_GROUPS[group])
        said = [word for words in table.values() for word in words.split()]
        assert len(said) == len(set(said))


REFUSED = [
    (("--frob",), "no such option: --frob"),
    (("--state-dir",), "option '--state-dir' requires an argument"),
    (("--state-dir", "/a", "--state-dir", "/b"), "--state-dir was given twice"),
    (("--state-dir=/a", "--state-dir=/b"), "--state-dir was given twice"),
]


@pytest.mark.parametrize("verb", ["check", "compact", "reconcile", "status", "incidents", *_LIGHT])
@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_a_wrong_option_is_refused_in_the_same_words(place, verb, options, said):
    """Of two --state-dir the last was taken, without a word."""
    code, out, err = place.run(verb, *options)
    assert (code, out) == (64, "")
    assert err.startswith(f"error: {said}\nhint: ")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "meant"),
    [(("compact", "--aply"), "--apply"), (("gate", "--state-dri", "/x"), "--state-dir")],
)
def test_a_misspelt_option_names_the_option_that_is_meant(place, words, meant):
    code, _, err = place.run(*words)
    assert code == 64
    assert f"hint: did you mean {meant}? see `tailflip {words[0]} --help`" in err


def test_an_option_that_is_like_no_other_has_no_suggestion(place):
    """`check --set x=1` was answered with "did you mean --agent?"."""
    code, _, err = place.run("check", "--set", "heal.margin=1")
    assert code == 64
    assert err == "error: no such option: --set\nhint: see `tailflip check --help`\n"
    assert "did you mean" not in place.run("update")[2]


def test_a_wrong_value_is_told_with_those_that_are_right(place):
    err = place.run("install", "--mode", "foo")[2]
    assert err.startswith("error: invalid value for '--mode': 'foo' is not one of 'gate', ")


@pytest.mark.parametrize("verb", sorted(_WITH_COMMAND))
def test_a_command_without_the_dashes_is_told_where_they_go(place, verb):
    code, _, err = place.run(verb, "openclaw", "gateway", "run")
    assert code == 64
    assert f"goes after `--`: tailflip {verb} -- openclaw gateway run" in err


@pytest.mark.parametrize("verb", OPTIONS)
def test_the_quick_parser_and_typer_read_the_same(verb):
    """What stands before every start is read without Typer, by the same table."""
    from tailflip.cli.app import read_options_slowly  # noqa: PLC0415

    words = ["--state-dir", "/s", "--profile=p", "--set", "a=1", "--set=b=2", "--heap-limit=2gb"]
    words += {"gate": ["--park"], "preflight": ["--json"]}.get(verb, [])
    if verb == "serve":
        words = [*words[:3], "--listen", "127.0.0.1:1", "--fd=3", "--end-after", "10m"]
    assert read_options(verb, words) == read_options_slowly(verb, words)


def test_a_gate_that_starts_loads_no_parser_of_command_lines():
    code = (
        "import sys; from tailflip.cli.front import run_light\n"
        "from tailflip.cli.light import read_options\n"
        "assert read_options('gate', ['--state-dir', '/x', '--park']).flags == {'park'}\n"
        "print(sorted({'typer', 'click', 'argparse', 'difflib', 'rich'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_loads_no_verb_and_no_models(flag):
    """Shells and packagers ask for it; it was slower than a compaction of 60 MB."""
    heavy = "{'pydantic', 'typer', 'click', 'rich', 'psutil', 'tailflip.cli.app'}"
    code = (
        f"import sys; sys.argv = ['tailflip', '{flag}']; from tailflip.cli import run\n"
        f"assert run(sys.argv[1:]) == 0; print(sorted({heavy} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, loaded = ran.stdout.splitlines()
    assert version.startswith(f"tailflip {tailflip.__version__} (")
    assert loaded == "[]"


def test_no_plug_in_of_another_package_is_looked_for():
    """pydantic would read the metadata of all that is installed, and run what it finds."""
    code = (
        "import sys; from tailflip.cli import run; run(['status'])\n"
        "found = {'importlib.metadata', 'email', 'pydantic'} & set(sys.modules)\n"
        "print(*found, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1] == "pydantic"


def test_every_group_is_in_the_table_of_this_test():
    assert set(IN_GROUPS) == GROUPS
