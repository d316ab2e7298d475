"""Commands that start no gateway that stays are known by their words, where that is certain."""

from __future__ import annotations

import json

import pytest

from tailflip.observe.gateway.foreground import find_misuse
from tailflip.observe.gateway.release import read_release


@pytest.fixture
def entry(tmp_path):
    package = tmp_path / "node_modules" / "openclaw"
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.4.14"}))
    script = package / "openclaw.mjs"
    script.write_text("")
    return str(script)


def ask(*command):
    return find_misuse(command, read_release(command, {"PATH": "/usr/bin:/bin"}))


@pytest.mark.parametrize(
    "words",
    [
        "gateway start",
        "gateway restart",
        "gateway stop",
        "gateway status --deep",
        "gateway install --force",
        "--profile work gateway start",
        "--dev gateway --port 18789 status",
        "gateway --port=1 uninstall",
        "daemon start",
        "doctor --fix",
        "status",
    ],
)
def test_a_verb_that_ends_by_itself_is_certain(entry, words):
    found = ask("node", entry, *words.split())
    assert found.is_certain
    assert found.said.startswith("openclaw ")


@pytest.mark.parametrize(
    "words",
    [
        "gateway",
        "gateway run",
        "gateway run --port 18789",
        "gateway --port 18789",
        "gateway --token start",
        "gateway --bind lan run",
        "--profile status gateway run",
        "gateway --some-new-option status",
        "gateway serve-of-a-later-release",
        "a-plugins-own-command",
        "node run",
        "",
    ],
)
def test_what_may_be_a_gateway_is_left_alone(entry, words):
    assert ask("node", entry, *words.split()) is None


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "exec openclaw gateway start"],
        ["docker", "run", "--rm", "image", "openclaw", "gateway", "restart"],
        ["/opt/start.sh", "openclaw", "doctor"],
    ],
)
def test_what_cannot_be_followed_only_looks_so(command):
    found = ask(*command)
    assert found is not None
    assert not found.is_certain


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "exec openclaw gateway run"],
        ["docker", "run", "image", "openclaw", "gateway", "--port", "1"],
        ["/opt/gateway.sh", "start"],
    ],
)
def test_what_cannot_be_followed_and_looks_well_is_left_alone(command):
    assert ask(*command) is None
