"""Make the catalogue of releases from their packages: `make catalogue`.

A package is fetched from npm, read and deleted, one at a time. What was read of a release is kept
below `target/` until all are there, so that a run which was broken off goes on where it was.
Releases of the table that these very probes have read are not read again.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matrix import probes
from tailflip.observe.gateway import catalogue
from tailflip.observe.gateway.catalogue import Fact, order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.observe.gateway.catalogue import Catalogue, Value

    Facts = dict[Fact, Value]

_KEPT = Path(__file__).parents[2] / "target" / "catalogue.jsonl"


def make(releases: Sequence[str]) -> None:
    """Read what has not been read yet of these releases, and write the table of all of them."""
    known = _recall(releases)
    for number, release in enumerate(releases, 1):
        if release not in known:
            print(f"{release} ({number} of {len(releases)})", flush=True)
            known[release] = fetch(release)
            _keep(release, known[release])
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    catalogue.TABLE.write_text(fold(today, {each: known[each] for each in releases}), "utf-8")


def fetch(release: str) -> Facts:
    """Fetch a package into a folder of its own, read it, and delete it."""
    with tempfile.TemporaryDirectory(prefix="tailflip-catalogue-") as folder:
        subprocess.run(
            ["npm", "pack", f"openclaw@{release}", "--silent"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=600,
        )
        [tarball] = Path(folder).glob("*.tgz")
        return probes.read_package(tarball)


def fold(read_on: str, facts: Mapping[str, Facts]) -> str:
    """Write the table: of each fact the releases in which it changed, and what was run."""
    releases = sorted(facts, key=order)
    head = {"read_on": read_on, "probes": probes.fingerprint(), "releases": releases}
    lines = [json.dumps(head)]
    for fact in Fact:
        since: list[tuple[str, Value]] = []
        for release in releases:
            value = facts[release][fact]
            if not since or since[-1][1] != value or type(since[-1][1]) is not type(value):
                since.append((release, value))
        row: dict[str, Any] = {"fact": fact, "since": since}
        if fact in probes.RAN:
            row["ran"] = probes.RAN[fact]
        lines.append(json.dumps(row))
    return "".join(f"{line}\n" for line in lines)


def unfold(table: Catalogue) -> dict[str, Facts]:
    """Tell the facts of each release of a table."""
    return {
        release: {fact: table.find(fact, release) for fact in Fact} for release in table.releases
    }


def _recall(releases: Sequence[str]) -> dict[str, Facts]:
    """Recall what these probes have read already: in the table, or before a run was broken off."""
    known: dict[str, Facts] = {}
    if catalogue.TABLE.exists():
        table = catalogue.parse(catalogue.TABLE.read_text("utf-8"))
        known = unfold(table) if table.probes == probes.fingerprint() else {}
    if _KEPT.exists():
        for line in _KEPT.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["probes"] == probes.fingerprint():
                known[row["release"]] = {Fact(k): value for k, value in row["facts"].items()}
    return {release: known[release] for release in releases if release in known}


def _keep(release: str, facts: Facts) -> None:
    row = {"probes": probes.fingerprint(), "release": release, "facts": facts}
    _KEPT.parent.mkdir(exist_ok=True)
    with _KEPT.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(row)}\n")
