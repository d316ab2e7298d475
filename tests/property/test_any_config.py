"""Whatever a file, a variable or a flag holds: a valid configuration or one line that says why."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from tailflip.base.errors import ConfigInvalid
from tailflip.base.render import format_error
from tailflip.cli.config_text import format_value
from tailflip.config.catalog import list_settings
from tailflip.config.load import Config, load

SETTINGS = list_settings()
names = st.sampled_from([s.key for s in SETTINGS]) | st.text(max_size=20)
scalars = (
    st.integers()
    | st.floats()
    | st.booleans()
    | st.text(max_size=20)
    | st.sampled_from(["auto", "false", "2gb", "24h", "/srv", "300", "0.5"])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def write_toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value.replace("\x7f", "?"))  # JSON may hold it bare, TOML may not
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(write_toml, value))}]"
    return repr(value)


def judge(env: dict[str, str], flags: dict[str, str] | None = None) -> Config | None:
    try:
        return load(env, flags).config
    except ConfigInvalid as e:
        refusal = format_error(e).splitlines()
    *told, hint = (line.partition(":")[0] for line in refusal)
    assert set(told) == {"error"}, "a line for each mistake"
    assert hint == "hint"
    assert max(map(len, refusal)) < 10_000
    return None


def judge_file(data: bytes) -> Config | None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        return judge({"TAILFLIP_CONFIG": file.name})


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_in_the_files_place(data):
    judge_file(data)


@given(st.dictionaries(st.sampled_from([s.key for s in SETTINGS]), values, max_size=5))
def test_any_value_of_any_setting_in_the_file(chosen):
    lines = [f"{key} = {write_toml(value)}" for key, value in chosen.items()]
    config = judge_file("\n".join(lines).encode("utf-8", "replace"))
    if config is not None:
        assert Config.model_validate(config.model_dump()) == config


@given(
    st.dictionaries(st.sampled_from([s.variable for s in SETTINGS]), st.text(max_size=30)),
    st.dictionaries(names, st.text(max_size=30), max_size=3),
)
def test_any_text_in_the_environment_and_flags(env, flags):
    judge({**env, "TAILFLIP_CONFIG": "/dev/null"}, flags)


@given(st.sampled_from(SETTINGS), scalars)
@example(next(s for s in SETTINGS if s.key == "restart.first_delay_s"), 1e-300)
def test_a_value_that_is_shown_can_be_given_again(setting, value):
    """What `config show` prints, put into the environment, is the same setting again."""
    config = judge_file(f"{setting.key} = {write_toml(value)}".encode("utf-8", "replace"))
    if config is None:
        return
    held = getattr(getattr(config, setting.section), setting.name)
    shown = format_value(setting, held).removesuffix(f" {setting.unit}")
    again = judge({"TAILFLIP_CONFIG": "/dev/null", setting.variable: shown})
    assert again is not None
    found = getattr(getattr(again, setting.section), setting.name)
    if isinstance(held, float):
        assert abs(found - held) <= 1e-9 * abs(held)
    else:
        assert found == (Path(held) if setting.type is Path and held is not None else held)
