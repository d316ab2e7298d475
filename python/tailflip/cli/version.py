"""`tailflip version`: print version and engine."""

from __future__ import annotations

import tailflip
from tailflip.cli.options import AsJson  # noqa: TC001 - typer reads it
from tailflip.stores.extension import describe, features


def version(*, as_json: AsJson = False) -> None:
    """Print version and engine, as `tailflip --version` does."""
    if as_json:
        from tailflip.cli.answers.itself import Version  # noqa: PLC0415 - for --json

        Version.to(version=tailflip.__version__, engine=features()).say()
    else:
        print(describe())
