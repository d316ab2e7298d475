"""`tailflip config`: show the settings and the source of each; check a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.errors import ConfigInvalid
from tailflip.base.render import escape, format_table
from tailflip.base.units import format_counted
from tailflip.cli.config_text import format_bounds, format_value, write_toml
from tailflip.cli.options import AsJson  # noqa: TC001 - typer reads it
from tailflip.config.catalog import list_named, list_settings
from tailflip.config.load import DEFAULT, load

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        from tailflip.cli.answers.itself import ConfigShow  # noqa: PLC0415 - for --json

        ConfigShow.to(
            path=loaded.path,
            found=loaded.found,
            settings=[_describe(loaded, each) for each in _list_all(loaded)],
            gateways={
                name: [_describe(loaded.choose(name), each) for each in _list_own(loaded, name)]
                for name in loaded.gateways
            },
        ).say()
        return
    print(_describe_file(loaded))
    _print_table(loaded, _list_all(loaded))
    for name in loaded.gateways:
        print(f"\nonly for the gateway {escape(name)}:")
        _print_table(loaded.choose(name), _list_own(loaded, name))


@app.command()
def check(file: File = None, as_json: AsJson = False) -> None:
    """Say whether all settings are valid: exit code 78 and a line for each mistake if not."""
    loaded = _load(file)
    changed = [key for key, origin in loaded.origins.items() if origin != DEFAULT]
    if as_json:
        from tailflip.cli.answers.itself import ConfigCheck  # noqa: PLC0415 - for --json

        ConfigCheck.to(path=loaded.path, found=loaded.found, set=changed).say()
        return
    print(_describe_file(loaded))
    own = format_counted(len(loaded.gateways), "gateway", "has", "have")
    rest = f"; {own} a section of its own" if loaded.gateways else ""
    if len(loaded.gateways) > 1:
        rest = f"; {own} sections of their own"
    count = format_counted(len(changed), "setting", "is", "are")
    print(f"valid; {count} set{rest}" if changed else f"valid; no setting is set{rest}")


@app.command()
def example() -> None:
    """Write a file with every setting, explained and commented out, to standard output."""
    sys.stdout.write(write_toml())


def _list_own(loaded: Loaded, name: str) -> list[Setting]:
    """List the settings that a gateway's own section sets."""
    own = loaded.choose(name)
    return [
        each for each in _list_all(own) if own.origins[each.key] != loaded.origins.get(each.key)
    ]


def _list_all(loaded: Loaded) -> list[Setting]:
    return [*list_settings(), *list_named(loaded.config)]


def _describe(loaded: Loaded, setting: Setting) -> dict[str, object]:
    return {
        "key": setting.key,
        "value": setting.read(loaded.config),
        "default": setting.default,
        "origin": loaded.origins[setting.key],
        "unit": setting.unit,
        "variable": setting.variable,
        "must_be": format_bounds(setting),
        "meaning": setting.meaning,
    }


def _print_table(loaded: Loaded, settings: Iterable[Setting]) -> None:
    rows = [
        [
            setting.key,
            escape(format_value(setting, setting.read(loaded.config))),
            escape(loaded.origins[setting.key]),
            setting.meaning.partition(";")[0],
        ]
        for setting in settings
    ]
    head = ["setting", "value", "from", "what it is"]
    print(format_table(head, rows, left=len(head)))


def _load(file: Path | None) -> Loaded:
    if file is not None and not file.exists():
        raise ConfigInvalid(
            f"no such configuration file: {file}",
            hint="give the path of a file; without one, the file that tailflip reads is looked at",
        )
    named = {} if file is None else {"TAILFLIP_CONFIG": str(file)}
    return load({**os.environ, **named})


def _describe_file(loaded: Loaded) -> str:
    if loaded.path is None:
        return "file: none, for there is no home directory"
    return f"file: {escape(loaded.path)}{'' if loaded.found else ' (not there)'}"
