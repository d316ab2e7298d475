"""Ask real releases of OpenClaw what tailflip must know of them.

    make matrix RELEASES="2026.6.11 2026.7.35"    # without RELEASES: the list below
    make matrix-all                               # all stable ones without a good line
    make heaps RELEASES="2026.7.35"
    make catalogue                                # read the packages of all stable releases

A release is installed from npm, asked, and removed (KEEP=1 keeps it; so does having been there
before). Each gives one line in a record beside this file; docs/releases.md is written from both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import real_gateway

from matrix import catalogue, catalogue_page, heaps, lines, page, release
from matrix.lines import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTED = (
    "2026.1.29",
    "2026.2.12",
    "2026.2.26",
    "2026.3.13",
    "2026.3.28",
    "2026.4.2",
    "2026.4.14",
    "2026.4.29",
    "2026.5.7",
    "2026.5.28",
    "2026.6.1",
    "2026.6.11",
    "2026.6.35",
    "2026.7.1-2",
    "2026.7.35",
    "2026.8.1",
    "2026.8.2",
    "2026.9.3",
    "2026.9.5",
    "2026.9.6",
)
_STABLE = re.compile(r"20\d\d\.\d+\.\d+(-\d+)?")  # a beta has a word in its version


def list_stable() -> list[str]:
    """List the stable releases since 2026.1.29, as npm knows them."""
    ran = subprocess.run(
        ["npm", "view", "openclaw", "versions", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = [version for version in json.loads(ran.stdout) if _STABLE.fullmatch(version)]
    return sorted((x for x in found if lines.order(x) >= (2026, 1, 29)), key=lines.order)


@contextmanager
def on_disk(version: str) -> Iterator[None]:
    """Take a release off the disk afterwards, unless it was there or is to be kept."""
    folder = real_gateway.cache_dir() / version
    stays = folder.exists() or os.environ.get("KEEP") == "1"
    try:
        yield
    finally:
        if not stays:
            shutil.rmtree(folder, ignore_errors=True)


def write_pages() -> None:
    page.PAGE.write_text(page.write(), "utf-8")
    catalogue_page.PAGE.write_text(catalogue_page.write(), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["matrix", "heaps", "catalogue", "page"])
    parser.add_argument("releases", nargs="*")
    parser.add_argument("--all", action="store_true", help="all without a good line")
    asked = parser.parse_args()
    if asked.what == "page":
        write_pages()
        return
    if asked.what == "catalogue":
        catalogue.make(list_stable())
        write_pages()
        return
    record, ask = {
        "matrix": (lines.MATRIX, release.try_release),
        "heaps": (lines.HEAPS, heaps.try_release),
    }[asked.what]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is started is ended too
    releases = asked.releases or [*LISTED]
    if asked.all:
        read = lines.read(record)
        done = {each for each, line in read.items() if line["outcome"] != Outcome.FAILED}
        releases = [each for each in list_stable() if each not in done]
    for number, version in enumerate(releases, 1):
        print(f"{version} ({number} of {len(releases)})", flush=True)
        line = lines.Line(version, f"{datetime.now(UTC):%Y-%m-%d}")
        with on_disk(version), tempfile.TemporaryDirectory(prefix="tailflip-matrix-") as folder:
            ask(line, Path(folder))  # an interrupted one has no line, and is asked again
            lines.keep(record, lines.as_row(line))
        write_pages()
        print(f"  {line.outcome}, {line.seconds} s", flush=True)


if __name__ == "__main__":
    main()
