"""A script of ours is seen through to the gateway's own command, and nobody else's is."""

from __future__ import annotations

import pytest

from tailflip.observe.host.wrapper_script import ENDING, MARK, unwrap

OURS = f'#!/bin/sh\n# {MARK}\nexport A=b\nexec tailflip gate --park -- {{}} "$@"\n'
BROKEN = [
    "",
    "#!/bin/sh\necho hello\n",
    "exec openclaw gateway run\n",  # nothing of ours stands before it
    "exec tailflip gate -- 'torn\n",
]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / f"openclaw-gateway{ENDING}"

    def write(text):
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/usr/bin/openclaw", ["/usr/bin/openclaw"]),
        ("node '/opt/my claw/openclaw.mjs'", ["node", "/opt/my claw/openclaw.mjs"]),
    ],
)
def test_the_gateways_own_command_comes_out(script, program, words):
    path = script(OURS.format(program))
    command = [str(path), "gateway", "--port", "1"]
    assert unwrap(command) == ([*words, "gateway", "--port", "1"], path)


@pytest.mark.parametrize("text", BROKEN)
def test_a_script_that_says_nothing_of_ours_is_the_command(script, text):
    command = [str(script(text)), "gateway"]
    assert unwrap(command) == (command, None)


def test_what_has_not_our_name_is_not_even_read(tmp_path):
    other = tmp_path / "other.sh"
    other.write_text(OURS.format("openclaw"))
    assert unwrap([str(other), "gateway"]) == ([str(other), "gateway"], None)
    gone = str(tmp_path / f"gone{ENDING}")
    assert unwrap([gone, "gateway"]) == ([gone, "gateway"], None)
    assert unwrap([]) == ([], None)


def test_a_path_that_is_no_utf8_survives(script):
    path = script("")
    path.write_bytes(OURS.format("/opt/X/openclaw").encode().replace(b"X", b"\xff"))
    assert unwrap([str(path)])[0] == ["/opt/\udcff/openclaw"]
