"""`tailflip config`: show the settings and the source of each; check a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.render import escape, format_table
from tailflip.base.units import format_counted
from tailflip.cli.config_text import format_bounds, format_value, write_toml
from tailflip.cli.options import AsJson  # noqa: TC001 - typer reads it
from tailflip.config.catalog import list_settings
from tailflip.config.load import DEFAULT, load

if TYPE_CHECKING:
    from tailflip.config.catalog import Setting
    from tailflip.config.load import Loaded

app = typer.Typer(
    help="Show and check the settings: file, environment, defaults.",
    no_args_is_help=False,
    rich_markup_mode=None,
)
File = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="A configuration file; without it, the one that tailflip would read.",
        show_default=False,
    ),
]


@app.command()
def show(file: File = None, as_json: AsJson = False) -> None:
    """Say which value every setting has, and where it is from."""
    loaded = _load(file)
    if as_json:
        from tailflip.cli.answers.verbs import ConfigShow  # noqa: PLC0415 - for programs only

        settings = [
            {
                "key": setting.key,
                "value": _value(loaded, setting),
                "default": setting.default,
                "origin": loaded.origins[setting.key],
                "unit": setting.unit,
                "variable": setting.variable,
                "must_be": format_bounds(setting),
                "meaning": setting.meaning,
            }
            for setting in list_settings()
        ]
        ConfigShow.to(path=loaded.path, found=loaded.found, settings=settings).say()
        return
    rows = [
        [
            setting.key,
            escape(format_value(setting, _value(loaded, setting))),
            escape(loaded.origins[setting.key]),
            setting.meaning.partition(";")[0],
        ]
        for setting in list_settings()
    ]
    head = ["setting", "value", "from", "what it is"]
    print(_describe_file(loaded))
    print(format_table(head, rows, left=len(head)))


@app.command()
def check(file: File = None, as_json: AsJson = False) -> None:
    """Say whether all settings are valid: exit code 78 and every mistake if not."""
    loaded = _load(file)
    changed = [key for key, origin in loaded.origins.items() if origin != DEFAULT]
    if as_json:
        from tailflip.cli.answers.verbs import ConfigCheck  # noqa: PLC0415 - for programs only

        ConfigCheck.to(path=loaded.path, found=loaded.found, set=changed).say()
        return
    print(_describe_file(loaded))
    count = format_counted(len(changed), "setting", "is", "are")
    print(f"valid; {count} not left to the default")


@app.command()
def example() -> None:
    """Write a file with every setting, explained and commented out, to standard output."""
    sys.stdout.write(write_toml())


def _load(file: Path | None) -> Loaded:
    named = {} if file is None else {"TAILFLIP_CONFIG": str(file)}
    return load({**os.environ, **named})


def _describe_file(loaded: Loaded) -> str:
    if loaded.path is None:
        return "file: none, for there is no home directory"
    return f"file: {escape(loaded.path)}{'' if loaded.found else ' (not there)'}"


def _value(loaded: Loaded, setting: Setting) -> object:
    return getattr(getattr(loaded.config, setting.section), setting.name)
