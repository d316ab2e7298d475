"""Refuses an option that is given twice: the parser would take the last one in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailflip.base.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


def refuse_twice(command: Any, argv: Sequence[str]) -> None:
    """Look at the words of one command line before it is parsed.

    Args:
        command: of the parser, with its groups.
        argv: the words after the program.

    Raises:
        Usage: an option that takes one value has two.
    """
    words = list(argv)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {
        name: parameter
        for parameter in command.params
        if getattr(parameter, "is_flag", True) is False
        for name in parameter.opts
    }
    seen: set[str] = set()
    while words and (word := words.pop(0)) != "--":
        name, equals, _ = word.partition("=")
        parameter = options.get(name)
        if parameter is None:
            continue
        if not equals and words:
            words.pop(0)  # its value
        if name in seen and not parameter.multiple:
            raise Usage(f"{name} was given twice", hint="give it once: the last would have counted")
        seen.add(name)
