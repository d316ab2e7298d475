"""Lists what has a known form of name, in the folders that a gateway uses, as a stream.

No link is followed: of a folder only its own files count, and a link is no file. Memory does not
know how many files there are.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tailflip.base.durable import identify, resolve
from tailflip.base.errors import TailflipError
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.processes import list_temp_roots
from tailflip.reclaim.patterns import (
    IN_CACHE,
    IN_SESSIONS,
    IN_TEMPORARY,
    SMALL,
    Class,
    parse,
)
from tailflip.stores.formats import find_engine
from tailflip.stores.litter import find_temporaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.flow.observed import FileIdentity
    from tailflip.reclaim.patterns import Parsed, Pattern
    from tailflip.stores.target import Scene

_MISSING = "the store beside it is missing: `tailflip compact` looks for a backup first"
_DAMAGED = "the store beside it cannot be read: `tailflip compact` salvages it first"
_EMPTY = "the store beside it is empty, and may have lost its entries"
_KEPT = "the store beside it is not ours to write"
_LEAST_STORE_BYTES = len('{"k":{}}')
_MOST_IN_FOLDER = 100_000


class Candidate(NamedTuple):
    """One file, or a folder of captures, whose name has a known form.

    `bytes` and `ctime_ms` of a folder are those of all that is in it. `trouble` says why a folder
    cannot be judged.
    """

    path: Path
    parsed: Parsed
    identity: FileIdentity
    bytes: int
    mtime_ms: int
    ctime_ms: int
    uid: int
    links: int
    trouble: str | None = None

    @property
    def kind(self) -> Class:
        """What it is, by its name."""
        return self.parsed.pattern.kind

    @property
    def target(self) -> Path | None:
        """The file that it was to become, or was copied from."""
        return None if self.parsed.of is None else self.path.with_name(self.parsed.of)


@dataclass(frozen=True)
class Place:
    """A folder with the forms of name that count in it.

    `stores` are those in it. `why` says why nothing in it may go; None if it may.
    """

    folder: Path
    patterns: tuple[Pattern, ...]
    stores: tuple[Path, ...] = ()
    why: str | None = None


def list_sessions(scene: Scene) -> tuple[Place, ...]:
    """List the folders of transcripts; each store is read once, to know that it is whole."""
    stores: dict[Path, list[Path]] = {}
    why: dict[Path, str] = {}
    for store in (*scene.stores, *scene.kept, *scene.missing):
        if store.path.suffix == ".sqlite":
            continue
        folder = resolve(store.path).parent
        stores.setdefault(folder, []).append(resolve(store.path))
        if store in scene.kept:
            why.setdefault(folder, _KEPT)
        elif (doubt := _doubt(store.path)) is not None:
            why.setdefault(folder, doubt)
    for folder in sorted(scene.installation.state_dir.glob("agents/*/sessions")):
        if resolve(folder) not in stores and folder.is_dir():
            stores[resolve(folder)] = []
            why[resolve(folder)] = _MISSING
    return tuple(
        Place(folder, IN_SESSIONS, tuple(paths), why.get(folder))
        for folder, paths in stores.items()
    )


def list_captures(scene: Scene) -> tuple[Place, ...]:
    """List the folders in which captures lie."""
    env = scene.env
    roots = {*(list_temp_roots(env) or ("/tmp",)), str(scene.installation.state_dir / "tmp")}  # noqa: S108
    places = [Place(root, IN_TEMPORARY) for root in sorted({resolve(Path(each)) for each in roots})]
    cache = _find_cache(env)
    if cache is not None:
        names = ("openclaw", f"openclaw-{os.geteuid()}")
        places += [Place(resolve(cache / name), IN_CACHE) for name in names]
    return tuple(places)


def walk(place: Place) -> Iterator[Candidate]:
    """Stream the candidates of a folder; one that vanishes meanwhile is left out."""
    is_wanted = stat.S_ISDIR if place.patterns in (IN_TEMPORARY, IN_CACHE) else stat.S_ISREG
    try:
        with os.scandir(place.folder) as entries:
            for entry in entries:
                parsed = parse(entry.name, place.patterns)
                if parsed is None:
                    continue
                with suppress(OSError):
                    info = entry.stat(follow_symlinks=False)
                    if is_wanted(info.st_mode):
                        yield _describe(place.folder / entry.name, parsed, info)
    except OSError:
        return


def walk_small(scene: Scene) -> Iterator[Candidate]:
    """Stream what killed writers left of the gateway's small files."""
    at = scene.installation
    for left in find_temporaries(at.cron_store, at.config_path, at.state_dir, scene.now_ms):
        parsed = parse(left.path.name, (SMALL,))
        with suppress(OSError):
            info = os.lstat(left.path)
            if parsed is not None and stat.S_ISREG(info.st_mode):
                yield _describe(resolve(left.path.parent) / left.path.name, parsed, info)


def look_again(candidate: Candidate) -> str | None:
    """Say what changed since the candidate was listed; None if nothing did."""
    try:
        info = os.lstat(candidate.path)
    except OSError as e:
        return f"it cannot be looked at any more: {e.strerror}"
    if not stat.S_ISDIR(info.st_mode):
        return None if identify(info) == candidate.identity else "it changed meanwhile"
    now = _describe(candidate.path, candidate.parsed, info)
    same = (now.bytes, now.ctime_ms, now.trouble) == (
        candidate.bytes,
        candidate.ctime_ms,
        candidate.trouble,
    )
    return None if same else "it changed meanwhile"


def _describe(path: Path, parsed: Parsed, info: os.stat_result) -> Candidate:
    found = Candidate(
        path=path,
        parsed=parsed,
        identity=identify(info),
        bytes=info.st_size,
        mtime_ms=info.st_mtime_ns // 1_000_000,
        ctime_ms=info.st_ctime_ns // 1_000_000,
        uid=info.st_uid,
        links=info.st_nlink,
    )
    return _measure(found, info) if stat.S_ISDIR(info.st_mode) else found


def _measure(folder: Candidate, info: os.stat_result) -> Candidate:
    """Sum up a folder with all that is in it; no link and no other file system is entered."""
    size, newest, count = 0, folder.ctime_ms, 0
    try:
        for at, folders, files in os.walk(folder.path, onerror=_fail):
            for name in (*folders, *files):
                found = os.lstat(os.path.join(at, name))  # noqa: PTH118
                count += 1
                size += found.st_size if stat.S_ISREG(found.st_mode) else 0
                newest = max(newest, found.st_ctime_ns // 1_000_000)
                if found.st_uid != info.st_uid:
                    return folder._replace(trouble="another user has files in it")
                if found.st_dev != info.st_dev:
                    return folder._replace(trouble="another file system is mounted in it")
            if count > _MOST_IN_FOLDER:
                return folder._replace(trouble=f"it has more than {_MOST_IN_FOLDER:,} files")
    except OSError:
        return folder._replace(trouble="it cannot be read whole, or it changes")
    return folder._replace(bytes=size, ctime_ms=newest)


def _fail(error: OSError) -> None:
    raise error


def _doubt(store: Path) -> str | None:
    """Say why a store cannot be relied upon; None if it is whole."""
    try:
        find_engine(store).gather_sessions(store)
        if store.stat().st_size < _LEAST_STORE_BYTES:
            return _EMPTY
    except FileNotFoundError:
        return _MISSING
    except (OSError, TailflipError):
        return _DAMAGED
    return None


def _find_cache(env: Mapping[str, str]) -> Path | None:
    if given := env.get("XDG_CACHE_HOME"):
        return Path(given)
    return Path(home) / ".cache" if (home := env.get("HOME")) else None
