"""`gate`, `preflight` and `run` as command lines: what they ask for, and what they say no to."""

from __future__ import annotations

import signal
import sys

import pytest

VERBS = ("gate", "preflight", "run")


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_an_answer_and_no_failure(place, verb):
    code, out, err = place.run(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: tailflip {verb} [OPTIONS] -- COMMAND [ARGUMENTS]\n")
    assert "--heap-limit" in out


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--",), 64, "no command to start"),
        (("openclaw", "gateway"), 64, "unexpected extra argument(s) (openclaw gateway)"),
        (("--set", "restart.cap_s", "--", "true"), 64, "--set wants KEY=VALUE"),
        (("--set", "restart.cap_s=-1", "--", "true"), 78, "restart.cap_s"),
        (("--set", "heal.nonsense=1", "--", "true"), 78, "heal.nonsense"),
        (("--heap-limit", "lots", "--", "true"), 78, "heap_limit"),
        (("--heap-limit",), 64, "--heap-limit"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(place, verb, words, code, said):
    found, out, err = place.run(verb, *words)
    assert (found, out) == (code, "")
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert len(lines) <= 2


@pytest.mark.parametrize("verb", ["gate", "run"])
def test_a_command_is_asked_for(place, verb):
    code, _, err = place.run(verb)
    assert code == 64
    assert f"tailflip {verb} -- openclaw gateway run" in err


def test_preflight_needs_no_command(place):
    assert place.run("preflight")[0] == 0


def test_the_commands_own_words_are_not_ours(place):
    """What stands after the dashes is not looked at, be it `--help`."""
    code, out, _ = place.run("preflight", "--", "openclaw", "gateway", "--help", "--set")
    assert (code, out) == (0, "go\n")


@pytest.mark.parametrize(
    "command", [("/gone/node", "/x/index.js"), (sys.executable, "x"), ("env", "A=1", "/gone/node")]
)
def test_preflight_says_no_to_a_program_that_is_gone(place, command):
    """It would only fail in the same way again and again; a name without a path may be found."""
    code, out, err = place.run("preflight", "--", *command, "gateway")
    if command[0] == sys.executable:
        assert (code, out) == (0, "go\n")
        return
    assert (code, out) == (78, "")
    assert "error: cannot start /gone/node: it is not there" in err
    assert "openclaw gateway install --force" in err


@pytest.mark.parametrize(("mode", "code"), [(0o644, 77), (0o755, 78)], ids=["no right", "no form"])
def test_a_gate_that_could_not_become_its_gateway_ignores_a_broken_pipe_again(place, mode, code):
    """The gateway's defaults stayed: its own error, to a reader that had gone, was its death."""
    program = place.root / "gateway"
    program.write_text("not a program")
    program.chmod(mode)
    found, _, err = place.run("gate", "--", str(program))
    assert (found, "cannot start" in err) == (code, True)
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN


def test_a_death_that_cannot_be_put_on_record_is_told(place, monkeypatch):
    """The disk was full: what the gate found out was gone with its process, without a word."""
    place.fill(100_000)
    monkeypatch.setattr("tailflip.supervise.best_effort.BestEffortHistory.settle", lambda _: 2)
    code, out, err = place.run("preflight", "--", "/usr/bin/true")
    assert (code, out) == (0, "go\n")
    assert "could not be put on record: this log alone has it" in err
    assert "notes=2" in err
