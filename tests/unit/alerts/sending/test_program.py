"""A program of the user's own: what it gets, and what its end means."""

from __future__ import annotations

import json

import pytest

from support.messages import MESSAGE


@pytest.fixture
def program(tmp_path):
    def write(text):
        path = tmp_path / "page-me"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return write


def test_it_gets_the_message_on_its_input_and_in_its_environment(send, program, tmp_path):
    env = {"PATH": "/usr/bin:/bin", "KEPT": "1"}
    assert send(program=program(f"cat >{tmp_path}/in; env -0 >{tmp_path}/env"), env=env).delivered
    told = json.loads((tmp_path / "in").read_bytes())
    assert (told["number"], told["subject"]) == (345, MESSAGE.subject)
    pairs = (tmp_path / "env").read_text().split("\0")
    found = dict(pair.split("=", 1) for pair in pairs if pair)
    assert found["KEPT"] == "1"
    own = {name: text for name, text in found.items() if name.startswith("TAILFLIP_")}
    assert own == {
        "TAILFLIP_ALERT_NUMBER": "345",
        "TAILFLIP_ALERT_KIND": "opened",
        "TAILFLIP_ALERT_URGENCY": "critical",
        "TAILFLIP_ALERT_SUBJECT": MESSAGE.subject,
        "TAILFLIP_ALERT_BODY": MESSAGE.body,
        "TAILFLIP_ALERT_NAMES": "tf-attic-12 tf-attic-13",
        "TAILFLIP_ALERT_MADE_AT": "1800000000",
        "TAILFLIP_ALERT_TO": "phone",
    }


def test_nothing_of_a_message_is_for_a_shell(send, program, tmp_path):
    from dataclasses import replace  # noqa: PLC0415

    hostile = replace(MESSAGE, subject=f"$(touch {tmp_path}/done) `touch {tmp_path}/done`; exit 1")
    assert send(program=program("exit 0"), message=hostile).delivered
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 3", "exec page-me: ended with exit code 3"),
        ("kill -9 $$", "exec page-me: ended by signal 9"),
        ("echo s3cret; echo s3cret >&2; exit 1", "exec page-me: ended with exit code 1"),
    ],
)
def test_another_end_than_0_is_no_delivery(send, program, text, said):
    done = send(program=program(text))
    assert (done.delivered, done.error, done.is_final) == (False, said, False)


def test_a_program_that_does_not_read_is_no_failure(send, program):
    assert send(program=program("exec <&-; exit 0")).delivered


def test_a_program_that_is_gone(send, tmp_path):
    assert send(program=tmp_path / "none").error == (
        "exec none: cannot be started: no such file or directory"
    )
