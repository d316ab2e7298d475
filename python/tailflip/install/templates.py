"""The texts of units and drop-ins, from the templates in `units/`.

`@NAME@` is replaced. `@254@` at the start of a line drops the line for an older systemd.
A template is the text that `tailflip install` writes.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from tailflip.base.errors import CannotCreate
from tailflip.observe.host.wrapper_script import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PLACE = re.compile(r"@([A-Z][A-Z_]*)@")
_SINCE = re.compile(r"^@([0-9]{3})@")


@cache
def read_template(name: str) -> str:
    """Read a template by its file's name, without `.in`."""
    return (resources.files("tailflip.install") / "units" / f"{name}.in").read_text("utf-8")


def fill(name: str, values: Mapping[str, str], systemd_version: int) -> str:
    """Fill a template; a line that an empty value leaves empty is left out.

    Raises:
        KeyError: the template wants a missing value.
    """
    values = {
        **values,
        "MARK": MARK,
        "SUPERVISED": _choose_lines(read_template("supervised"), systemd_version).rstrip(),
        "HARDENED": read_template("hardened").rstrip(),
    }
    lines = []
    for line in _choose_lines(read_template(name), systemd_version).splitlines():
        made = _PLACE.sub(lambda match: values[match[1]], line)
        if made or not line:
            lines.append(made)
    return "\n".join(lines) + "\n"


def _choose_lines(text: str, systemd_version: int) -> str:
    lines = []
    for line in text.splitlines(keepends=True):
        match = _SINCE.match(line)
        if match is None:
            lines.append(line)
        elif int(match[1]) <= systemd_version:
            lines.append(line[match.end() :])
    return "".join(lines)


def encode(text: str, path: Path) -> bytes:
    """Encode the text of a service file for `path`.

    Raises:
        CannotCreate: the text has a path that is not UTF-8, which service managers do not take.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise CannotCreate(
            f"a service file names no path that is not UTF-8, as one here is: {path}; "
            "nothing was changed",
            hint="give that folder another name, or put `tailflip gate --` before the command "
            "in a script",
        ) from e
