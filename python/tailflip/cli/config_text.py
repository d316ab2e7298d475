"""Writes the settings as text: a file to start from, and the page of documentation.

Both are made from the declarations. `tests/tools/write_config_text.py` writes them, and a test
compares.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from tailflip.config.catalog import list_sections, list_settings, list_tables
from tailflip.config.load import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.config.catalog import Setting, Table

_WIDTH = 99
_TOML_HEAD = """\
# Settings of tailflip. All of them are here; what is commented out shows its default.
# Its place is ~/.config/tailflip/config.toml, or wherever TAILFLIP_CONFIG says.
# `tailflip config check FILE` looks for mistakes, `tailflip config show` says what holds and why.
"""
_TOML_GATEWAYS = """\
# A host with several gateways: all sections above, for one gateway alone. Its `state_dir` or
# `profile` says which; without either, the section's name is its profile.
# [gateways.work]
# state_dir = "/srv/work"
# [gateways.work.heal]
# retention = "7d"
"""
_TOML_NAMED = {
    "alerts.to": """\
# [alerts.to.phone]
# url_file = "~/.config/tailflip/phone.url"
# [alerts.to.oncall]
# exec = "/usr/local/bin/page-me"
# least = "critical"
# after = "15m"
""",
}
_PAGE_HEAD = """\
# Configuration

tailflip needs none. Settings come from these places; a later one overrides an earlier one:

1. the defaults below;
2. one TOML file: `$TAILFLIP_CONFIG`, else `$XDG_CONFIG_HOME/tailflip/config.toml`, else
   `~/.config/tailflip/config.toml`. It may be missing, unless `TAILFLIP_CONFIG` names it;
3. the file's section of the gateway at hand ([several gateways](#several-gateways));
4. the environment: `TAILFLIP_<SECTION>_<SETTING>`, such as `TAILFLIP_RESTART_CAP_S=600`. An empty
   variable counts as unset;
5. options of the verb that runs.

All verbs read the same settings. `tailflip config show` says which value holds and where it is
from. `tailflip config check [FILE]` says whether all is valid. `tailflip config example` prints a
file with every setting commented out, the same as
[systemd/tailflip.toml](../systemd/tailflip.toml).

## Mistakes

Each mistake is one line: file and line number, the setting, the rule, and what was found. A
misspelt setting is a mistake, in the file and in the environment. So every `TAILFLIP_` variable
must be a setting, or one of those named below.

| who reads | what a mistake does |
|---|---|
| `config check`, `compact`, `reconcile`, `watch` | exit code 78; nothing is changed |
| `gate`, `preflight`, `run` | it is started all the same; the log, `status` and `check` say so |
| `run` at SIGHUP | the settings stay as they were |
| all other verbs | a warning; they answer |

A start goes on with the last good file: the one that was read at an earlier start of this gateway.
Where there is none, the settings that are right count, and the others are at their default.
Wrong switches of `heal` and `reconcile` then count as false, and a wrong `retention` or
`max_lifetime` too. A mistake must not take out what you wanted to keep. Where nothing of the file
can be read, nothing is healed. A mistake in an option of the command is refused (exit code 78).

## Several gateways

A section `[gateways.NAME]` has the same sections below it, for one gateway alone. Its `state_dir`
or `profile` says which gateway that is. Without either, its name is the profile. All verbs choose
it by the gateway at hand. They find that gateway by `--state-dir`, `--profile`, the environment,
the path of a store, or the command that starts it. A destination of that name gets what is set
here besides what is set for all; an address replaces the other.

```toml
[heal]
retention = "3d"            # for all gateways

[gateways.work]
state_dir = "/srv/work"     # or: profile = "work"

[gateways.work.heal]
retention = "7d"            # for this one alone

[gateways.work.gateway]
heap_limit = "2gb"
```

## Names and units

Names end in their unit: `_s` is seconds, and fractions are allowed. `auto` leaves a setting to
tailflip. Sizes are in powers of 1024 (`512mb`, `2gb`, or bytes), lengths of time need a unit
(`90m`, `24h`, `7d`, `1h30m`).

Further variables are no settings. `TAILFLIP_CONFIG` is named above. `TAILFLIP_STATE_DIR` is where
tailflip keeps archives and its ledger (see [what it touches](what-it-touches.md)).
`TAILFLIP_ALERT_COMMAND` is what the alert unit runs (see [install](install.md)). By the others of
that beginning, [a program of yours](destinations.md#a-program-of-your-own) is told of an alert.
`TAILFLIP_TRACEBACK=1` shows where a bug is. `TAILFLIP_LIFE` is set by tailflip itself.
"""


_HEAD = ["| setting | default | what it is | must be |", "|---|---|---|---|"]


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
        parts += [_write_table(table) for table in list_tables() if table.is_in(section)]
    return "\n".join([*parts, _TOML_GATEWAYS]).rstrip() + "\n"


def write_page() -> str:
    """Write docs/configuration.md."""
    parts = [_PAGE_HEAD]
    for section, kind in list_sections().items():
        lines = [f"## {section}", "", (kind.__doc__ or "").strip(), ""]
        lines += _HEAD
        parts.append("\n".join(lines + _write_rows(_settings_of(section))) + "\n")
        for table in list_tables():
            if table.is_in(section):
                lines = [f"### {table.key}.NAME", "", (table.kind.__doc__ or "").strip(), ""]
                lines += _HEAD + _write_rows(table.list_settings("NAME"))
                parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _write_rows(settings: Iterable[Setting]) -> list[str]:
    return [
        f"| `{setting.name}` | {format_value(setting, setting.default)} | {setting.meaning} | "
        f"{format_bounds(setting)} |"
        for setting in settings
    ]


def _write_table(table: Table) -> str:
    lines = [f"# [{table.key}.NAME]", *_comment(table.kind.__doc__ or ""), "#"]
    for setting in table.list_settings("NAME"):
        default = format_value(setting, setting.default, toml=True)
        lines += _comment(f"{setting.meaning} ({format_bounds(setting)})", "#   ")
        lines += [f"#     {setting.name} = {default}", "#"]
    return "\n".join([*lines, _TOML_NAMED[table.key]])


def _settings_of(section: str) -> list[Setting]:
    return [setting for setting in list_settings() if setting.section == section]


def _comment(text: str, before: str = "# ") -> list[str]:
    return [f"{before}{line}" for line in textwrap.wrap(text.strip(), _WIDTH - len(before))]
