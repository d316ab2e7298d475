"""A script in front of OpenClaw is followed where all of it is plain, and nowhere else."""

from __future__ import annotations

import pytest

from tailflip.observe.gateway.launcher import read_launcher

LAST = 'exec node /opt/oc/openclaw.mjs "$@"'


@pytest.fixture
def script(tmp_path):
    """Write a script; return its path."""

    def write(text):
        path = tmp_path / "claw"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("shell", ["/bin/sh", "/usr/bin/env bash", "/bin/bash -e"])
@pytest.mark.parametrize("call", [LAST, LAST.removeprefix("exec ")])
def test_two_lines_that_people_write(script, shell, call):
    found = read_launcher(script(f"#!{shell}\n{call}\n"))
    assert found.words == ("node", "/opt/oc/openclaw.mjs")
    assert found.env == {}


def test_what_it_exports_is_in_the_gateways_environment(script):
    text = (
        "#!/bin/sh\n# by hand\n\nset -eu\n"
        "export NODE_OPTIONS='--max-old-space-size=400 --no-warnings'\n"
        f"export A=1 B=\n{LAST}\n"
    )
    assert read_launcher(script(text)).env == {
        "NODE_OPTIONS": "--max-old-space-size=400 --no-warnings",
        "A": "1",
        "B": "",
    }


@pytest.mark.parametrize(
    "text",
    [
        LAST,  # no script
        f"#!/usr/bin/env node\n{LAST}",
        "#!/bin/sh\n",
        "#!/bin/sh\nexec node /opt/oc/openclaw.mjs gateway\n",  # takes no arguments
        f"#!/bin/sh\n{LAST}\necho done\n",
        f"#!/bin/sh\nexport X=$HOME/x\n{LAST}",
        f"#!/bin/sh\nexport X\n{LAST}",
        f"#!/bin/sh\nNODE_OPTIONS=--max-old-space-size=9\n{LAST}",
        f"#!/bin/sh\ncd /opt/oc\n{LAST}",
        f"#!/bin/sh\n. /etc/claw\n{LAST}",
        f"#!/bin/sh\nif true; then\n{LAST}",
        '#!/bin/sh\nexec "$OC/node" /opt/oc/openclaw.mjs "$@"',
        '#!/bin/sh\ntrue && node /opt/oc/openclaw.mjs "$@"',
        '#!/bin/sh\nexec -a claw node /opt/oc/openclaw.mjs "$@"',
        '#!/bin/sh\nX=1 exec node /opt/oc/openclaw.mjs "$@"',
        '#!/bin/sh\nexec node ~/openclaw.mjs "$@"',
        '#!/bin/sh\nexec \'node "$@"',
        '#!/bin/sh\n "$@"',
    ],
)
def test_a_script_that_may_do_anything_is_not_followed(script, text):
    assert read_launcher(script(text)) is None


def test_what_is_no_text_is_not_followed(script, tmp_path):
    (tmp_path / "binary").write_bytes(b"#!/bin/sh\n\xff\xfe\n" + LAST.encode())
    assert read_launcher(str(tmp_path / "binary")) is None
    assert read_launcher(str(tmp_path / "gone")) is None
