"""Write the manual page from the command line itself: every verb, option and exit code.

python tests/tools/write_man.py            prints it
python tests/tools/write_man.py --write    puts it where the wheel takes it from
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

import tailflip
from tailflip.cli.app import build
from tailflip.cli.exit_codes import list_codes

PATH = Path(__file__).parents[2] / "packaging/wheel/data/share/man/man1/tailflip.1"
FILES = (
    ("~/.config/tailflip/config.toml", "Settings; see tailflip config example."),
    ("~/.local/state/tailflip/", "The ledger, archives of what was taken out, damaged stores."),
)


def quote(text: str) -> str:
    r"""Make text safe for roff: no escapes of its own, no line that begins a request."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def write_options(lines: list[str], pairs: list[tuple[str, str]]) -> None:
    for name, meaning in pairs:
        lines += [".TP", f".B {quote(name)}", quote(meaning or "")]


def list_typer_options(command: Any) -> list[tuple[str, str]]:
    found = []
    for param in command.params:
        if param.param_type_name == "argument":
            if param.help:
                found.append((param.metavar or param.name.upper(), param.help))
            continue
        names = ", ".join([*param.opts, *param.secondary_opts])
        metavar = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
        found.append((f"{names}{metavar}", param.help or ""))
    return found


def write_verb(lines: list[str], name: str, command: Any) -> None:
    lines.append(f".SS {quote(name)}")
    for part in (command.help or "").split("\n\n"):
        lines += [quote(part), ".PP"]
    write_options(lines, list_typer_options(command))
    for child, sub in getattr(command, "commands", {}).items():
        write_verb(lines, f"{name} {child}", sub)


def write_page() -> str:
    root = typer.main.get_command(build())
    lines = [
        f'.TH TAILFLIP 1 "" "tailflip {tailflip.__version__}" "User Commands"',
        ".SH NAME",
        "tailflip \\- guard an OpenClaw gateway that dies of its session store",
        ".SH SYNOPSIS",
        ".B tailflip",
        "VERB [OPTIONS]",
        ".SH DESCRIPTION",
        quote(root.help or ""),
        ".SH VERBS",
    ]
    for name, command in root.commands.items():
        write_verb(lines, name, command)
    lines += [".SH EXIT STATUS", quote(list_codes().removeprefix("Exit codes: ")), ".SH FILES"]
    write_options(lines, list(FILES))
    return "\n".join(lines) + "\n"


def main() -> int:
    text = write_page()
    if sys.argv[1:] == ["--write"]:
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
