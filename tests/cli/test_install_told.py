"""Beside a gate, `install` puts a timer that has people told, as far as any are to be told."""

from __future__ import annotations

import json
import os
import re

import pytest

from support.service_definitions import Host
from support.stores import list_tree
from tailflip.cli import install as module

SERVICE, TIMER = "tailflip-beat.service", "tailflip-beat.timer"


@pytest.fixture
def host(place, monkeypatch):
    """A manager that obeys, no system units; but the real checker where there is one."""
    for name in [
        each for each in os.environ if each.startswith(("OPENCLAW_", "TAILFLIP_", "XDG_"))
    ]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("PATH", Host(place.root).put_service_manager())
    return Host(place.root)


def configure(host, text):
    path = host.home / ".config" / "tailflip" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def put_address(host, name):
    path = host.home / ".config" / "tailflip" / f"{name}.url"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("ntfy://host/s3cret")
    path.chmod(0o600)
    return path


PHONE = "[alerts.to.phone]\nurl_file = '~/.config/tailflip/phone.url'\n"
BEAT = "[heartbeat]\nurl_file = '~/.config/tailflip/beat.url'\n"


@pytest.mark.parametrize(
    ("text", "mode", "is_there"),
    [
        ("", "gate", False),
        ("[alerts]\nenabled = true\n", "gate", False),
        (f"[alerts]\nenabled = false\n{PHONE}", "gate", False),
        (PHONE, "gate", True),
        (BEAT, "gate", True),
        (f"[alerts]\nenabled = false\n{PHONE}{BEAT}", "gate", True),
        # They do it themselves; where one of them is gone, its silence must be heard.
        (PHONE + BEAT, "run", False),
        (PHONE + BEAT, "watch", False),
    ],
)
def test_a_timer_is_there_where_somebody_is_told_and_no_guard_tells(
    place, host, text, mode, is_there
):
    host.put_unit()
    configure(host, text)
    before = list_tree(place.root)
    code, _, err = place.run("install", "--mode", mode, "--apply")
    assert (code, err) == (0, "")
    assert (host.units / TIMER).exists() is is_there
    assert (host.units / SERVICE).exists() is is_there
    assert place.run("uninstall", "--apply")[0] == 0
    assert list_tree(place.root) == before


def test_the_timer_runs_our_program_and_hands_addresses_over(place, host, monkeypatch):
    monkeypatch.setattr(module, "read_systemd_version", lambda _: 252)
    host.put_unit()
    phone, heart = put_address(host, "phone"), put_address(host, "beat")
    gone = "[alerts.to.gone]\nurl_file = '~/gone.url'\n[alerts.to.page]\nexec = '/bin/true'\n"
    configure(host, PHONE + gone + BEAT)
    code, out, _ = place.run("install", "--json")
    assert code == 0
    (service,) = json.loads(out)["services"]
    assert service["complaints"] == []
    assert TIMER in service["enable"]
    texts = {each["path"].rpartition("/")[2]: each["text"] for each in service["files"]}
    lines = texts[SERVICE].splitlines()
    handed = [line for line in lines if "Credential=" in line]
    assert handed == [
        f"LoadCredential=phone:{phone}",
        "SetCredential=phone:# its file is gone",
        f"LoadCredential=heartbeat:{heart}",
        "SetCredential=heartbeat:# its file is gone",
    ]
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith(f" _beat --state-dir={host.home}/.openclaw")
    assert "OnUnitInactiveSec=5min" in texts[TIMER]
    assert "s3cret" not in out


def test_a_systemd_without_credentials_gets_none(place, host, monkeypatch):
    monkeypatch.setattr(module, "read_systemd_version", lambda _: 246)
    host.put_unit()
    put_address(host, "phone")
    configure(host, PHONE)
    place.run("install", "--apply")
    assert "Credential" not in (host.units / SERVICE).read_text()


def test_each_gateway_has_its_own_timer(place, host):
    """Its destinations may be its own: a section of the settings says so."""
    host.put_unit()
    host.put_unit(profile="work", port=18790)
    own = "[gateways.work.alerts.to.phone]\nexec = '/bin/true'\n"
    configure(host, own)
    assert place.run("install", "--apply")[0] == 0
    names = {path.name for path in host.units.glob("tailflip-beat*")}
    assert names == {"tailflip-beat-work.service", "tailflip-beat-work.timer"}
    text = (host.units / "tailflip-beat-work.service").read_text()
    assert re.search(r"--state-dir=\S+/\.openclaw-work$", text, re.MULTILINE)


def test_the_timer_goes_when_nobody_is_told_any_more(place, host):
    host.put_unit()
    configure(host, PHONE)
    place.run("install", "--apply")
    assert (host.units / TIMER).exists()
    configure(host, "")
    place.run("install", "--apply")
    assert not (host.units / TIMER).exists()


@pytest.mark.parametrize("mode", ["gate", "run", "watch"])
def test_systemd_tells_when_it_gives_a_unit_up(place, host, mode):
    """A start limit of a person's own ends the guard, and then nobody is left to tell."""
    host.put_unit()
    place.run("install", "--mode", mode, "--apply")
    texts = [path.read_text() for path in host.units.rglob("*") if path.is_file()]
    assert sum("OnFailure=tailflip-alert@" in text for text in texts) == 1
    (alert,) = [path for path in host.units.iterdir() if path.name.startswith("tailflip-alert@")]
    last = [line for line in alert.read_text().splitlines() if line.startswith("ExecStart=")][-1]
    assert last.endswith(" _beat --state-dir=%f --given-up")
