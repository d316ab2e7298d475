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
from tailflip.cli.exit_codes import ALSO, MEANINGS, STOPPED

PATH = Path(__file__).parents[2] / "packaging/wheel/data/share/man/man1/tailflip.1"
EXAMPLES = (
    ("The gateway dies again and again: see why, and bring it back.", (
        "tailflip check",
        "tailflip compact",
        "tailflip compact --apply",
        "openclaw gateway run",
    )),
    ("Undo that; the id stands in the report, and in the list.", (
        "tailflip archive list",
        "tailflip restore ACTION --apply",
    )),
    ("Keep it alive: before each start of its service, or as its parent.", (
        "tailflip install --apply",
        "tailflip run -- openclaw gateway run",
    )),
    ("What happened in the night?", ("tailflip status", "tailflip incidents why")),
    ("For a monitor: the exit code is 1 if something is wrong.", ("tailflip check --json",)),
)  # fmt: skip
ENVIRONMENT = (
    ("TAILFLIP_CONFIG", "The file of settings, instead of the one below FILES."),
    ("TAILFLIP_STATE_DIR", "Where archives and the ledger are kept."),
    ("TAILFLIP_SECTION_SETTING", "A setting, such as TAILFLIP_RESTART_CAP_S=600."),
    ("TAILFLIP_ALERT_COMMAND", "What the alert unit runs; see docs/install.md."),
    ("NO_COLOR, FORCE_COLOR", "No colours, or colours also in a pipe; --color is stronger."),
    ("TAILFLIP_TRACEBACK", "If set, a bug shows where it is."),
    ("OPENCLAW_STATE_DIR", "OpenClaw's state directory; --state-dir is stronger."),
    ("OPENCLAW_CONFIG_PATH", "OpenClaw's configuration, if it is not openclaw.json in there."),
    ("OPENCLAW_PROFILE", "OpenClaw's profile; --profile is stronger."),
    ("OPENCLAW_HOME", "The home directory of OpenClaw, if it is not HOME."),
    ("OPENCLAW_GATEWAY_PORT", "The gateway's port, where neither flags nor its configuration say."),
    ("OPENCLAW_ALLOW_MULTI_GATEWAY", "If 1, a gateway may start beside a living one."),
    ("NODE_OPTIONS", "Options of Node.js, such as the gateway's heap limit."),
)
FILES = (
    ("~/.config/tailflip/config.toml", "Settings; see tailflip config example."),
    ("~/.local/state/tailflip/ledger.sqlite", "What was done, and what the gateway did."),
    ("~/.local/state/tailflip/archive/", "What was taken out, byte for byte."),
    ("~/.local/state/tailflip/quarantine/", "Damaged stores, byte for byte."),
    ("~/.openclaw/openclaw.json", "OpenClaw's configuration; it is only read."),
    ("~/.openclaw/agents/ID/sessions/sessions.json", "The session store of an agent."),
)
SEE_ALSO = (
    "systemd.service(5), launchd.plist(5), node(1)",
    (
        "The documentation of this release: README.md, docs/stop-a-crash-loop.md, "
        "docs/exit-codes.md, docs/json.md and docs/configuration.md in its source."
    ),
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
    lines.append(".SH EXIT STATUS")
    write_options(lines, [(str(code), meaning) for code, meaning in MEANINGS.items()])
    write_options(lines, [tuple(STOPPED.split(" ", 1))])
    lines += [".PP", "Each verb may end with 0, 64 and 70; the further codes of each:"]
    write_options(
        lines, [(verb, ", ".join(map(str, codes))) for verb, codes in ALSO.items() if codes]
    )
    lines.append(".SH ENVIRONMENT")
    write_options(lines, list(ENVIRONMENT))
    lines.append(".SH FILES")
    write_options(lines, list(FILES))
    lines.append(".SH EXAMPLES")
    for meaning, commands in EXAMPLES:
        lines += [".PP", quote(meaning), ".PP", ".RS", ".nf", *map(quote, commands), ".fi", ".RE"]
    lines.append(".SH SEE ALSO")
    for each in SEE_ALSO:
        lines += [quote(each), ".PP"]
    return "\n".join(lines[:-1]) + "\n"


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
