"""Writes the picture of the README: a terminal in which a gateway's store is cured.

`make picture` runs it. The commands are run, on the incident of `tailflip demo`; what they print is
what is drawn. Only the home directory has another name, and long answers are cut at a `…`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tailflip.base import clock
from tailflip.demo.incident import INCIDENT_BYTES, write_incident

PICTURE = Path(__file__).parents[2] / "docs" / "cure.svg"
COLUMNS = 112
HOME = "/home/claw"
# Each command with the number of its lines that are shown; None for all.
COMMANDS: tuple[tuple[tuple[str, ...], int | None], ...] = (
    (("check",), 4),
    (("compact", "--apply"), None),
)
# As rich has it, without the fonts that it would fetch from elsewhere.
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>tailflip finds the session store that kills a gateway, and makes it small</title>
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record(size_bytes: int) -> str:
    """Cure the incident in a scratch directory, and return the terminal as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "claw"
        write_incident(home / ".openclaw", size_bytes=size_bytes, now_ms=clock.now_ms())
        env = make_env(home)
        for words, shown in COMMANDS:
            console.print(Text(f"$ tailflip {' '.join(words)}", style="bold"))
            done = subprocess.run(
                [sys.executable, "-m", "tailflip", *words],
                env=env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode not in (0, 1):
                raise SystemExit(f"tailflip {words[0]} ended with {done.returncode}: {done.stderr}")
            lines = done.stdout.replace(os.fspath(home), HOME).splitlines()
            for line in lines[:shown]:
                console.print(Text.from_ansi(line))
            console.print("…\n" if shown is not None and len(lines) > shown else "")
    return console.export_svg(title="3 a.m.", code_format=SVG, unique_id="tailflip")


def make_env(home: Path) -> dict[str, str]:
    """Make the environment of a person whose gateway is a 2026.4.14 with a heap of 2 GB."""
    package = home / "lib" / "node_modules" / "openclaw"
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.4.14"}))
    entry = package / "openclaw.mjs"
    entry.write_text("#!/bin/sh\n")
    entry.chmod(0o755)
    (home / "bin").mkdir()
    (home / "bin" / "openclaw").symlink_to(entry)
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return kept | {
        "HOME": os.fspath(home),
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "COLUMNS": str(COLUMNS),
        "FORCE_COLOR": "1",
        "TAILFLIP_GATEWAY_HEAP_LIMIT": "2gb",
    }


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=INCIDENT_BYTES // 10**6)
    parser.add_argument("--out", type=Path, default=PICTURE)
    given = parser.parse_args()
    given.out.write_text(record(given.size_mb * 10**6))


if __name__ == "__main__":
    main()
