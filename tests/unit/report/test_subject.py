"""The gateway that a question is about: the one that was named, else the one that is on record."""

from __future__ import annotations

import pytest

from support.incident_history import make_life
from tailflip.base.durable import RealDisk
from tailflip.base.errors import Usage
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import History
from tailflip.report.subject import find_subject


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A home without settings; two gateways have state directories below it."""
    for name in ("STATE_DIR", "CONFIG_PATH", "PROFILE"):
        monkeypatch.delenv(f"OPENCLAW_{name}", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TAILFLIP_STATE_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("TAILFLIP_CONFIG", raising=False)
    for name in (".openclaw", "a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "openclaw.json").write_text("{}")
    return tmp_path


def guard(root, name):
    """Put a life of a gateway on record."""
    path = str(root / name)
    history = History(Workspace(Home(root / "own"), RealDisk()), path)
    history.lives.begin(make_life(f"life of {name}", 1, guard=path))


def test_without_a_record_it_is_the_one_of_the_environment(root):
    found = find_subject(None, None)
    assert found.history.guard == str(root / ".openclaw")
    assert found.installation.state_dir == root / ".openclaw"
    assert found.notes == ()


def test_who_asks_without_its_environment_means_what_was_guarded_last(root):
    guard(root, "a")
    guard(root, "b")
    found = find_subject(None, None)
    assert found.history.guard == str(root / "b")
    assert found.installation.state_dir == root / "b"
    first, second = found.notes
    assert (
        first == f"nothing is on record about {root / '.openclaw'}; this is what was guarded last"
    )
    assert second == f"also on record (--state-dir): {root / 'a'}"


def test_what_is_on_record_is_not_passed_over(root):
    guard(root, ".openclaw")
    guard(root, "b")
    found = find_subject(None, None)
    assert found.history.guard == str(root / ".openclaw")
    assert found.notes == (f"also on record (--state-dir): {root / 'b'}",)


@pytest.mark.parametrize("how", ["flag", "setting"])
def test_the_one_that_was_named_counts(root, monkeypatch, how):
    guard(root, "b")
    if how == "flag":
        found = find_subject(root / "a", None)
        assert found.notes == (f"also on record (--state-dir): {root / 'b'}",)
    else:
        monkeypatch.setenv("TAILFLIP_GATEWAY_STATE_DIR", str(root / "b"))
        guard(root, "a")
        found = find_subject(None, None)
    assert found.history.guard == str(root / ("a" if how == "flag" else "b"))


def test_a_gateway_whose_configuration_is_broken_keeps_its_record(root):
    guard(root, "a")
    (root / "a" / "openclaw.json").write_text("{torn")
    found = find_subject(root / "a", None)
    assert found.installation is None
    assert [life.id for life in found.history.lives.read()] == ["life of a"]
    assert "openclaw.json" in found.problem


def test_a_profile_that_openclaw_would_refuse_is_bad_arguments(root):
    with pytest.raises(Usage, match="profile name"):
        find_subject(None, "../x")
