"""Settings: which source wins, what is refused and in which words, what a reload may change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tailflip.base.errors import ConfigInvalid
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
    assert loaded.origins["restart.cap_s"] == "--cap-s"
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
        "log.level": "debug",
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
    text = {"state_dir": '"/srv"', "retention": '"1d"', "profile": '"p"'}.get(setting.name, text)
    file = f"[{setting.section}]\n{setting.name} = {text}\n"
    assert value(load_text(tmp_path, file), setting.key) is not None
    assert value(load_text(tmp_path, file, {setting.variable: "auto"}), setting.key) is None


@pytest.mark.parametrize("word", ["false", "no", "off", "0", "OFF", " False "])
def test_switches_in_the_environment_know_the_usual_words(tmp_path, word):
    assert not load_text(tmp_path, "", {"TAILFLIP_HEAL_ENABLED": word}).config.heal.enabled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("top = 1", "FILE: top: no such section"),
        ("[restrat]\ncap_s = 1", "FILE: restrat: no such section (did you mean restart?)"),
        ("restart = 5", "FILE: restart: must be a section, found 5"),
        ("[[restart]]\ncap_s = 1", "FILE: restart: must be a section, found [{'cap_s': 1}]"),
        (
            "[restart]\ncap = 1",
            "FILE: restart.cap: no such setting (did you mean restart.cap_s?)",
        ),
        (
            "[restart]\ncap_s = 100000",
            "FILE: restart.cap_s: must be at most 86400, found 100000",
        ),
        ("[restart]\nfactor = 0.5", "FILE: restart.factor: must be at least 1, found 0.5"),
        ("[restart]\nfactor = nan", "FILE: restart.factor: must be a finite number, found nan"),
        ("[restart]\nfactor = true", "FILE: restart.factor: must be a number, found true"),
        ("[restart]\nfactor = '2'", "FILE: restart.factor: must be a number, found '2'"),
        (
            "[restart]\nloop_deaths = 3.0",
            "FILE: restart.loop_deaths: must be a whole number, found 3.0",
        ),
        (
            "[restart]\non_hang = 1",
            "FILE: restart.on_hang: must be true or false, found 1",
        ),
        (
            "[restart]\nfirst_delay_s = 400",
            "default: restart.cap_s: must be at least restart.first_delay_s (400), found 300.0",
        ),
        (
            "[restart]\ntrial_cap_s = 10",
            "FILE: restart.trial_cap_s: must be at least restart.trial_first_s (300), found 10",
        ),
        ("[gateway]\nport = 0", "FILE: gateway.port: must be at least 1, found 0"),
        (
            "[gateway]\nstate_dir = 'oc'",
            "FILE: gateway.state_dir: must be an absolute path, found 'oc'",
        ),
        (
            '[gateway]\nstate_dir = "/a\\u0000b"',
            "FILE: gateway.state_dir: must be an absolute path, found '/a\\x00b'",
        ),
        (
            "[gateway]\nprofile = '../x'",
            "FILE: gateway.profile: must be a profile name, found '../x'",
        ),
        (
            "[gateway]\nservice = '--now'",
            "FILE: gateway.service: must be the name of a unit, found '--now'",
        ),
        (
            "[gateway]\nheap_limit = 2048",
            "FILE: gateway.heap_limit: must be at least 16mb, found 2048",
        ),
        (
            "[gateway]\nheap_limit = 'big'",
            'FILE: gateway.heap_limit: must be a size, such as "2gb" or "512mb", found \'big\'',
        ),
        (
            "[heal]\nretention = 24",
            "FILE: heal.retention: must be a length of time, or false, found 24",
        ),
        (
            "[heal]\nretention = '24'",
            f"FILE: heal.retention: {DURATION}, found '24'",
        ),
        ("[heal]\nmax_lifetime = '5s'", "FILE: heal.max_lifetime: must be at least 1m, found '5s'"),
        (
            "[heal]\nmax_lifetime = 'auto'",
            f"FILE: heal.max_lifetime: {DURATION}, found 'auto'",
        ),
        (
            "[log]\nlevel = 'loud'",
            "FILE: log.level: must be one of debug, info, warning, error, found 'loud'",
        ),
        ("[ledger]\nkeep_days = [1]", "FILE: ledger.keep_days: must be a whole number, found [1]"),
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


def test_other_variables_of_ours_and_of_others_are_no_settings(tmp_path):
    env = {
        "TAILFLIP_STATE_DIR": "/x",
        "TAILFLIP_TRACEBACK": "1",
        "TAILFLIP_LIFE": "1",
        "TAILFLIP_RESTARTS": "1",
        "OPENCLAW_RESTART_CAP": "1",
        "TAILFLIP_RESTART_CAP": "",
        "TAILFLIP_RESTART_CAP_S": " ",
    }
    assert load_text(tmp_path, "", env).config == Config()


def test_all_problems_of_all_sources_are_told_at_once(tmp_path):
    said = refuse(
        tmp_path,
        "[restart]\nfactor = 0\n[loog]\nlevel = 'info'\n",
        {"TAILFLIP_HEALTH_MISSES": "0", "TAILFLIP_MEMORY_X": "1"},
        {"gateway.port": "x", "gateway.prot": "1"},
    )
    assert said.split("; ") == [
        "FILE: loog: no such section (did you mean log?)",
        "TAILFLIP_MEMORY_X: no such setting (did you mean TAILFLIP_MEMORY_MIN_LIFE_S?)",
        "--prot: gateway.prot: no such setting (did you mean gateway.port?)",
        "--port: gateway.port: must be a whole number, found 'x'",
        "FILE: restart.factor: must be at least 1, found 0",
        "TAILFLIP_HEALTH_MISSES: health.misses: must be at least 1, found '0'",
    ]


def test_paths_start_at_home_or_where_a_flag_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    at_home = load_text(tmp_path, "[gateway]\nstate_dir = '~/oc'\n")
    assert at_home.config.gateway.state_dir == Path("/home/claw/oc")
    typed = load_text(tmp_path, "", None, {"gateway.state_dir": "oc"})
    assert typed.config.gateway.state_dir == tmp_path / "oc"


def test_a_switch_turned_off_by_a_flag_names_the_flag(tmp_path):
    loaded = load_text(tmp_path, "", None, {"heal.admission": "false", "heal.salvage": "true"})
    assert loaded.origins["heal.admission"] == "--no-admission"
    assert loaded.origins["heal.salvage"] == "--salvage"


def test_settings_cost_no_command_line_to_import():
    """`gate` stands in front of every start of a gateway; typer and rich would double its time."""
    heavy = "{'typer', 'rich', 'click'}"
    script = f"import sys, tailflip.config.load; print(*sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
