"""`status` of a gateway whose service starts through us: its definition says so, as it is now."""

from __future__ import annotations

import json
import plistlib

import pytest

from support.service_definitions import NEW, Host


@pytest.fixture
def host(place, monkeypatch):
    for name in ("OPENCLAW_STATE_DIR", "TAILFLIP_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", Host(place.root).put_service_manager())
    return Host(place.root)


def read_installed(place, *words):
    return json.loads(place.run("status", "--json", *words)[1])["installed"]


def install(place, *words):
    assert place.run("install", "--apply", *words)[0] == 0


def test_a_service_that_is_not_ours_is_none_of_it(place, host):
    host.put_unit()
    assert read_installed(place) is None
    assert "guarded   by nobody now\n" in place.run("status")[1]


@pytest.mark.parametrize("mode", ["gate", "run"])
def test_a_drop_in_is_found_and_its_end(place, host, mode):
    unit = host.put_unit()
    install(place, "--mode", mode)
    drop_in = unit.with_name(f"{unit.name}.d") / "10-tailflip.conf"
    found = read_installed(place)
    assert (found["service"], found["mode"], found["path"]) == (unit.name, mode, str(drop_in))
    out = place.run("status")[1]
    assert f"from the next start of {unit.name} on by tailflip\n" in out
    assert f"next      restart {unit.name}: " in out
    drop_in.unlink()
    assert read_installed(place)["path"] is None
    out = place.run("status")[1]
    assert f"guarded   by nobody now: {unit.name} no longer starts through tailflip\n" in out
    again = "tailflip install --apply" if mode == "gate" else "tailflip install --mode run --apply"
    assert f"next      `{again}`: " in out


def test_a_wrapper_is_found(place, host):
    host.put_unit(NEW)
    install(place)
    assert read_installed(place)["path"].endswith("/openclaw-gateway-gate.sh")


def test_an_agent_of_launchd_is_found_until_openclaw_writes_it_anew(place, host):
    agent = host.put_agent()
    before = agent.read_bytes()
    install(place)
    assert plistlib.loads(agent.read_bytes())["ProgramArguments"][-1]
    assert read_installed(place)["path"] == str(agent)
    agent.write_bytes(before)
    assert read_installed(place)["path"] is None


def test_each_profile_has_its_own(place, host):
    host.put_unit()
    host.put_unit(profile="work", port=18790)
    install(place, "--service", "openclaw-gateway-work")
    assert read_installed(place) is None
    assert read_installed(place, "--profile", "work")["service"] == "openclaw-gateway-work.service"


def test_one_that_stands_beside_it_is_not_in_front(place, host):
    host.put_unit()
    install(place, "--mode", "watch")
    assert read_installed(place) is None


def test_a_record_that_cannot_be_read_hides_nothing_else(place, host):
    host.put_unit()
    install(place)
    for record in (place.root / ".local/state/tailflip/installed").iterdir():
        record.write_text("{")
    code, out, _ = place.run("status")
    assert (code, "guarded   by nobody now" in out) == (0, True)
