"""What a start waits for to change: configuration, release, stores, heap."""

from __future__ import annotations

import pytest

from support.stores import make_store
from tailflip.supervise.fingerprints import Fingerprints


@pytest.mark.parametrize(
    ("name", "text"),
    [("openclaw.json", "{}"), (".env", "KEY=1"), ("more.json5", "{}")],
)
def test_a_changed_configuration_shows(make_gateway, state, name, text):
    gateway = make_gateway()
    prints = Fingerprints(gateway)
    before, stores = prints.mark_config(), prints.mark_stores()
    assert prints.mark_config() == before
    (state / name).write_text(text)
    assert prints.mark_config() != before
    assert prints.mark_stores() == stores


def test_a_changed_store_and_another_heap_show(make_gateway, state):
    store = state / "agents" / "main" / "sessions" / "sessions.json"
    make_store(store)
    gateway = make_gateway()
    prints = Fingerprints(gateway)
    before, config = prints.mark_stores(), prints.mark_config()
    assert prints.mark_stores() == before
    store.write_bytes(b"{}")
    assert prints.mark_stores() != before
    assert prints.mark_config() == config
    roomy = Fingerprints(make_gateway(flags={"gateway.heap_limit": "4gb"}))
    assert roomy.mark_stores() != prints.mark_stores()


def test_an_update_of_the_release_shows(make_gateway, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    program = tmp_path / "bin" / "openclaw"
    program.parent.mkdir()
    (package / "openclaw.mjs").write_text("")
    (package / "openclaw.mjs").chmod(0o755)
    program.symlink_to(package / "openclaw.mjs")
    about = package / "package.json"
    about.write_text('{"name": "openclaw", "version": "2026.4.14"}')
    gateway = make_gateway()
    prints = Fingerprints(gateway)
    before = prints.mark_config()
    assert gateway.release.version == (2026, 4, 14)
    about.write_text('{"name": "openclaw", "version": "2026.9.6"}')
    assert prints.mark_config() != before
    gateway.look_at_release()
    assert gateway.release.version == (2026, 9, 6)
