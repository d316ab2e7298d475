"""The values that cross rooms, in the order they are made. Read these files first.

    observed  what was seen of an installation
    numbers   what the engine tells of a store
    outcomes  forecasts, reports of what was done, trends
    conditions  conclusions about jobs and lives, from which findings are made
    findings  findings as `check` reports them, and the codes of all findings
    lives     a gateway's lives and deaths, and what is decided about them
    values    the base class of these values

Sizes are bytes, `_ms` is milliseconds since the epoch or a length in milliseconds, `_s` seconds.
Models whose docstring says *native* are parsed from what the Rust extension returns.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Find a value in whichever file it is: scripts outside the package need not know the files."""
    from importlib import import_module  # noqa: PLC0415 - no verb needs this
    from pkgutil import iter_modules  # noqa: PLC0415

    for stage in () if name.startswith("_") else iter_modules(__path__):
        module = import_module(f"{__name__}.{stage.name}")
        if getattr(module.__dict__.get(name), "__module__", None) == module.__name__:
            return module.__dict__[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
