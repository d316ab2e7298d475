"""One gateway as it is guarded: where its things are, what changed, and a ledger that fails."""

from __future__ import annotations

import os
import socket

import pytest

from support.incident_history import make_life
from support.stores import make_store
from tailflip.base import clock, log
from tailflip.base.errors import IoFailed
from tailflip.config.load import load
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.observe.gateway.vitals import Vitals
from tailflip.supervise.context import Guard
from tailflip.supervise.memory_watch import Vigil
from tailflip.supervise.process.child import Child
from tailflip.supervise.process.guarded import Service

MB = 1_000_000


@pytest.fixture
def make_guard(tmp_path):
    state = tmp_path / "openclaw"
    state.mkdir()
    (state / "openclaw.json").write_text('{"gateway": {"port": 1111}}')
    env = {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path / "bin"),
        "OPENCLAW_STATE_DIR": str(state),
        "TAILFLIP_STATE_DIR": str(tmp_path / "tailflip"),
        "TMPDIR": str(tmp_path),
    }

    def make(command=("openclaw", "gateway", "run"), flags=None, more=None):
        config = load(env, {"restart.jitter": "0", **(flags or {})}).config
        return Guard.prepare(command, {**env, **(more or {})}, config)

    return make


@pytest.fixture
def state(tmp_path):
    return tmp_path / "openclaw"


def test_to_prepare_touches_nothing(make_guard, tmp_path, state):
    guard = make_guard()
    assert guard.name == os.path.realpath(state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["openclaw"]


def test_a_link_and_its_target_are_the_same_gateway(make_guard, tmp_path, state):
    link = tmp_path / "link"
    link.symlink_to(state)
    guard = make_guard(more={"OPENCLAW_STATE_DIR": str(link)})
    assert guard.name == make_guard().name


@pytest.mark.parametrize(
    ("command", "flags", "port"),
    [
        (("openclaw", "gateway"), {}, 1111),
        (("openclaw", "gateway", "--port", "2222"), {}, 2222),
        (("openclaw", "gateway", "--port=2222"), {"gateway.port": "3333"}, 3333),
    ],
)
def test_the_port_is_ours_then_the_commands_then_the_configurations(
    make_guard, tmp_path, command, flags, port
):
    program = tmp_path / "bin" / "openclaw"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    assert make_guard(command, flags).locate().port == port


def test_no_state_directory_is_no_installation_and_no_error(make_guard, state):
    guard = make_guard(more={"OPENCLAW_STATE_DIR": str(state / "missing")})
    assert guard.locate() is None
    assert guard.find_other() is None
    assert guard.mark_config()
    guard.mark_stores()
    assert guard.look_at_world().other_alive is False


def test_whoever_holds_the_port_is_another(make_guard):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        found = make_guard(flags={"gateway.port": str(port)}).find_other()
    assert found.alive is None
    assert str(port) in found.evidence


@pytest.mark.parametrize(
    ("name", "text"),
    [("openclaw.json", "{}"), (".env", "KEY=1"), ("more.json5", "{}")],
)
def test_a_changed_configuration_shows(make_guard, state, name, text):
    guard = make_guard()
    before, stores = guard.mark_config(), guard.mark_stores()
    assert guard.mark_config() == before
    (state / name).write_text(text)
    assert guard.mark_config() != before
    assert guard.mark_stores() == stores


def test_a_changed_store_and_another_heap_show(make_guard, state):
    store = state / "agents" / "main" / "sessions" / "sessions.json"
    make_store(store)
    guard = make_guard()
    before, config = guard.mark_stores(), guard.mark_config()
    assert guard.mark_stores() == before
    store.write_bytes(b"{}")
    assert guard.mark_stores() != before
    assert guard.mark_config() == config
    roomy = make_guard(flags={"gateway.heap_limit": "4gb"})
    assert roomy.mark_stores() != guard.mark_stores()


def test_an_update_of_the_release_shows(make_guard, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    program = tmp_path / "bin" / "openclaw"
    program.parent.mkdir()
    (package / "openclaw.mjs").write_text("")
    (package / "openclaw.mjs").chmod(0o755)
    program.symlink_to(package / "openclaw.mjs")
    about = package / "package.json"
    about.write_text('{"name": "openclaw", "version": "2026.4.14"}')
    guard = make_guard()
    before = guard.mark_config()
    assert guard.release.version == (2026, 4, 14)
    about.write_text('{"name": "openclaw", "version": "2026.9.6"}')
    assert guard.mark_config() != before
    guard.look_at_release()
    assert guard.release.version == (2026, 9, 6)


def test_node_is_asked_for_its_heap_once(make_guard, tmp_path):
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text(f'#!/bin/sh\necho asked >> "{tmp_path}/asked"\nprintf 536870912\n')
    node.chmod(0o755)
    for _ in range(3):
        limit_bytes, source = make_guard().find_heap_limit()
        assert (limit_bytes, str(node) in source) == (536_870_912, True)
    assert (tmp_path / "asked").read_text() == "asked\n"
    # Other options are another question.
    make_guard(more={"NODE_OPTIONS": "--max-old-space-size=99"}).find_heap_limit()
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"
    assert make_guard(flags={"gateway.heap_limit": "1gb"}).find_heap_limit()[0] == 1 << 30


def test_a_ledger_that_fails_is_told_and_done_without(make_guard, capsys):
    guard = make_guard()

    def fail():
        raise IoFailed("disk on fire")

    guard.write(fail)
    assert guard.read(fail, 17) == 17
    assert guard.read(lambda: 3, 17) == 3
    with pytest.raises(ZeroDivisionError):
        guard.read(lambda: 1 // 0, 17)  # a bug of ours is not hidden


def test_a_ledger_that_fails_is_told_once_until_that_changes(make_guard, monkeypatch):
    """A full disk: 27 lines about the ledger in six seconds, and the cause was among them."""
    told = []
    monkeypatch.setattr(log, "error", lambda text, **fields: told.append(str(fields["error"])))
    guard = make_guard()

    def fail(why):
        def effect():
            raise IoFailed(why)

        return effect

    for why in ("full", "full", "gone", "full"):
        guard.write(fail(why))
        guard.read(fail(why), None)
    assert told == ["full", "gone", "full"]
    guard.write(lambda: None)
    guard.write(fail("full"))
    assert told[3:] == ["full"]


# --- measuring ---------------------------------------------------------------------------


@pytest.fixture
def vigil(make_guard, monkeypatch):
    """A vigil whose gateway uses what a test says; `look(rss)` measures once."""
    flags = {"gateway.heap_limit": "1000mb", "memory.interval_s": "15"}
    guard = make_guard(flags=flags)
    life = make_life("a", 0)
    made = Vigil(guard)
    made.begin(life)
    now_ms = [0]
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms[0])
    service = Service(guard, life, Child(1, 1, None), None, None)

    def look(rss_bytes, *, ready=True, at_ms=None):
        now_ms[0] = at_ms if at_ms is not None else now_ms[0] + 15_000
        service.life = service.life.model_copy(update={"ready_ms": 1 if ready else None})
        processes = 0 if rss_bytes is None else 2
        service.measure = lambda: Vitals(rss_bytes or 0, processes, 0.0)
        return made.measure(service)

    made.look, made.service = look, service
    return made


def test_a_quiet_gateway_is_looked_at_rarely_and_a_full_one_often(vigil):
    limit = 1000 << 20
    assert vigil.look(int(limit * 0.3)) == 15
    assert vigil.look(int(limit * 0.69)) == 15
    assert vigil.look(int(limit * 0.75)) == 2  # and growing
    assert vigil.look(int(limit * 0.76)) == 15  # full, and still
    assert vigil.look(int(limit * 1.1)) == 2
    assert vigil.look(None) == 15


def test_one_that_starts_is_looked_at_every_second(vigil):
    assert vigil.look(10 * MB, ready=False) == 1


def test_growth_towards_the_limit_is_told_in_time(vigil):
    limit = 1000 << 20
    for minute in range(60):
        vigil.look(int(limit * (0.5 + 0.4 * minute / 60)), at_ms=minute * 60_000)
    trend = vigil.find_trend(59 * 60_000)
    assert trend is not None
    (finding,) = find_all(Inputs(memory_trends=(trend,))).findings
    assert finding.code == "memory-trend"
    assert "about" in finding.message
    vigil.begin(vigil.service.life)
    assert vigil.find_trend(59 * 60_000) is None  # another life's memory is no trend


def test_a_still_gateway_has_no_trend(vigil):
    for minute in range(60):
        vigil.look(500 * MB + minute % 3 * 1000, at_ms=minute * 60_000)
    assert vigil.find_trend(59 * 60_000) is None


def test_how_it_is_in_one_line(vigil):
    vigil.look(400 * MB)
    text = vigil.describe(vigil.service)
    assert "gateway pid 1" in text
    assert "memory 400.0 MB" in text
    assert "\n" not in text
