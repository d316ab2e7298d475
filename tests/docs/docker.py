"""A stand-in for `docker`: checks that what it is told of is there, and does nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml


def main(argv: list[str]) -> int:
    if argv[:2] == ["compose", "-f"]:
        services = yaml.safe_load(Path(argv[2]).read_text())["services"]
        verb, rest = argv[3], [word for word in argv[4:] if not word.startswith("-")]
        if verb not in ("up", "exec") or rest[0] not in services:
            return 1
        return 0 if verb == "up" or rest[1] == "tailflip" else 1
    if argv[0] == "build":
        return 0 if Path(argv[argv.index("-f") + 1]).is_file() and argv[-1] == "." else 1
    return 0 if argv[0] in ("stop", "start", "run") else 1


sys.exit(main(sys.argv[1:]))
