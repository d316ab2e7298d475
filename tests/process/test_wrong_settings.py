"""A mistake in tailflip's own settings keeps no gateway down, and is told where people look."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tailflip.flow.findings import Code

TYPO = "[heal]\nretntion = '7d'\n"
STARTS = ("/bin/sh", "-c", "echo GATEWAY STARTED")


def write(place, text):
    path = place.root / "config.toml"
    path.write_text(text)
    return {"TAILFLIP_CONFIG": str(path)}


def ask(place, *words, env):
    """Ask a verb; return its code, what it printed, and what it said."""
    guarded = place.start(*words, env=env, stdout=subprocess.PIPE)
    out = guarded.process.stdout.read().decode()
    return guarded.wait(), out, guarded.said()


def list_wrong(place):
    found = place.history.findings.read()
    wrong = [each.finding for each in found if each.finding.code == Code.SETTINGS_WRONG]
    return [f"{each.subject}: {each.message.partition('settings: ')[2]}" for each in wrong]


@pytest.mark.parametrize("verb", ["gate", "preflight"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TYPO, "config.toml:2: heal.retntion: no such setting (did you mean heal.retention?)"),
        ("[restart]\ncap_s = 'x'\nfactor = 0\n", "restart.factor: must be at least 1, found 0"),
        ("[heal\n", "config.toml:1: not valid TOML"),
        (None, "no such configuration file"),
    ],
)
def test_a_start_goes_on_with_a_mistake_and_says_so(place, verb, text, said):
    """A typo in our own file was exit code 78: the unit then stays down, by our own drop-in."""
    env = write(place, text or "")
    if text is None:
        (place.root / "config.toml").unlink()
    code, out, heard = ask(place, verb, "--", *STARTS, env=env)
    assert (code, out) == (0, "GATEWAY STARTED\n" if verb == "gate" else "go\n")
    assert said in heard
    assert "until that is corrected" in heard
    assert [each for each in list_wrong(place) if said in each]
    code, _, heard = ask(place, "config", "check", env=env)
    assert code == 78
    assert f"error: {place.root}/config.toml" in heard or said in heard


def test_a_misspelt_variable_keeps_no_gateway_down_either(place):
    env = {"TAILFLIP_RESTRAT_CAP_S": "7"}
    code, out, heard = ask(place, "gate", "--", *STARTS, env=env)
    assert (code, out) == (0, "GATEWAY STARTED\n")
    assert "TAILFLIP_RESTRAT_CAP_S: no such setting" in heard
    assert len(list_wrong(place)) == 1
    # Who asks from another shell is told too: the start is on record.
    code, out, _ = ask(place, "check", env={})
    assert code == 1
    assert "TAILFLIP_RESTRAT_CAP_S" in out


def test_a_start_takes_the_last_good_settings(place):
    """`retention = "7d"` held yesterday: today's typo beside it must not make it 24 h."""
    env = write(place, "[gateway]\nheap_limit = '777mb'\n")
    assert ask(place, "gate", "--", *STARTS, env=env)[0] == 0
    write(place, "[gateway]\nheap_limit = '777mb'\nprot = 1\n[heal]\nretntion = '7d'\n")
    code, _, heard = ask(place, "gate", "--", *STARTS, env=env)
    assert code == 0
    assert "until that is corrected, the last good settings count" in heard
    code, out, _ = ask(place, "status", "--json", env=env)
    assert json.loads(out)["memory"]["limit_bytes"] == 777 << 20
    assert "the last good settings count" in ask(place, "status", env=env)[2]


def test_the_next_start_without_a_mistake_ends_the_finding(place):
    env = write(place, TYPO)
    ask(place, "gate", "--", *STARTS, env=env)
    assert len(list_wrong(place)) == 1
    write(place, "[heal]\nretention = '7d'\n")
    ask(place, "gate", "--", *STARTS, env=env)
    assert list_wrong(place) == []


def test_run_starts_with_a_mistake_and_takes_the_corrected_file(place):
    env = write(place, TYPO)
    guarded = place.start("run", "--", *place.command(), env=env)
    guarded.wait_ready()
    assert "the gateway is started all the same" in guarded.said()
    assert len(list_wrong(place)) == 1
    write(place, "[heal]\nretention = '7d'\n")
    guarded.send(signal.SIGHUP)
    guarded.hear("settings were read again")
    assert list_wrong(place) == []
    assert guarded.stop() == 0


def test_a_mistake_in_an_option_is_refused_by_its_name(place):
    code, _, heard = ask(place, "gate", "--set", "heal.foo=1", "--", *STARTS, env={})
    assert code == 78
    assert "error: --set heal.foo: no such setting" in heard


def test_a_start_takes_the_section_of_its_gateway(place):
    """Two gateways on a host: each start has the settings of its own section."""
    text = (
        "[restart]\ncap_s = 301\n"
        f"[gateways.here]\nstate_dir = '{place.state}'\n"
        "[gateways.here.gateway]\nheap_limit = '501mb'\n"
        "[gateways.there]\nprofile = 'there'\n"
        "[gateways.there.gateway]\nheap_limit = '502mb'\n"
    )
    env = write(place, text)
    (place.root / ".openclaw-there").mkdir()
    store = place.root / ".openclaw-there" / "agents" / "main" / "sessions" / "sessions.json"
    store.parent.mkdir(parents=True)
    store.write_text("{}")
    place.put(b"{}")
    command = place.install("2026.4.14")
    code, out, heard = ask(place, "preflight", "--json", "--", command, "gateway", env=env)
    assert code == 0, heard
    assert json.loads(out)["before"]["limit_bytes"] == 501 << 20
    env |= {"OPENCLAW_STATE_DIR": "", "PATH": f"{place.root}/bin:{sys.prefix}/bin"}
    words = ("preflight", "--json", "--", command, "--profile", "there", "gateway", "run")
    code, out, heard = ask(place, *words, env=env)
    assert code == 0, heard
    assert json.loads(out)["before"]["limit_bytes"] == 502 << 20
