"""All verbs that can be given, as the command line itself lists them."""

from __future__ import annotations

from typing import Any

import typer

from tailflip.cli.app import build


def list_verbs() -> dict[str, Any]:
    """List the command of every verb, by its name with its group."""

    def walk(group, before=()):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*before, name))
            else:
                yield " ".join((*before, name)), command

    return dict(walk(typer.main.get_command(build())))


def takes(command: Any, option: str) -> bool:
    """Say whether a verb takes an option."""
    return any(option in param.opts for param in command.params)
