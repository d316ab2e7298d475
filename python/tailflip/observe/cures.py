"""Signs of a cure for a gateway that does not start: changed files, and room on a disk.

A doctor or an installer may write the same version and the same size again, so identity and
both times of a file count. Files are listed and their stats are read, not their contents.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tailflip.observe.gateway.release import Release
    from tailflip.observe.installation import Installation

_MAX_FILES = 2000
_DATABASE = re.compile(r".+\.sqlite(?:-wal|-journal)?")  # -shm changes at reads too
_SERVICE = re.compile(r"[\w.@-]*(?:openclaw|clawdbot|moltbot)[\w.@-]*\.(?:service|plist)(?:\.d)?")
_SERVICE_FOLDERS = (".config/systemd/user", "Library/LaunchAgents")
_SYSTEM_FOLDERS = ("/etc/systemd/system", "/Library/LaunchDaemons")
_PACKAGE_DEPTH = 3  # .../openclaw/dist/x.js: the package is at most 3 folders above its entry
_OF_PACKAGE = ("package.json", "dist", "dist/extensions", "node_modules")
_SETTLED_MS = 3000


def list_state_files(state_dir: Path, installation: Installation | None) -> list[Path]:
    """List the files that a migration or a repair of the state changes (2026.3.28 to 2026.9.6)."""
    paths = [*_list(state_dir, r".+\.json"), *_list(state_dir / "credentials", r".+\.json")]
    for folder in ("state", "tasks", "flows", "memory"):
        paths += _list(state_dir / folder, _DATABASE.pattern)
    paths.append(state_dir / "cron" / "jobs.json")
    for agent in _list(state_dir / "agents", r"[^.].*"):
        paths += _list(agent / "agent", _DATABASE.pattern)
        paths.append(agent / "sessions" / "sessions.json")
    if installation is not None:
        paths += [store.path for store in (*installation.stores, *installation.missing)]
        paths.append(installation.cron_store)
    return list(dict.fromkeys(paths))[:_MAX_FILES]


def list_program_files(release: Release, state_dir: Path) -> list[Path]:
    """List the files that an installer changes: package, plugins, node, the gateway's service."""
    paths = [state_dir / "extensions", state_dir / "npm", *list_service_files(release.env)]
    for program in (release.entry, Path(release.node) if release.node else None):
        if program is not None:
            paths += [program, Path(os.path.realpath(program))]
    if release.entry is not None:
        for folder in Path(os.path.realpath(release.entry)).parents[:_PACKAGE_DEPTH]:
            paths += [folder / name for name in _OF_PACKAGE]
            # npm writes this list at the end of each install beside or below.
            paths.append(folder / "node_modules" / ".package-lock.json")
            paths.append(folder.parent / ".package-lock.json")
    return list(dict.fromkeys(paths))


def list_service_files(env: Mapping[str, str]) -> list[Path]:
    """List the definitions of the gateway's services, and their drop-ins."""
    home = env.get("HOME", "")
    folders = [Path(home) / name for name in _SERVICE_FOLDERS] if home else []
    found: list[Path] = []
    for folder in (*folders, *(Path(name) for name in _SYSTEM_FOLDERS)):
        for path in _list(folder, _SERVICE.pattern):
            found += _list(path, r".+\.conf") if path.suffix == ".d" else [path]
    return found


def mark(paths: Iterable[Path]) -> str:
    """Fingerprint files by identity, size and times; a missing file has a mark too."""
    return " ".join(_mark(path) for path in paths)


def is_settled(paths: Iterable[Path], now_ms: int) -> bool:
    """Say whether no file changed in the last 3 s; a time in the future is no change."""
    for path in paths:
        with suppress(OSError):
            info = path.stat()
            newest_ms = max(info.st_mtime_ns, info.st_ctime_ns) // 1_000_000
            if 0 <= now_ms - newest_ms < _SETTLED_MS:
                return False
    return True


def measure_room(folders: Iterable[Path]) -> tuple[int, ...]:
    """Measure free bytes and free inodes of each folder's disk; 0 where they are unknown."""
    room: list[int] = []
    for folder in folders:
        try:
            info = os.statvfs(folder)
            room += [info.f_bavail * info.f_frsize, info.f_favail]
        except OSError:
            room += [0, 0]
    return tuple(room)


def _mark(path: Path) -> str:
    try:
        info = path.stat()
    except OSError:
        return "-"
    return f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"


def _list(folder: Path, pattern: str) -> Iterator[Path]:
    """List a folder's entries of these names in order; empty if the folder cannot be read."""
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - Path.iterdir would raise later
            if re.fullmatch(pattern, name):
                yield folder / name
