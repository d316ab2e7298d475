"""The configuration is read as the gateway reads it, and its faults are named."""

from __future__ import annotations

import os

import pytest

from tailflip.base.errors import ConfigInvalid
from tailflip.observe.json5config import load_config


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def test_missing_file_is_an_empty_configuration(tmp_path):
    assert load_config(tmp_path / "openclaw.json", {}) == ({}, ())


def test_json5_is_understood(tmp_path):
    path = write(tmp_path / "c", "// a comment\n{cron: {sessionRetention: '36h',}, n: +1, h: 0xF,}")
    assert load_config(path, {})[0] == {"cron": {"sessionRetention": "36h"}, "n": 1, "h": 15}


def test_includes_merge_and_keys_beside_them_win(tmp_path):
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts/a.json", '{"x": {"a": 1, "b": 1}, "list": [1]}')
    write(tmp_path / "parts/b.json", '{"$include": "deep/c.json", "list": [2]}')
    (tmp_path / "parts/deep").mkdir()
    write(tmp_path / "parts/deep/c.json", '{"x": {"b": 2}}')
    path = write(
        tmp_path / "c",
        '{"$include": ["parts/a.json", "./parts/b.json"], "x": {"c": 3},'
        ' "inner": {"$include": "parts/a.json"}}',
    )
    config, _ = load_config(path, {})
    assert config["x"] == {"a": 1, "b": 2, "c": 3}
    assert config["list"] == [1, 2]
    assert config["inner"]["list"] == [1]


def test_variables_are_put_in_and_escapes_kept(tmp_path):
    path = write(tmp_path / "c", '{"a": "x${HOST}y", "b": "$${HOST}", "c": ["${lower} $HOST"]}')
    config, notes = load_config(path, {"HOST": "h"})
    assert config == {"a": "xhy", "b": "${HOST}", "c": ["${lower} $HOST"]}
    assert notes == ()


def test_a_variable_that_is_not_set_is_a_note_because_secrets_live_elsewhere(tmp_path):
    path = write(tmp_path / "c", '{"models": [{"apiKey": "${KEY}"}], "e": "${EMPTY}"}')
    config, notes = load_config(path, {"EMPTY": ""})
    assert config["models"] == [{"apiKey": "${KEY}"}]
    assert notes == ("models[0].apiKey: ${KEY} is not set here", "e: ${EMPTY} is not set here")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON5"),
        ("", "not valid JSON5"),
        ("[1]", "not an object"),
        ('{"a": {"$include": 7}}', "a.$include: must be"),
        ('{"$include": "gone.json"}', "cannot read gone.json"),
        ('{"$include": "../outside.json"}', "is outside"),
        ('{"$include": "/etc/passwd"}', "is outside"),
        ('{"$include": "link.json"}', "is outside"),
        ('{"$include": "self.json"}', "includes itself"),
        ('{"$include": "list.json", "a": 1}', "need an object"),
        ('{"$include": "hard.json"}', "hard links"),
        ('{"$include": "fifo"}', "cannot read fifo"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_fault_names_the_file_and_the_key(tmp_path, text, says):
    folder = tmp_path / "state"
    folder.mkdir()
    write(tmp_path / "outside.json", "{}")
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    write(folder / "self.json", '{"$include": "self.json"}')
    write(folder / "list.json", "[]")
    write(folder / "hard.json", "{}")
    os.link(folder / "hard.json", folder / "hard2.json")
    os.mkfifo(folder / "fifo")
    path = write(folder / "openclaw.json", text)
    with pytest.raises(ConfigInvalid) as caught:
        load_config(path, {})
    assert says in caught.value.message
    assert str(folder) in caught.value.message
    assert "\n" not in caught.value.message


def test_eleven_levels_of_includes_are_too_many(tmp_path):
    for level in range(12):
        write(tmp_path / f"{level}.json", f'{{"$include": "{level + 1}.json"}}')
    write(tmp_path / "12.json", "{}")
    with pytest.raises(ConfigInvalid, match="levels of includes"):
        load_config(tmp_path / "0.json", {})
    assert load_config(tmp_path / "2.json", {})[0] == {}


def test_bytes_that_are_not_utf8_are_a_fault(tmp_path):
    (tmp_path / "c").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigInvalid):
        load_config(tmp_path / "c", {})


@pytest.mark.parametrize("text", ["", "\0\0\0", " \n", '{"a":'])
def test_a_broken_configuration_beside_a_whole_backup_names_it(tmp_path, text):
    """A gateway whose configuration was cut to nothing at each restart had a whole .bak."""
    path = tmp_path / "openclaw.json"
    path.write_text(text)
    with pytest.raises(ConfigInvalid) as found:
        load_config(path, {})
    assert found.value.hint is None  # nothing better than the general one is known
    for seconds, (name, data) in enumerate(
        [(".bak.2", "{"), (".bak.1", '{"gateway": {}}'), (".bak", "{}"), (".bak.3", "")]
    ):
        (tmp_path / f"openclaw.json{name}").write_text(data)
        os.utime(tmp_path / f"openclaw.json{name}", (seconds, seconds))
    with pytest.raises(ConfigInvalid) as found:
        load_config(path, {})
    assert "openclaw.json.bak beside it is whole (2 B, written 1970-01-01 00:00:02Z)" in (
        found.value.hint
    )
    assert f"`cp {path}.bak {path}`" in found.value.hint
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["last-good", "2600.0a1b2c3d-0000-4000-8000-000000000001.tmp"])
def test_a_whole_copy_under_a_later_releases_name_is_named(tmp_path, name):
    path = write(tmp_path / "openclaw.json", "{")
    write(tmp_path / f"openclaw.json.{name}", "{}")
    with pytest.raises(ConfigInvalid) as found:
        load_config(path, {})
    assert f"openclaw.json.{name} beside it is whole" in found.value.hint


def test_the_newest_of_many_copies_is_named_wherever_the_folder_lists_it(tmp_path):
    """The first fifty in the folder's own order were looked at, and the newest was missed."""
    path = tmp_path / "openclaw.json"
    path.write_text("{")
    for number in range(120):
        copy = tmp_path / f"openclaw.json.{number}.tmp"
        copy.write_text("{}")
        os.utime(copy, (number, number))
    (tmp_path / "openclaw.json.119.tmp").write_text("{")
    os.utime(tmp_path / "openclaw.json.119.tmp", (119, 119))
    with pytest.raises(ConfigInvalid) as found:
        load_config(path, {})
    assert found.value.hint is not None
    assert found.value.hint.startswith("openclaw.json.118.tmp beside it is whole")
