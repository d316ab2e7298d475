"""Which section of the settings is the gateway's at hand, and which text was the last good one."""

from __future__ import annotations

import os

import pytest

from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import load
from tailflip.ledger.history import History
from tailflip.stores.settings import choose, read_settings, remember


@pytest.fixture
def place(tmp_path):
    """A home with settings, and a way to write them."""
    env = {"HOME": str(tmp_path), "TAILFLIP_STATE_DIR": str(tmp_path / "own")}

    def write(text):
        path = tmp_path / ".config" / "tailflip" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    workspace = Workspace(Home.locate(env), RealDisk())
    return tmp_path, env, write, workspace


SECTIONS = (
    "[gateways.one]\nstate_dir = '~/link'\n[gateways.work]\n[gateways.work.log]\n"
    "level = 'debug'\n[gateways.two]\nprofile = 'second'\n"
)


@pytest.mark.parametrize(
    ("state_dir", "profile", "env", "name"),
    [
        ("real", None, {}, "one"),
        ("real", None, {"OPENCLAW_STATE_DIR": "/elsewhere"}, "one"),
        (".openclaw-work", None, {}, "work"),
        (".openclaw-second", None, {}, "two"),
        ("moved", "second", {}, "two"),
        (".openclaw", None, {}, None),
        (".openclaw-two", None, {}, None),
    ],
)
def test_a_section_is_chosen_by_state_directory_or_profile(place, state_dir, profile, env, name):
    root, ours, write, _ = place
    (root / "real").mkdir()
    (root / "link").symlink_to(root / "real")
    write(SECTIONS)
    loaded = load(ours)
    assert choose(loaded, {**ours, **env}, root / state_dir, profile).gateway == name


def test_the_last_good_text_is_that_of_this_gateway(place):
    root, env, write, workspace = place
    write("[log]\nlevel = 'debug'\n")
    history = History(workspace, os.path.realpath(root / ".openclaw"))
    assert remember(history, load(env)) is False
    write("[lug]\nlevel = 'debug'\n")
    found = read_settings(env, workspace)
    assert found.is_last_good
    assert found.config.log.level == "debug"
    assert remember(history, found) is False
    other = read_settings(env, workspace, profile="other")
    assert (other.is_last_good, other.config.log.level) == (False, "info")
    write("")
    assert remember(history, load(env)) is True
    assert remember(history, load(env)) is False


def test_without_a_ledger_there_is_no_last_good_text(place):
    _, env, write, workspace = place
    write("no toml")
    workspace.home.root.mkdir()
    workspace.home.ledger.write_text("no ledger")
    found = read_settings(env, workspace)
    assert not found.is_last_good
    assert len(found.mistakes) == 1
    assert not found.config.heal.enabled
