"""Finds programs that a gateway's service starts, and that an update has taken away."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.flow.observed import GoneProgram
from tailflip.observe.files import read_regular
from tailflip.observe.gateway.release import find_missing_file
from tailflip.observe.gateway.signs import find_definitions
from tailflip.observe.host.unitfile import choose_last, parse_unit, split_prefix, split_words
from tailflip.observe.host.wrapper_script import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.observe.host.service import Service
    from tailflip.observe.installation import Installation

_MAX_BYTES = 1 << 20


def find_gone_programs(
    installation: Installation, env: Mapping[str, str]
) -> tuple[GoneProgram, ...]:
    """Find the programs that are gone: the gateway's own, and tailflip in front of it."""
    found: list[GoneProgram] = []
    for service in find_definitions(installation.state_dir, env):
        gone = find_missing_file(service.command, service.env)
        if gone is not None:
            found.append(GoneProgram(service.path, gone))
        found += _find_gone_guards(service)
    return tuple(dict.fromkeys(found))


def _find_gone_guards(service: Service) -> Iterator[GoneProgram]:
    """Look at the first word of what tailflip's own drop-ins start."""
    for path in service.drop_ins:
        with suppress(OSError, ValueError):
            text = read_regular(path, _MAX_BYTES).decode()
            commands = choose_last(parse_unit(text), "ExecStart") if MARK in text else []
            for command in commands:
                program = next(iter(split_words(split_prefix(command)[1])), "")
                if os.path.isabs(program) and not os.path.exists(program):  # noqa: PTH110, PTH117
                    yield GoneProgram(path, program, is_ours=True)
