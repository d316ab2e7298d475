"""The records of installations, from which they are removed again.

Each service has one JSON file in `<home>/installed/`, written before the first effect. After a kill
in between, `uninstall` undoes what was done and skips the rest.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tailflip.base.errors import StoreInvalid
from tailflip.flow.values import Value
from tailflip.install.values import Mode
from tailflip.observe.files import read_regular
from tailflip.observe.host.service import Manager, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace

_FOLDER = "installed"
_MAX_BYTES = 8 << 20


class Written(Value):
    """One file of tailflip: its digest, and the bytes of the file before it, None for none."""

    path: str
    digest: str
    before: str | None
    mode_before: int | None

    def read_before(self) -> bytes | None:
        """Return the bytes of the file before it."""
        return None if self.before is None else base64.b64decode(self.before)


class Record(Value):
    """One installation. `folders` were made for it, the outermost first.

    `kept` are copies of files, to put back if the commands of `undo` fail.
    """

    subject: str
    manager: Manager
    scope: Scope
    mode: Mode
    at_ms: int
    files: tuple[Written, ...]
    folders: tuple[str, ...]
    enable: tuple[str, ...]
    undo: tuple[tuple[str, ...], ...]
    kept: tuple[Written, ...] = ()

    @property
    def name(self) -> str:
        """The name of the record's file."""
        text = "\0".join((self.manager, self.scope, self.subject, str(self.mode is Mode.WATCH)))
        return f"{hashlib.sha256(os.fsencode(text)).hexdigest()[:12]}.json"


def digest(data: bytes) -> str:
    """Digest the bytes of a small file."""
    return hashlib.sha256(data).hexdigest()


def encode(data: bytes | None) -> str | None:
    """Encode bytes as text, for a record."""
    return None if data is None else base64.b64encode(data).decode()


def folder(home: Home) -> Path:
    """Return the folder of records."""
    return home.root / _FOLDER


def read_records(home: Home) -> list[Record]:
    """Read all records, oldest first.

    Raises:
        StoreInvalid: a record is not readable.
    """
    found = [_read(path) for path in _list(home)]
    return sorted(found, key=lambda record: record.at_ms)


def write_record(workspace: Workspace, record: Record) -> None:
    """Write a record, in place of an older one for the same service."""
    workspace.create()
    disk, place = workspace.disk, folder(workspace.home)
    if not place.is_dir():
        disk.mkdir(place, 0o700)
    data = record.model_dump_json(indent=1).encode()
    replace_file(disk, place / record.name, data, 0o600)


def remove_record(workspace: Workspace, record: Record) -> None:
    """Remove an installation's record, and the folder once it is empty."""
    disk, place = workspace.disk, folder(workspace.home)
    disk.unlink(place / record.name)
    if not os.listdir(place):  # noqa: PTH208
        disk.rmdir(place)
        disk.fsync_dir(workspace.home.root)


def replace_file(disk: Disk, path: Path, data: bytes, mode: int) -> None:
    """Replace a small file: write a new one beside it, sync, rename."""
    fresh = path.with_name(f".{path.name}.tailflip")
    if os.path.lexists(fresh):
        disk.unlink(fresh)  # left by a tailflip that was killed here
    fd = disk.open_new(fresh, mode)
    try:
        disk.write(fd, data)
        os.fchmod(fd, mode)
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.rename(fresh, path)
    disk.fsync_dir(path.parent)


def _list(home: Home) -> Iterator[Path]:
    try:
        yield from sorted(folder(home).glob("*.json"))
    except OSError:
        return


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(read_regular(path, _MAX_BYTES))
    except (ValidationError, ValueError) as e:
        raise StoreInvalid(
            f"not a record of an installation: {path}", hint="remove by hand what it names"
        ) from e
