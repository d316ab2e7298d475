"""`tailflip config`: what it shows, what it refuses, and that page and example tell the truth."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from tailflip.cli.config_text import format_value, write_page, write_toml
from tailflip.config.catalog import list_settings
from tailflip.config.load import Config, load

ROOT = Path(__file__).parents[2]
REWRITE = "run `.venv/bin/python tests/tools/write_config_text.py`"


@pytest.fixture
def place(place, monkeypatch):
    """Nothing of the machine's own settings, and none of a person who runs the tests."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in [name for name in os.environ if name.startswith("TAILFLIP_")]:
        monkeypatch.delenv(name)
    return place


def write(place, text):
    path = place.root / ".config" / "tailflip" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    return path


def test_show_lists_every_setting_with_value_and_origin(place, monkeypatch):
    path = write(place, "[restart]\ncap_s = 600\n")
    monkeypatch.setenv("TAILFLIP_HEAL_ADMISSION", "off")
    code, out, err = place.run("config", "show")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"file: {path}"
    assert re.search(rf"^  restart\.cap_s +600 s +{path} +longest delay$", out, re.MULTILINE)
    assert re.search(
        r"^  heal\.admission +false +TAILFLIP_HEAL_ADMISSION +before a", out, re.MULTILINE
    )
    assert re.search(r"^  gateway\.heap_limit +auto +default +heap limit", out, re.MULTILINE)
    assert [line.split()[0] for line in lines[2:]] == [s.key for s in list_settings()]


def test_show_as_json_has_values_of_their_type(place):
    path = write(place, "[heal]\nmargin = 0.5\n[gateway]\nstate_dir = '~/oc'\n")
    code, out, err = place.run("config", "show", "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["path"] == str(path)
    assert shown["found"] is True
    settings = {one["key"]: one for one in shown["settings"]}
    assert list(settings) == [s.key for s in list_settings()]
    assert settings["heal.margin"]["value"] == 0.5
    assert settings["heal.margin"]["default"] == 0.9
    assert settings["heal.margin"]["origin"] == str(path)
    assert settings["gateway.state_dir"]["value"] == str(place.root / "oc")
    assert settings["restart.on_hang"]["value"] is True
    assert settings["restart.cap_s"]["unit"] == "s"
    assert settings["restart.cap_s"]["variable"] == "TAILFLIP_RESTART_CAP_S"


def test_without_a_file_all_is_default_and_said_so(place):
    code, out, _ = place.run("config", "show")
    assert code == 0
    assert out.startswith(f"file: {place.root}/.config/tailflip/config.toml (not there)\n")
    code, out, _ = place.run("config", "check")
    assert code == 0
    assert out.endswith("(not there)\nvalid; no setting is set\n")


def test_check_counts_what_is_set(place):
    write(place, "[restart]\ncap_s = 300\n")
    assert place.run("config", "check")[1].endswith("valid; 1 setting is set\n")
    assert json.loads(place.run("config", "check", "--json")[1])["set"] == ["restart.cap_s"]


@pytest.mark.parametrize("verb", ["show", "check"])
def test_a_mistake_is_code_78_and_one_line(place, verb):
    path = write(place, "[restart]\ncap = 300\n")
    code, out, err = place.run("config", verb)
    assert (code, out) == (78, "")
    assert err == (
        f"error: {path}:2: restart.cap: no such setting (did you mean restart.cap_s?)\n"
        "hint: `tailflip config example` lists all settings\n"
    )


def test_check_takes_a_file_that_is_not_yet_in_its_place(place, tmp_path):
    write(place, "this is no toml")
    new = tmp_path / "new.toml"
    new.write_text("[log]\nlevel = 'debug'\n", "utf-8")
    assert place.run("config", "check", str(new))[0] == 0
    new.write_text("[log]\nlevel = 'all'\n", "utf-8")
    code, _, err = place.run("config", "check", str(new))
    assert code == 78
    assert "log.level: must be one of debug, info, warning, error, found 'all'" in err
    code, _, err = place.run("config", "check", str(tmp_path / "none.toml"))
    assert code == 78
    # The hint spoke of TAILFLIP_CONFIG, which nobody had set.
    assert err == (
        f"error: no such configuration file: {tmp_path}/none.toml\n"
        "hint: give the path of a file; without one, the file that tailflip reads is looked at\n"
    )


def test_every_mistake_is_a_line_with_its_place(place):
    path = write(place, "[restart]\nfactor = 0\njitter = 5\n\n[heal]\nfoo = 1\n")
    code, out, err = place.run("config", "check")
    assert (code, out) == (78, "")
    assert [line.partition(": no")[0].partition(": must")[0] for line in err.splitlines()] == [
        f"error: {path}:2: restart.factor",
        f"error: {path}:3: restart.jitter",
        f"error: {path}:6: heal.foo",
        "hint: `tailflip config example` lists all settings",
    ]


def test_a_hint_is_given_only_where_a_setting_is_alike(place, monkeypatch):
    """`heal.foo` was taken for `heal.after_oom`: the name of the section alone made them alike."""
    monkeypatch.setenv("TAILFLIP_RESTRAT_CAP_S", "1")
    write(place, "[heal]\nfoo = 1\nretntion = '7d'\n[restart]\nretention = '7d'\n[haal]\na = 1\n")
    err = place.run("config", "check")[2]
    said = [line.partition("no such ")[2] for line in err.splitlines()]
    assert said == [
        "setting",
        "setting (did you mean heal.retention?)",
        "setting (did you mean heal.retention?)",
        "section (did you mean heal?)",
        "setting (did you mean TAILFLIP_RESTART_CAP_S?)",
        "",
    ]


def test_hostile_text_in_a_file_does_not_reach_the_terminal(place):
    write(place, '"\\u001b[2J" = 1\n[log]\nlevel = "\\u001b]0;x\\u0007"\n')
    code, _, err = place.run("config", "show")
    assert code == 78
    assert "\x1b" not in err
    assert "\x07" not in err


@pytest.mark.parametrize("argv", [["config"], ["config", "shwo"], ["config", "show", "--frob"]])
def test_bad_arguments_point_to_the_help(place, argv):
    code, out, err = place.run(*argv)
    assert (code, out) == (64, "")
    assert re.search(r"\nhint: .*`tailflip config --help`.*\n$", err)


def test_the_example_printed_is_the_file_that_is_shipped(place):
    shipped = (ROOT / "systemd" / "tailflip.toml").read_text("utf-8")
    assert shipped == write_toml(), REWRITE
    assert place.run("config", "example") == (0, shipped, "")


def test_the_example_changes_nothing_as_it_is(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(write_toml(), "utf-8")
    loaded = load({"TAILFLIP_CONFIG": str(path)})
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}
    assert set(tomllib.loads(write_toml())) == set(Config.model_fields)


def test_the_example_with_every_line_in_force_is_the_default(tmp_path):
    """Every setting is there, under its section, with the value that holds without a file."""
    text = re.sub(r"^#(?=[a-z_]+ = )", "", write_toml(), flags=re.MULTILINE)
    path = tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    loaded = load({"TAILFLIP_CONFIG": str(path)})
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {str(path)}


def test_the_page_of_documentation_is_made_from_the_settings():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == write_page(), REWRITE
    for setting in list_settings():
        default = format_value(setting, setting.default)
        assert f"| `{setting.name}` | {default} | {setting.meaning} |" in page


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", write_page()):
        assert (ROOT / "docs" / target).exists(), target


def test_an_address_is_nowhere_in_what_is_shown(place):
    """`config show` is pasted into reports; an address holds a token more often than not."""
    path = write(
        place,
        "[alerts.to.phone]\nurl = 'ntfy://s3cret@host/s3cret'\n"
        "[gateways.work.alerts.to.phone]\nurl = 'https://host/s3cret'\n",
    )
    path.chmod(0o600)
    code, out, err = place.run("config", "show")
    assert (code, err) == (0, "")
    assert re.search(
        rf"^  alerts\.to\.phone\.url +ntfy://\*\*\* +{path} +the add", out, re.MULTILINE
    )
    _, _, own = out.partition("\nonly for the gateway work:\n")
    assert re.search(r"^  alerts\.to\.phone\.url +https://\*\*\* ", own, re.MULTILINE)
    code, as_json, err = place.run("config", "show", "--json")
    assert (code, err) == (0, "")
    shown = {one["key"]: one["value"] for one in json.loads(as_json)["settings"]}
    assert shown["alerts.to.phone.url"] == "ntfy://***"
    assert shown["alerts.to.phone.least"] == "warning"
    assert "s3cret" not in out + as_json
    path.chmod(0o644)
    code, out, err = place.run("config", "check")
    assert (code, out) == (78, "")
    assert f"{path}:2: alerts.to.phone.url: stands in a file that is not yours alone" in err
    assert "s3cret" not in err
