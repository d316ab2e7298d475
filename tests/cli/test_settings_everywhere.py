"""One configuration for every verb: the same settings count, and mistakes in them are told."""

from __future__ import annotations

import json

import pytest

TYPO = "[heal]\nretntion = '7d'\n"
TELLING = [
    ("status",),
    ("check",),
    ("inspect",),
    ("tasks",),
    ("incidents",),
    ("incidents", "why"),
    ("archive", "list"),
    ("restore", "--all"),
    ("install",),
    ("uninstall",),
]


def write(place, monkeypatch, text):
    path = place.root / "config.toml"
    path.write_text(text)
    monkeypatch.setenv("TAILFLIP_CONFIG", str(path))
    return path


@pytest.mark.parametrize("words", TELLING, ids=" ".join)
def test_a_verb_that_tells_answers_and_names_the_mistake(place, monkeypatch, words):
    """Some verbs said nothing of it, and `status` and `incidents` refused to answer at all."""
    place.fill()
    path = write(place, monkeypatch, TYPO)
    code, _, err = place.run(*words)
    assert code != 78, err
    assert f"{path}:2: heal.retntion: no such setting (did you mean heal.retention?)" in err
    assert "until that is corrected, the settings that are right count" in err


@pytest.mark.parametrize("words", [("compact", "--apply"), ("compact",), ("reconcile", "--apply")])
def test_a_verb_that_changes_refuses_and_changes_nothing(place, monkeypatch, words):
    """With `retention` misread it would take out what the user wrote to keep."""
    before = place.fill()
    path = write(place, monkeypatch, TYPO)
    code, out, err = place.run(*words)
    assert (code, out) == (78, "")
    assert err.startswith(f"error: {path}:2: heal.retntion: no such setting")
    assert place.store.read_bytes() == before


def test_check_has_it_as_a_finding(place, monkeypatch):
    place.fill(400_000)
    write(place, monkeypatch, TYPO)
    code, out, _ = place.run("check", "--json")
    assert code == 1
    found = {each["code"]: each for each in json.loads(out)["findings"]}
    assert "heal.retntion" in found["settings-wrong"]["message"]


def test_settings_count_in_every_verb(place, monkeypatch):
    """`config show` said 7d, and `compact` would have removed what is older than 24 h."""
    place.fill()
    write(place, monkeypatch, "[heal]\nretention = '7d'\n[gateway]\nheap_limit = '8gb'\n")
    code, out, _ = place.run("compact", "--json")
    assert code == 0
    compact = json.loads(out)
    assert compact["policy"]["retention_ms"] == 7 * 86_400_000
    assert compact["before"]["limit_bytes"] == 8 << 30
    assert json.loads(place.run("inspect", "--json")[1])["forecast"]["limit_bytes"] == 8 << 30
    assert json.loads(place.run("check", "--json")[1])["forecast"]["limit_bytes"] == 8 << 30
    status = json.loads(place.run("status", "--json")[1])
    assert status["memory"]["limit_bytes"] == 8 << 30
    reconcile = json.loads(place.run("reconcile", "--json")[1])
    assert reconcile["terms"]["retention_ms"] == 7 * 86_400_000


def test_the_state_directory_of_the_settings_is_every_verb_s(place, monkeypatch):
    """`reconcile` worked on one gateway, and `check`, `compact`, `status` on another."""
    place.fill()
    other = place.put_other("other")
    write(place, monkeypatch, f"[gateway]\nstate_dir = '{other.state}'\n")
    for verb in ("check", "inspect", "compact"):
        shown = json.loads(place.run(verb, "--json")[1])
        assert [each["path"] for each in shown["stores"]] == [str(other.store)], verb
    assert json.loads(place.run("status", "--json")[1])["state_dir"] == str(other.state)
    assert str(other.state) in place.run("incidents")[2]
    steps = json.loads(place.run("reconcile", "--json")[1])["steps"]
    assert {each["subject"] for each in steps if each["kind"] == "retention"} <= {str(other.store)}


SECTIONS = """\
[heal]
retention = "3d"
[gateways.work]
state_dir = "{other}"
[gateways.work.heal]
retention = "7d"
[gateways.work.gateway]
heap_limit = "3gb"
"""


@pytest.mark.parametrize("how", ["flag", "path", "env", "file"])
def test_each_gateway_has_its_own_section_however_it_is_named(place, monkeypatch, how):
    place.fill()
    other = place.put_other("other")
    text = SECTIONS.format(other=other.state)
    words = {"flag": ("--state-dir", str(other.state)), "path": (str(other.store),)}.get(how, ())
    if how == "env":
        monkeypatch.setenv("OPENCLAW_STATE_DIR", str(other.state))
    if how == "file":
        text += f"[gateway]\nstate_dir = '{other.state}'\n"
    write(place, monkeypatch, text)
    shown = json.loads(place.run("compact", *words, "--json")[1])
    assert shown["policy"]["retention_ms"] == 7 * 86_400_000
    assert shown["before"]["limit_bytes"] == 3 << 30
    if how != "path":
        status = json.loads(place.run("status", *words, "--json")[1])
        assert status["memory"]["limit_bytes"] == 3 << 30
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(place.state))
    if how != "file":
        shown = json.loads(place.run("compact", "--json")[1])
        assert shown["policy"]["retention_ms"] == 3 * 86_400_000


def test_config_shows_what_is_only_for_one_gateway(place, monkeypatch):
    path = write(place, monkeypatch, SECTIONS.format(other="/srv/other"))
    code, out, _ = place.run("config", "show")
    assert code == 0
    _, _, own = out.partition("\nonly for the gateway work:\n")
    assert [line.split()[:2] for line in own.splitlines()[1:]] == [
        ["gateway.state_dir", "/srv/other"],
        ["gateway.heap_limit", "3gb"],
        ["heal.retention", "7d"],
    ]
    assert f"{path} [gateways.work]" in own
    shown = json.loads(place.run("config", "show", "--json")[1])["gateways"]["work"]
    assert [each["value"] for each in shown] == ["/srv/other", "3gb", "7d"]
    assert place.run("config", "check")[1].endswith("; 1 gateway has a section of its own\n")
