"""What a unit says, read as systemd reads it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tailflip.observe.host.unitfile import (
    Context,
    UnitUnreadable,
    choose_last,
    parse_command,
    parse_unit,
    quote_word,
    read_command,
    read_environment,
)

CONTEXT = Context("openclaw-gateway@work.service", "/home/ada", "ada", 1000)
ENV = {"PORT": "18789", "FLAGS": "--verbose  --bind loopback", "EMPTY": ""}

COMMANDS = [
    ("/n /x/index.js gateway --port 1", ["/n", "/x/index.js", "gateway", "--port", "1"]),
    ('/usr/bin/node "/x y/index.js" gateway', ["/usr/bin/node", "/x y/index.js", "gateway"]),
    (r'"/opt/a \"b\"/node" gateway', ['/opt/a "b"/node', "gateway"]),
    (r"/n a\x20b \101 \u00e9 c\sd", ["/n", "a b", "A", "é", "c d"]),
    ("/n --dir=%h/x 100%% %i %p", ["/n", "--dir=/home/ada/x", "100%", "work", "openclaw-gateway"]),
    ("/n ${PORT} x${PORT}y $$HOME", ["/n", "18789", "x18789y", "$HOME"]),
    ("/n $FLAGS $EMPTY", ["/n", "--verbose", "--bind", "loopback"]),
    (":/n $FLAGS", ["/n", "$FLAGS"]),
    ("-+/n gateway", ["/n", "gateway"]),
    ("/n '' \"\"", ["/n", "", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), COMMANDS)
def test_a_command_is_split_as_systemd_does(text, words):
    assert parse_command(text, CONTEXT, ENV) == words


@pytest.mark.parametrize("text", ["", "@/n name", '/n "open', "/n %Z", "/n a ; /m b", "/n back\\"])
def test_what_is_not_followed_is_refused(text):
    with pytest.raises(UnitUnreadable):
        parse_command(text, CONTEXT, ENV)


@pytest.mark.parametrize(
    "word", ["plain", "a b", 'q"q', "it's", "100%", "$HOME", "", "a\\b", "x;y", "t\tn\n"]
)
def test_a_quoted_word_is_read_back(word):
    assert parse_command(f"/n {quote_word(word)}", CONTEXT, {}) == ["/n", word]


def test_comments_continuations_and_resets():
    lines = parse_unit(
        "[Service]\n# no\nExecStart=/a\nExecStart=\nExecStart=/b \\\n; inside\n  one\n"
        'Environment=A=1\nEnvironment="B=2 3" C=4\n[Other]\nExecStart=/c\nnonsense\n'
    )
    assert choose_last(lines, "ExecStart") == ["/b  one"]
    assert read_environment(lines, CONTEXT) == ({"A": "1", "B": "2 3", "C": "4"}, [])


def test_environment_files_come_last_and_may_be_missing(tmp_path):
    (tmp_path / "env").write_text('A=file\n# no\nB="x y"\nnot a name=1\n')
    lines = parse_unit(
        f"[Service]\nEnvironment=A=1\nEnvironmentFile={tmp_path}/env\nEnvironmentFile=-/none\n"
        "EnvironmentFile=/none/either\n"
    )
    env, notes = read_environment(lines, CONTEXT)
    assert env == {"A": "file", "B": "x y"}
    assert len(notes) == 1


def test_a_unit_with_several_commands_or_none_is_not_followed(tmp_path):
    unit = tmp_path / "x.service"
    for text in ("[Service]\nExecStart=/a\nExecStart=/b\n", "[Unit]\n"):
        unit.write_text(text)
        with pytest.raises(UnitUnreadable):
            read_command(unit, {})


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="no systemd here")
@pytest.mark.parametrize("path", ["/home/ada/.openclaw", "/.x", "/", "/a-b/c d/é", "/x/y.z_1:2"])
def test_paths_are_escaped_as_systemd_does(path):
    from tailflip.install.systemd import escape_path  # noqa: PLC0415

    done = subprocess.run(
        ["systemd-escape", "--path", path], capture_output=True, text=True, check=True
    )
    assert escape_path(path) == done.stdout.strip()
