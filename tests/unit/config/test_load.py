"""Settings: which source wins, what is refused and in which words, what a reload may change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tailflip.base.errors import ConfigInvalid
from tailflip.base.render import format_error
from tailflip.config.catalog import list_settings
from tailflip.config.load import Config, load

DURATION = 'must be a length of time with its unit, such as "24h", or false'
KEYS = [setting.key for setting in list_settings()]


def load_text(tmp_path, text, env=None, flags=None):
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load({"HOME": "/home/claw", "TAILFLIP_CONFIG": str(path), **(env or {})}, flags)


def refuse(tmp_path, text, env=None, flags=None):
    """Return what is said about it, without the file's path."""
    with pytest.raises(ConfigInvalid) as caught:
        load_text(tmp_path, text, env, flags)
    assert "\n" not in caught.value.message
    return caught.value.message.replace(str(tmp_path / "config.toml"), "FILE")


def value(loaded, key):
    section, name = key.split(".")
    return getattr(getattr(loaded.config, section), name)


def test_without_anything_all_is_default(tmp_path):
    loaded = load({"HOME": str(tmp_path)})
    assert loaded.config == Config()
    assert loaded.origins == dict.fromkeys(KEYS, "default")
    assert loaded.path == tmp_path / ".config" / "tailflip" / "config.toml"
    assert not loaded.found


def test_each_source_is_stronger_than_the_one_before_and_remembered(tmp_path):
    text = "[restart]\ncap_s = 400\nfactor = 3\njitter = 0.5\n"
    env = {"TAILFLIP_RESTART_CAP_S": "500", "TAILFLIP_RESTART_FACTOR": "4"}
    loaded = load_text(tmp_path, text, env, {"restart.cap_s": "600"})
    restart = loaded.config.restart
    assert (restart.cap_s, restart.factor, restart.jitter) == (600, 4, 0.5)
    assert restart.loop_deaths == 3
    assert loaded.found
    assert loaded.origins["restart.cap_s"] == "--set restart.cap_s"
    assert loaded.origins["restart.factor"] == "TAILFLIP_RESTART_FACTOR"
    assert loaded.origins["restart.jitter"] == str(tmp_path / "config.toml")
    assert loaded.origins["restart.loop_deaths"] == "default"


@pytest.mark.parametrize("setting", list_settings(), ids=lambda s: s.key)
def test_every_setting_can_be_set_from_every_source(tmp_path, setting):
    """Also that each has a meaning in one line, and a bound wherever it is a number."""
    samples = {
        "gateway.state_dir": "/srv/oc",
        "gateway.service": "openclaw-gateway.service",
        "gateway.heap_limit": "2gb",
        "heal.retention": "12h",
        "heal.max_lifetime": "2h",
        "gateway.profile": "work",
        "archive.keep": "30d",
        "archive.max_size": "2gb",
        "reclaim.history_after": "30d",
        "serve.listen": "unix:/run/user/1000/tailflip.sock",
        "serve.start": "on-demand",
        "serve.hosts": "claw.example",
        "serve.token_file": "/etc/tailflip/token",
        "log.level": "debug",
        "alerts.remind": "2h, 8h",
        "alerts.quiet": "22:00-07:00",
        "alerts.digest": "09:30",
        "alerts.host": "attic",
        "heartbeat.url_file": "/srv/heartbeat.url",
        "heartbeat.when": "alive",
    }
    if setting.type is bool:
        text = str(not setting.default).lower()
        wanted: object = not setting.default
    elif setting.type in (int, float):
        wanted = 100 if setting.default is None else setting.default + 1
        if setting.type is float and setting.default is not None:
            wanted = setting.default / 2
        text = f"{wanted}"
    else:
        text = samples[setting.key]
        wanted = Path(text) if setting.type is Path else text
    toml = f'"{text}"' if setting.type in (str, Path) else text
    from_file = load_text(tmp_path, f"[{setting.section}]\n{setting.name} = {toml}\n")
    from_env = load_text(tmp_path, "", {setting.variable: text})
    from_flag = load_text(tmp_path, "", None, {setting.key: text})
    for loaded in (from_file, from_env, from_flag):
        assert value(loaded, setting.key) == wanted
        assert loaded.origins[setting.key] != "default"
    assert setting.variable == f"TAILFLIP_{setting.key.replace('.', '_').upper()}"
    assert setting.meaning
    assert "\n" not in setting.meaning
    assert not setting.meaning.endswith(".")
    assert (
        (setting.least is not None) == (setting.most is not None) == (setting.type in (int, float))
    )


@pytest.mark.parametrize("setting", [s for s in list_settings() if s.optional], ids=lambda s: s.key)
def test_auto_takes_back_what_a_weaker_source_said(tmp_path, setting):
    text = {"port": "18789", "drain_s": "60"}.get(setting.name, '"1gb"')
    text = {
        "state_dir": '"/srv"',
        "token_file": '"/srv/t"',
        "url_file": '"/srv/u"',
        "retention": '"1d"',
        "profile": '"p"',
        "enabled": "false",
        "host": '"h"',
    }.get(setting.name, text)
    file = f"[{setting.section}]\n{setting.name} = {text}\n"
    assert value(load_text(tmp_path, file), setting.key) is not None
    assert value(load_text(tmp_path, file, {setting.variable: "auto"}), setting.key) is None


@pytest.mark.parametrize("word", ["false", "no", "off", "0", "OFF", " False "])
def test_switches_in_the_environment_know_the_usual_words(tmp_path, word):
    assert not load_text(tmp_path, "", {"TAILFLIP_HEAL_ENABLED": word}).config.heal.enabled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("top = 1", "FILE:1: top: no such section"),
        ("[restrat]\ncap_s = 1", "FILE:1: restrat: no such section (did you mean restart?)"),
        ("restart = 5", "FILE:1: restart: must be a section, found 5"),
        ("[[restart]]\ncap_s = 1", "FILE:1: restart: must be a section, found [{'cap_s': 1}]"),
        (
            "[restart]\ncap = 1",
            "FILE:2: restart.cap: no such setting (did you mean restart.cap_s?)",
        ),
        (
            "[restart]\ncap_s = 100000",
            "FILE:2: restart.cap_s: must be at most 86400, found 100000",
        ),
        ("[restart]\nfactor = 0.5", "FILE:2: restart.factor: must be at least 1, found 0.5"),
        ("[restart]\nfactor = nan", "FILE:2: restart.factor: must be a finite number, found nan"),
        ("[restart]\nfactor = true", "FILE:2: restart.factor: must be a number, found true"),
        ("[restart]\nfactor = '2'", "FILE:2: restart.factor: must be a number, found '2'"),
        (
            "[restart]\nloop_deaths = 3.0",
            "FILE:2: restart.loop_deaths: must be a whole number, found 3.0",
        ),
        (
            "[restart]\non_hang = 1",
            "FILE:2: restart.on_hang: must be true or false, found 1",
        ),
        (
            "[restart]\nfirst_delay_s = 400",
            "FILE:2: restart.cap_s: must be at least restart.first_delay_s (400), found 300.0",
        ),
        (
            "[restart]\ntrial_cap_s = 10",
            "FILE:2: restart.trial_cap_s: must be at least restart.trial_first_s (300), found 10",
        ),
        ("[gateway]\nport = 0", "FILE:2: gateway.port: must be at least 1, found 0"),
        (
            "[gateway]\nstate_dir = 'oc'",
            "FILE:2: gateway.state_dir: must be an absolute path, found 'oc'",
        ),
        (
            '[gateway]\nstate_dir = "/a\\u0000b"',
            "FILE:2: gateway.state_dir: must be an absolute path, found '/a\\x00b'",
        ),
        (
            "[gateway]\nprofile = '../x'",
            "FILE:2: gateway.profile: must be a profile name, found '../x'",
        ),
        (
            "[gateway]\nservice = '--now'",
            "FILE:2: gateway.service: must be the name of a unit, found '--now'",
        ),
        (
            "[gateway]\nheap_limit = 2048",
            "FILE:2: gateway.heap_limit: must be at least 16mb, found 2048",
        ),
        (
            "[gateway]\nheap_limit = 'big'",
            'FILE:2: gateway.heap_limit: must be a size, such as "2gb" or "512mb", found \'big\'',
        ),
        (
            "[heal]\nretention = 24",
            "FILE:2: heal.retention: must be a length of time, or false, found 24",
        ),
        (
            "[heal]\nretention = '24'",
            f"FILE:2: heal.retention: {DURATION}, found '24'",
        ),
        (
            "[heal]\nmax_lifetime = '5s'",
            "FILE:2: heal.max_lifetime: must be at least 1m, found '5s'",
        ),
        (
            "[heal]\nmax_lifetime = 'auto'",
            f"FILE:2: heal.max_lifetime: {DURATION}, found 'auto'",
        ),
        (
            "[log]\nlevel = 'loud'",
            "FILE:2: log.level: must be one of debug, info, warning, error, found 'loud'",
        ),
        (
            "[ledger]\nkeep_days = [1]",
            "FILE:2: ledger.keep_days: must be a whole number, found [1]",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_place_rule_and_value(tmp_path, text, expected):
    assert refuse(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (
            {"TAILFLIP_RESTART_CAPS": "3"},
            "TAILFLIP_RESTART_CAPS: no such setting (did you mean TAILFLIP_RESTART_CAP_S?)",
        ),
        (
            {"TAILFLIP_HEALTH_MISSES": "many"},
            "TAILFLIP_HEALTH_MISSES: health.misses: must be a whole number, found 'many'",
        ),
        (
            {"TAILFLIP_HEALTH_MISSES": "9" * 5000},
            f"TAILFLIP_HEALTH_MISSES: health.misses: must be a whole number, found '{'9' * 59}…",
        ),
        (
            {"TAILFLIP_HEAL_ENABLED": "maybe"},
            "TAILFLIP_HEAL_ENABLED: heal.enabled: must be true or false, found 'maybe'",
        ),
        (
            {"TAILFLIP_RESTART_JITTER": "inf"},
            "TAILFLIP_RESTART_JITTER: restart.jitter: must be a number, found 'inf'",
        ),
        (
            {"TAILFLIP_GATEWAY_STATE_DIR": "oc"},
            "TAILFLIP_GATEWAY_STATE_DIR: gateway.state_dir: must be an absolute path, found 'oc'",
        ),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(tmp_path, env, expected):
    assert refuse(tmp_path, "", env) == expected


@pytest.mark.parametrize("name", ["TAILFLIP_RESTRAT_CAP_S", "TAILFLIP_RETENTION", "TAILFLIP_X"])
def test_a_misspelt_section_in_the_environment_is_a_mistake(tmp_path, name):
    """`TAILFLIP_RESTRAT_CAP_S=1` was "valid" and did nothing: nobody learned of it."""
    said = refuse(tmp_path, "", {name: "1"})
    assert said.startswith(f"{name}: no such setting")
    assert ("TAILFLIP_RESTART_CAP_S?" in said) is (name == "TAILFLIP_RESTRAT_CAP_S")


def test_other_variables_of_ours_and_of_others_are_no_settings(tmp_path):
    env = {
        "TAILFLIP_STATE_DIR": "/x",
        "TAILFLIP_TRACEBACK": "1",
        "TAILFLIP_LIFE": "1",
        "TAILFLIP_ALERT_COMMAND": "mail",
        "TAILFLIP_ALERT_SUBJECT": "a script that is run for a message may run tailflip",
        "OPENCLAW_RESTART_CAP": "1",
        "TAILFLIP_RESTART_CAP": "",
        "TAILFLIP_RESTART_CAP_S": " ",
    }
    assert load_text(tmp_path, "", env).config == Config()


def test_all_problems_of_all_sources_are_told_at_once_with_their_lines(tmp_path):
    """Five mistakes were one line of 600 characters, with the file's path five times in it."""
    text = "[restart]\nfactor = 0\n\n[loog]\nlevel = 'info'\n"
    env = {"TAILFLIP_HEALTH_MISSES": "0", "TAILFLIP_MEMORY_MIN_LIFE": "1"}
    with pytest.raises(ConfigInvalid) as caught:
        load_text(tmp_path, text, env, {"gateway.port": "x", "gateway.prot": "1"})
    told = [each.replace(str(tmp_path / "config.toml"), "FILE") for each in caught.value.problems]
    assert told == [
        "FILE:2: restart.factor: must be at least 1, found 0",
        "FILE:4: loog: no such section (did you mean log?)",
        "TAILFLIP_MEMORY_MIN_LIFE: no such setting (did you mean TAILFLIP_MEMORY_MIN_LIFE_S?)",
        "--set gateway.prot: no such setting (did you mean gateway.port?)",
        "--port: gateway.port: must be a whole number, found 'x'",
        "TAILFLIP_HEALTH_MISSES: health.misses: must be at least 1, found '0'",
    ]
    assert len(format_error(caught.value).splitlines()) == len(told) + 1


TWO = """\
[heal]
retention = "3d"
[gateway]
heap_limit = "1gb"
[gateways.work]
state_dir = "~/work"
[gateways.work.heal]
retention = "7d"
[gateways.night.restart]
cap_s = 600
"""


def test_a_gateway_s_own_section_wins_over_the_one_for_all(tmp_path):
    loaded = load_text(tmp_path, TWO)
    assert loaded.config.heal.retention == "3d"
    assert loaded.config.restart.cap_s == 300
    work, night = loaded.choose("work"), loaded.choose("night")
    assert (work.config.heal.retention, work.config.gateway.heap_limit) == ("7d", "1gb")
    assert work.origins["heal.retention"].endswith("config.toml [gateways.work]")
    assert work.config.gateway.state_dir == Path("/home/claw/work")
    assert night.config.restart.cap_s == 600
    # Without a state directory or a profile, the section's name is the profile.
    assert (night.config.gateway.state_dir, night.config.gateway.profile) == (None, "night")


def test_the_environment_wins_over_a_gateway_s_own_section(tmp_path):
    loaded = load_text(tmp_path, TWO, {"TAILFLIP_HEAL_RETENTION": "9d"})
    assert loaded.choose("work").config.heal.retention == "9d"
    # It says which gateway is meant; the section is still that of its own directory.
    loaded = load_text(tmp_path, TWO, {"TAILFLIP_GATEWAY_STATE_DIR": "/other"})
    assert loaded.gateways["work"].state_dir == Path("/home/claw/work")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gateways = 3", "FILE:1: gateways: must be a section, found 3"),
        ("[gateways]\na = 3", "FILE:2: gateways.a: must be a section, found 3"),
        (
            "[gateways.a.heal]\nretntion = '7d'",
            "FILE:2: gateways.a.heal.retntion: no such setting (did you mean heal.retention?)",
        ),
        ("[gateways.a.haal]", "FILE:1: gateways.a.haal: no such section (did you mean heal?)"),
        ("[gateways.a]\nretention = 1", "FILE:2: gateways.a.retention: no such setting"),
        ("[gateways.a]\nheal = 1", "FILE:2: gateways.a.heal: must be a section, found 1"),
        (
            "[gateways.a]\nprofile = '..'",
            "FILE:2: gateways.a.profile: must be a profile name, found '..'",
        ),
        (
            "[heal]\nmargin = 0.5\n[gateways.a]\nheal = {margin = 7}",
            "FILE:4: gateways.a.heal.margin: must be at most 1, found 7",
        ),
    ],
)
def test_a_mistake_in_a_gateway_s_section_is_told_by_its_line(tmp_path, text, expected):
    assert refuse(tmp_path, text).startswith(expected)


def go_on(tmp_path, text, env=None, last_good=None):
    path = tmp_path / "config.toml"
    path.write_text(text)
    env = {"HOME": "/home/claw", "TAILFLIP_CONFIG": str(path), **(env or {})}
    return load(env, goes_on=True, last_good=last_good)


def test_who_goes_on_with_a_mistake_keeps_what_is_right(tmp_path):
    loaded = go_on(tmp_path, "[restart]\ncap_s = 700\nfactor = 0\n[lug]\nx = 1\n")
    assert (loaded.config.restart.cap_s, loaded.config.restart.factor) == (700, 2)
    assert [each.partition("config.toml")[2].split(": ")[:2] for each in loaded.mistakes] == [
        [":3", "restart.factor"],
        [":4", "lug"],
    ]
    assert loaded.text is None
    assert loaded.config.heal == Config().heal


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("[heal]\nretntion = '7d'", {"retention": "false"}),
        ("[heal]\nmax_lifetime = 7", {"max_lifetime": "false"}),
        ("[heal]\nenabeld = false", {"enabled": False, "admission": False}),
        ("[heal]\nsalvage = 'no'", {"salvage": False}),
        ("[heal]\nmargin = 7", {}),
    ],
)
def test_a_wrong_setting_of_what_may_change_changes_least(tmp_path, text, changed):
    """`retntion = "7d"` must not take out what the user wrote to keep for seven days."""
    heal = go_on(tmp_path, text).config.heal
    assert heal == Config().heal.model_copy(update=changed)


def test_the_last_good_file_counts_where_it_is_known(tmp_path):
    good = b"[heal]\nretention = '7d'\n[gateways.b.log]\nlevel = 'debug'\n"
    for text in ("[heal]\nretntion = '9d'\n", "no toml", "[gateways.b]\nx = 1\n"):
        loaded = go_on(tmp_path, text, last_good=good)
        assert loaded.is_last_good
        assert loaded.mistakes
        assert loaded.config.heal.retention == "7d"
        assert loaded.choose("b").config.log.level == "debug"
    # A mistake elsewhere leaves the file as it is.
    loaded = go_on(tmp_path, "[heal]\nretention = '9d'\n", {"TAILFLIP_X": "1"}, last_good=good)
    assert (loaded.config.heal.retention, loaded.is_last_good) == ("9d", False)
    assert loaded.mistakes == ("TAILFLIP_X: no such setting",)


@pytest.mark.parametrize("text", ["no toml", None])
def test_where_nothing_can_be_read_nothing_is_healed(tmp_path, text):
    if text is not None:
        loaded = go_on(tmp_path, text)
    else:
        loaded = load({"TAILFLIP_CONFIG": str(tmp_path / "none.toml")}, goes_on=True)
    config = loaded.config
    assert len(loaded.mistakes) == 1
    switches = (config.heal.enabled, config.heal.admission, config.reconcile.enabled)
    assert not any(switches)


def test_a_mistake_on_the_command_line_is_refused_by_who_goes_on_too(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"^--set heal.foo: no such setting"):
        load({"HOME": str(tmp_path)}, {"heal.foo": "1"}, goes_on=True)


def test_paths_start_at_home_or_where_a_flag_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    at_home = load_text(tmp_path, "[gateway]\nstate_dir = '~/oc'\n")
    assert at_home.config.gateway.state_dir == Path("/home/claw/oc")
    typed = load_text(tmp_path, "", None, {"gateway.state_dir": "oc"})
    assert typed.config.gateway.state_dir == tmp_path / "oc"


def test_a_flag_is_named_as_it_was_typed(tmp_path):
    """`--set heal.foo=1` was refused as `--foo`, which nobody had typed."""
    loaded = load_text(tmp_path, "", None, {"heal.admission": "false", "gateway.port": "7"})
    assert loaded.origins["heal.admission"] == "--set heal.admission"
    assert loaded.origins["gateway.port"] == "--port"
    assert refuse(tmp_path, "", None, {"heal.foo": "1"}).startswith("--set heal.foo: no such")


def test_settings_cost_no_command_line_to_import():
    """`gate` stands in front of every start of a gateway; typer and rich would double its time."""
    heavy = "{'typer', 'rich', 'click'}"
    script = f"import sys, tailflip.config.load; print(*sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
