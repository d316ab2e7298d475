"""Writes the settings as text: a file to start from, and the page of documentation.

Both are made from the declarations. `tests/tools/write_config_text.py` writes them, and a test
compares.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from tailflip.config.catalog import list_sections, list_settings
from tailflip.config.load import AUTO

if TYPE_CHECKING:
    from tailflip.config.catalog import Setting

_WIDTH = 99
_TOML_HEAD = """\
# Settings of tailflip. All of them are here; what is commented out shows its default.
# Its place is ~/.config/tailflip/config.toml, or wherever TAILFLIP_CONFIG says.
# `tailflip config check FILE` looks for mistakes, `tailflip config show` says what holds and why.
"""
_PAGE_HEAD = """\
# Configuration

tailflip needs none. Settings come from these places; a later one overrides an earlier one:

1. the defaults below;
2. one TOML file: `$TAILFLIP_CONFIG`, else `$XDG_CONFIG_HOME/tailflip/config.toml`, else
   `~/.config/tailflip/config.toml`. It may be missing, unless `TAILFLIP_CONFIG` names it;
3. the environment: `TAILFLIP_<SECTION>_<SETTING>`, such as `TAILFLIP_RESTART_CAP_S=600`. An empty
   variable counts as unset;
4. flags of the verb that runs.

`tailflip config show` says which value holds and where it is from, `tailflip config check [FILE]`
whether all is valid, `tailflip config example` prints a file with every setting commented out (the
same as [systemd/tailflip.toml](../systemd/tailflip.toml)).

A mistake in any source is exit code 78 and one line with every mistake: where, which setting, the
rule, and what was found. A misspelt setting is a mistake, in the file and in the environment.
When settings are read again, a file with a mistake changes nothing. A file that cannot be read at
all keeps no gateway down: `gate`, `run` and `preflight` say so, start it, and heal nothing.

Names end in their unit: `_s` is seconds, and fractions are allowed. `auto` leaves a setting to
tailflip. Sizes are in powers of 1024 (`512mb`, `2gb`, or bytes), lengths of time need a unit
(`90m`, `24h`, `7d`, `1h30m`).

Three further variables are no settings: `TAILFLIP_CONFIG` as above, `TAILFLIP_STATE_DIR` is where
tailflip keeps archives and its ledger (see [what it touches](what-it-touches.md)), and
`TAILFLIP_TRACEBACK=1` shows where a bug is.
"""


def format_value(setting: Setting, value: object, *, toml: bool = False) -> str:
    """Format a value with its unit for people, or as TOML."""
    if value is None:
        text = AUTO
    elif isinstance(value, bool):
        return str(value).lower()
    elif isinstance(value, int | float):
        number = f"{value:.12g}"
        return number if toml else f"{number} {setting.unit}".rstrip()
    else:
        text = str(value)
    return json.dumps(text, ensure_ascii=False) if toml else text


def format_bounds(setting: Setting) -> str:
    """Describe the valid values: `a number, 1 to 3600`."""
    words = setting.form
    if setting.least is not None and setting.most is not None:
        words += f", {setting.least:.12g} to {setting.most:.12g}"
    return f"{words}, or {AUTO}" if setting.optional else words


def write_toml() -> str:
    """Write a file with every setting at its default, commented out."""
    parts = [_TOML_HEAD]
    for section, kind in list_sections().items():
        lines = [f"[{section}]", *_comment(kind.__doc__ or ""), ""]
        for setting in _settings_of(section):
            lines += _comment(f"{setting.meaning} ({format_bounds(setting)})")
            lines += [f"#{setting.name} = {format_value(setting, setting.default, toml=True)}", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts).rstrip() + "\n"


def write_page() -> str:
    """Write docs/configuration.md."""
    parts = [_PAGE_HEAD]
    for section, kind in list_sections().items():
        lines = [f"## {section}", "", (kind.__doc__ or "").strip(), ""]
        lines += ["| setting | default | what it is | must be |", "|---|---|---|---|"]
        for setting in _settings_of(section):
            default = format_value(setting, setting.default)
            lines.append(
                f"| `{setting.name}` | {default} | {setting.meaning} | {format_bounds(setting)} |"
            )
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _settings_of(section: str) -> list[Setting]:
    return [setting for setting in list_settings() if setting.section == section]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text.strip(), _WIDTH - 2)]
