"""One gateway as it is guarded: where its things are, and what heap it has."""

from __future__ import annotations

import os
import socket

import pytest

from tailflip.observe.gateway import heap
from tailflip.supervise.fingerprints import Fingerprints


def test_to_prepare_touches_nothing(make_gateway, tmp_path, state):
    gateway = make_gateway()
    assert gateway.name == os.path.realpath(state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["openclaw"]


def test_a_link_and_its_target_are_the_same_gateway(make_gateway, tmp_path, state):
    link = tmp_path / "link"
    link.symlink_to(state)
    gateway = make_gateway(more={"OPENCLAW_STATE_DIR": str(link)})
    assert gateway.name == make_gateway().name


@pytest.mark.parametrize(
    ("command", "flags", "port"),
    [
        (("openclaw", "gateway"), {}, 1111),
        (("openclaw", "gateway", "--port", "2222"), {}, 2222),
        (("openclaw", "gateway", "--port=2222"), {"gateway.port": "3333"}, 3333),
    ],
)
def test_the_port_is_ours_then_the_commands_then_the_configurations(
    make_gateway, tmp_path, command, flags, port
):
    program = tmp_path / "bin" / "openclaw"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    assert make_gateway(command, flags).locate().port == port


def test_no_state_directory_is_no_installation_and_no_error(make_gateway, state):
    gateway = make_gateway(more={"OPENCLAW_STATE_DIR": str(state / "missing")})
    assert gateway.locate() is None
    assert gateway.find_other() is None
    prints = Fingerprints(gateway)
    assert prints.mark_config()
    prints.mark_stores()
    assert prints.read_world().other_alive is False


def test_whoever_holds_the_port_is_another(make_gateway):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        found = make_gateway(flags={"gateway.port": str(port)}).find_other()
    assert found.alive is None
    assert str(port) in found.evidence


def test_node_is_asked_for_its_heap_once(make_gateway, tmp_path):
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text(f'#!/bin/sh\necho asked >> "{tmp_path}/asked"\nprintf 536870912\n')
    node.chmod(0o755)
    for _ in range(3):
        heap._answers.clear()  # as in a process of its own
        limit = make_gateway().find_heap_limit()
        assert (limit.bytes, str(node) in limit.source) == (536_870_912, True)
    assert (tmp_path / "asked").read_text() == "asked\n"
    # Other options are another question.
    make_gateway(more={"NODE_OPTIONS": "--max-old-space-size=99"}).find_heap_limit()
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"
    assert make_gateway(flags={"gateway.heap_limit": "1gb"}).find_heap_limit().bytes == 1 << 30


def test_the_heap_of_what_a_script_starts_is_known_only_where_it_is_followed(
    make_gateway, tmp_path
):
    """`sh start.sh` may give its gateway another heap: "it fits" was said of node's default."""
    heap._answers.clear()
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\nprintf 536870912\n")
    package = tmp_path / "node_modules" / "openclaw"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "openclaw", "version": "2026.4.14"}')
    script = tmp_path / "start.sh"
    sized = "--max-old-space-size=400"
    script.write_text(f'#!/bin/sh\nexec node {sized} {package}/openclaw.mjs "$@"\n')
    for each in (node, script):
        each.chmod(0o755)
    plain = make_gateway(command=(str(script), "gateway")).find_heap_limit()
    assert (plain.is_known, sized in plain.source) == (True, True)
    for opaque in (("/bin/sh", str(script)), ("/bin/sh", "-c", "exec openclaw gateway")):
        limit = make_gateway(command=opaque).find_heap_limit()
        assert (limit.is_known, "what the command starts is not known" in limit.source) == (
            False,
            True,
        )
